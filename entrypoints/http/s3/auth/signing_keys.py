"""Keys of a day and a region, the signatures that they make, and their verification.

Source: Amazon S3 API Reference, Authenticating Requests (AWS Signature Version 4), Calculating a Signature.
"""

import hmac
import secrets
from collections import OrderedDict
from typing import Protocol

from entrypoints.http.s3.auth.credentials import SERVICE, TERMINATOR


class Signed(Protocol):
    """A text with a signature: a request, or the policy of a form."""

    @property
    def signature(self) -> str: ...

    @property
    def strings_to_sign(self) -> tuple[bytes, ...]: ...


def signing_key(secret: bytes, date: str, region: str) -> bytes:
    """Return the key that signs the requests of a day in a region."""
    key = b"AWS4" + secret
    for each in (date, region, SERVICE, TERMINATOR):
        key = hmac.digest(key, each.encode(), "sha256")
    return key


class SigningKeys:
    """Signing keys that were derived before: the most recent ones.

    They are found by an HMAC of the secret, with a key of this process, and not by the secret.
    """

    def __init__(self, capacity: int = 1000) -> None:
        self._capacity = capacity
        self._known: OrderedDict[tuple[bytes, str, str], bytes] = OrderedDict()
        self._salt = secrets.token_bytes(32)

    def get(self, secret: bytes, date: str, region: str) -> bytes:
        """Return the key that signs the requests of a day in a region."""
        identity = hmac.digest(self._salt, secret, "sha256"), date, region
        key = self._known.get(identity)
        if key is None:
            key = self._known[identity] = signing_key(secret, date, region)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(identity)
        return key

    def __len__(self) -> int:
        return len(self._known)


def signature_of(string_to_sign: bytes, key: bytes) -> str:
    """Return the signature of a text, in hexadecimal digits."""
    return hmac.digest(key, string_to_sign, "sha256").hex()


def is_valid(signed: Signed, key: bytes) -> bool:
    """Return whether the signature was made with this signing key. The time it takes does not depend on the digits."""
    given = signed.signature.encode()
    return any(hmac.compare_digest(signature_of(each, key).encode(), given) for each in signed.strings_to_sign)
