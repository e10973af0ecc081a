"""A request of a tus client, and the header fields of tus 1.0 in it."""

from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from application.blobs.resumable.uploads import ResumableUploads
from domain.access import Grant
from domain.blob import ObjectKey
from domain.errors import UploadNotFound
from entrypoints.http.middleware.base.exchange import Exchange
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.fields.header_values import is_digits
from entrypoints.http.protocol.fields.headers import check_framing, content_length
from entrypoints.http.protocol.fields.media_types import essence
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.upload_urls import upload_key
from entrypoints.http.tus.checksums import Checksum

COLLECTION = "/v1/tus"
MEDIA_TYPE = "application/offset+octet-stream"
MAX_DIGITS = 19
MAX_PARTIALS = 1000
PARTIAL, FINAL = "partial", "final;"


@dataclass(frozen=True, slots=True)
class TusRequest:
    """A request that was admitted. `method` is the one that the client means. `key` is None for the collection."""

    exchange: Exchange
    uploads: ResumableUploads
    pace: Pace
    method: str
    key: ObjectKey | None
    headers: Mapping[str, str]
    grant: Grant

    @property
    def upload(self) -> ObjectKey:
        """The key of the upload. Raises UPLOAD_NOT_FOUND for the collection."""
        if self.key is None:
            raise UploadNotFound
        return self.key

    @property
    def has_bytes(self) -> bool:
        """Whether a body comes with the request, as far as its head says."""
        return "transfer-encoding" in self.headers or bool(content_length(self.headers))

    def require_media_type(self) -> None:
        """Raise HttpProblem 415 for a body that is not declared as bytes to append."""
        if essence(self.headers.get("content-type", "")) != MEDIA_TYPE:
            raise HttpProblem("unsupported_media_type", f"Send the bytes with Content-Type: {MEDIA_TYPE}.")

    def checksum(self) -> Checksum | None:
        """Return the declared checksum of the body. Raises HttpProblem 400."""
        if "upload-checksum" in self.headers.get("trailer", "").lower():
            # The HTTP server drops trailers. Bytes that were announced as checked are not stored unchecked.
            detail = "This server can't read the trailer Upload-Checksum. Send it as a header, before the bytes."
            raise HttpProblem("invalid_header", detail)
        header = self.headers.get("upload-checksum")
        return None if header is None else Checksum.parse(header)

    def body(self, checksum: Checksum | None) -> AsyncIterable[bytes]:
        """Return the body, as it comes. Raises HttpProblem 411 and 501 for bodies that would not be read completely."""
        check_framing(self.exchange.scope, self.headers)
        chunks = Meter(self.pace).chunks(self.exchange.receive)
        return chunks if checksum is None else checksum.verified(chunks)

    def number(self, name: str) -> int | None:
        """Return the number of bytes in a header, None without it. Raises HttpProblem 400."""
        value = self.headers.get(name.lower())
        if value is None:
            return None
        if not is_digits(value) or len(value) > MAX_DIGITS:
            raise HttpProblem("invalid_header", f"{name} is not a number of bytes.")
        return int(value)

    def length(self) -> int | None:
        """Return the length of a new upload, None if it comes later. Raises HttpProblem 400."""
        deferred, length = self.headers.get("upload-defer-length"), self.number("Upload-Length")
        if deferred not in (None, "1"):
            raise HttpProblem("invalid_header", "Upload-Defer-Length is 1, or absent.")
        if (deferred is None) == (length is None):
            raise HttpProblem("invalid_header", "Send either Upload-Length, or Upload-Defer-Length: 1.")
        return length

    def concatenation(self) -> "Concatenation":
        """Return the contents of Upload-Concat. Raises HttpProblem 400, and UPLOAD_NOT_FOUND."""
        value = self.headers.get("upload-concat")
        if value is None:
            return Concatenation()
        if value == PARTIAL:
            return Concatenation(is_partial=True)
        urls = value.removeprefix(FINAL).split()
        if not value.startswith(FINAL) or not 1 <= len(urls) <= MAX_PARTIALS:
            detail = f"Upload-Concat is {PARTIAL!r}, or {FINAL!r} and the URLs of 1 to {MAX_PARTIALS:,} uploads."
            raise HttpProblem("invalid_header", detail)
        if "upload-length" in self.headers or "upload-defer-length" in self.headers or self.has_bytes:
            detail = "A final upload has no Upload-Length and no bytes of its own: they are those of the partial ones."
            raise HttpProblem("invalid_header", detail)
        return Concatenation(value, partials=[_key_in(url) for url in urls])


class Concatenation(NamedTuple):
    """The contents of Upload-Concat. `joins` is the text of a final upload, and names its `partials`."""

    joins: str = ""
    is_partial: bool = False
    partials: Sequence[ObjectKey] = ()


def _key_in(url: str) -> ObjectKey:
    """Return the key in the URL of an upload, which may be relative, or go through a proxy."""
    try:
        path = urlsplit(url).path
    except ValueError:
        raise UploadNotFound from None
    _, found, key = path.rpartition(f"{COLLECTION}/")
    if not found:
        raise UploadNotFound
    return upload_key(key)
