"""Values that the client returns."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

from entrypoints.client.errors import DrivebayError

Progress = Callable[[int, int | None], object]
"""Called with the number of bytes that were transferred, and of all, which is None if it is not known."""

META = "x-meta-"


@dataclass(frozen=True, slots=True)
class BlobMeta:
    """A blob without its bytes.

    `sha256` has 64 hexadecimal digits; it is None until the server has computed it, for blobs that came in several
    requests. `etag` names this version, with its quotes. `modified_at` is the time of this version, where the server
    says it; `created_at` comes with lists only.
    """

    id: str
    size: int
    etag: str
    content_type: str = "application/octet-stream"
    sha256: str | None = None
    created_at: datetime | None = None
    modified_at: datetime | None = None
    expires_at: datetime | None = None
    content_encoding: str = ""
    content_language: str = ""
    content_disposition: str = ""
    cache_control: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "BlobMeta":
        """Return the blob that a member of a list describes. Unknown members are ignored."""
        return cls(
            found["id"],
            found["size"],
            found["etag"],
            found.get("content_type", "application/octet-stream"),
            found.get("sha256"),
            created_at=_time(found.get("created_at")),
            expires_at=_time(found.get("expires_at")),
            content_encoding=found.get("content_encoding", ""),
            content_language=found.get("content_language", ""),
            content_disposition=found.get("content_disposition", ""),
            cache_control=found.get("cache_control", ""),
            metadata=found.get("metadata", {}),
        )

    @classmethod
    def from_headers(cls, blob_id: str, headers: Mapping[str, str]) -> "BlobMeta":
        """Return the blob that the headers of a response in the raw form describe. Names are in lower case.

        Raises DrivebayError if they do not have its size.
        """
        whole = re.fullmatch(r"bytes [0-9]+-[0-9]+/([0-9]+)", headers.get("content-range", ""))
        size = whole[1] if whole else headers.get("content-length")
        if size is None:
            raise DrivebayError(
                "The response does not have the size of the blob, because it has no Content-Length. A proxy may have "
                "removed it. Configure the proxy not to compress or change these responses."
            )
        modified = headers.get("last-modified")
        return cls(
            blob_id,
            int(size),
            headers.get("etag", ""),
            headers.get("content-type", ""),
            sha256_of(headers.get("repr-digest", "")),
            modified_at=parsedate_to_datetime(modified) if modified else None,
            expires_at=_time(headers.get("x-expires-at")),
            content_encoding=headers.get("content-encoding", ""),
            content_language=headers.get("content-language", ""),
            content_disposition=headers.get("content-disposition", ""),
            cache_control=headers.get("cache-control", ""),
            metadata={name[len(META) :]: unquote(text) for name, text in headers.items() if name.startswith(META)},
        )


@dataclass(frozen=True, slots=True)
class PutResult:
    """A version that was stored. `sha256` is that of the bytes that were sent."""

    id: str
    etag: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ListResult:
    """The blobs directly below a prefix, and the longer prefixes that have further ones."""

    blobs: list[BlobMeta]
    prefixes: list[str]


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that needs no other credential until `expires_at`."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """A link for people, valid until `expires_at`. `share` is its key, by which it can be revoked."""

    share: str
    url: str
    expires_at: datetime


def sha256_of(digests: str) -> str | None:
    """Return the SHA-256 in a field of digests (RFC 9530), in hexadecimal digits; None if there is none."""
    found = re.search(r"(?:^|[,\s])sha-256=:([A-Za-z0-9+/=]+):", digests)
    try:
        return base64.b64decode(found[1], validate=True).hex() if found else None
    except binascii.Error:
        return None


def digest_field(sha256: bytes) -> str:
    """Return a SHA-256 as a field of digests (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
