"""URLs of uploads that need no other credential, for clients that begin an upload by a signed URL or a share link.

The signature covers the path, so that it is for one upload, and the query up to the signature, byte for byte. It is for
all methods of an upload. Its message begins with a word that is not a method, so no other signature is one of these.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from domain.access import SIGNATURE, Grant
from domain.blob import ObjectKey
from domain.errors import UploadNotFound
from entrypoints.http.protocol.urls.signed_urls import MARK, invalid_signature, message

METHODS = frozenset({"HEAD", "PATCH", "DELETE", "OPTIONS"})
PURPOSE = "UPLOAD"
_PATH = re.compile(rb"/v1/uploads/([0-9a-f]{32})")
_QUERY = re.compile(rb"(?:share=([a-z2-7]{16})&)?+key=([a-z2-7]{16})&expires=([0-9]{1,11}+)&signature=([0-9a-f]{64})")


def upload_key(text: str) -> ObjectKey:
    """Return the key of an upload that a URL or a document names. Raises UPLOAD_NOT_FOUND for other texts."""
    try:
        return ObjectKey(text)
    except ValueError:
        raise UploadNotFound from None


class Signer(Protocol):
    """Signs URLs with a key."""

    @property
    def key_id(self) -> str: ...

    @property
    def expires_at(self) -> datetime: ...

    def sign(self, message: bytes) -> str: ...


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """A request that claims to be signed for one upload. `share_id`: of the link by which it was begun, or empty."""

    upload: ObjectKey
    share_id: str
    key_id: str
    expires_at: datetime
    signature: str
    message: bytes


def is_upload(raw_path: bytes) -> bool:
    """Return whether a path is that of an upload."""
    return _PATH.fullmatch(raw_path) is not None


def signed_upload(method: str, raw_path: bytes, query: bytes) -> SignedUpload:
    """Return what a request was signed for, if its signature is valid. Raises HttpProblem 401."""
    path, found = _PATH.fullmatch(raw_path), _QUERY.fullmatch(query)
    if path is None or found is None or method not in METHODS:
        raise invalid_signature()
    return SignedUpload(
        ObjectKey(path[1].decode()),
        (found[1] or b"").decode(),
        found[2].decode(),
        datetime.fromtimestamp(int(found[3]), UTC),
        found[4].decode(),
        message(PURPOSE, raw_path, query[: query.rindex(MARK)]),
    )


def location(path: str, grant: Grant, signer: Signer | None) -> str:
    """Return the URL of an upload that a caller has begun: its path, signed unless the caller needs no signature."""
    if signer is None:
        return path
    share = "" if grant.via == SIGNATURE else f"share={grant.via}&"
    query = f"{share}key={signer.key_id}&expires={int(signer.expires_at.timestamp())}"
    signature = signer.sign(message(PURPOSE, path.encode(), query.encode()))
    return f"{path}?{query}{MARK.decode()}{signature}"
