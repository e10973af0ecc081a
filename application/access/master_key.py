"""The master key, from which all secrets of keys are derived. So no secret is ever stored."""

import base64
import hmac
import secrets
from dataclasses import dataclass, field

MIN_BYTES = 32
_PURPOSE_SECRET = b"drivebay key"
_PURPOSE_TOKEN = b"drivebay token"
_PURPOSE_SIGNING = b"drivebay signing"
_PURPOSE_SHARE = b"drivebay share"
_PURPOSE_FINGERPRINT = b"drivebay fingerprint"


def random_id() -> str:
    """Return an id for a key or a link: 80 random bits as 16 lower-case letters and digits."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def signing_secret(secret: str) -> bytes:
    """Return the secret that signs requests for a key with this secret."""
    return hmac.digest(secret.encode(), _PURPOSE_SIGNING, "sha256")


@dataclass(frozen=True, slots=True)
class MasterKey:
    """At least 32 secret bytes, which all replicas share. With another one, no key of this one is valid.

    Each derived value is an HMAC-SHA256 (RFC 2104) over its purpose, and all fields, separated by zero bytes.
    """

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) < MIN_BYTES:
            raise ValueError(f"a master key has at least {MIN_BYTES} bytes")

    def secret(self, key_id: str, generation: int) -> str:
        """Return the secret of a key: 52 lower-case letters and digits."""
        derived = self._derive(_PURPOSE_SECRET, key_id.encode(), str(generation).encode())
        return base64.b32encode(derived).decode().rstrip("=").lower()

    def token_id(self, digest: bytes) -> str:
        """Return an id for a token that was set, by its SHA-256. It has the form of the ids of keys."""
        return base64.b32encode(self._derive(_PURPOSE_TOKEN, digest)[:10]).decode().lower()

    def signing_secret_of_token(self, token_id: str) -> bytes:
        """Return the secret that signs requests for a token that was set."""
        return self._derive(_PURPOSE_SIGNING, token_id.encode())

    def secret_of_share(self, share_id: str) -> str:
        """Return the secret in the URL of a share link: 128 bits, as 26 lower-case letters and digits."""
        return base64.b32encode(self._derive(_PURPOSE_SHARE, share_id.encode())[:16]).decode().rstrip("=").lower()

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify this master key. They reveal nothing of it."""
        return self._derive(_PURPOSE_FINGERPRINT).hex()[:16]

    def _derive(self, *fields: bytes) -> bytes:
        return hmac.digest(self.value, b"\0".join(fields), "sha256")
