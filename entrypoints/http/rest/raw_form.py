"""The raw form of a blob: its bytes as the body, everything else in the headers."""

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from urllib.parse import quote

from application.blobs.fetch import OpenBlob
from application.blobs.store import IdentifiedBytes, NewBlob
from application.clock import utc_now
from domain.blob import Blob, BlobId, ByteRange, Digest
from domain.properties import Properties
from entrypoints.http.protocol.fields import conditional, header_values, ranges
from entrypoints.http.protocol.fields.header_values import BLANKS, MAX_SIZE, dictionary_member, is_digits
from entrypoints.http.protocol.fields.headers import content_length
from entrypoints.http.protocol.fields.media_types import essence, is_single, media_type
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.streaming import SANDBOX, VARY, Headers, Representation
from entrypoints.http.rest import descriptions

MAX_CODINGS = 255  # characters
# Browsers show these, and can't be made to run them.
HARMLESS = {"text/plain", *(f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "avif", "bmp"))}
HARMLESS_KINDS = {"audio", "video"}
FORBID_CACHING = frozenset({"no-store", "no-cache"})
ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}  # RFC 9530, section 5


FORM = "multipart/form-data"
FORM_PUT = (
    "PUT stores the body as it is, so a form would be stored with its boundaries: send only the file as the body, or "
    "send the form to /v1/blobs by POST, with the fields id and file."
)


def new_blob(blob_id: BlobId, headers: Mapping[str, str], chunks: AsyncIterator[bytes]) -> NewBlob:
    """Return the blob that a PUT stores. Raises HttpProblem 400 for invalid headers, and 415 for a form."""
    check_body(headers)
    return NewBlob(
        IdentifiedBytes(blob_id, chunks),
        properties=descriptions.with_rare_properties(properties(headers), headers),
        expiry=descriptions.expiry_of(headers),
        precondition=conditional.precondition(headers),
        size=content_length(headers),
        digest=declared_digest(headers),
    )


def check_body(headers: Mapping[str, str]) -> None:
    """Raise HttpProblem 415 for a form, and 400 for a range of a blob."""
    if essence(headers.get("content-type", "")) == FORM:
        raise HttpProblem("unsupported_media_type", FORM_PUT)
    if "content-range" in headers:  # to go on with an upload, as some clients ask (RFC 9110, section 9.3.4)
        raise _invalid("Content-Range asks to store a part of a blob. A blob is stored as a whole: send all of it.")


def properties(headers: Mapping[str, str]) -> Properties:
    """Return the content type and the codings in headers. Raises HttpProblem 400."""
    return Properties(media_type(headers.get("content-type")), content_encoding(headers.get("content-encoding")))


def content_encoding(header: str | None) -> str:
    """Return the codings in the order of their application, without `identity`. Raises HttpProblem 400."""
    if not header:
        return ""
    codings = header_values.tokens(header)
    if codings is None or len(header) > MAX_CODINGS:
        detail = f"Content-Encoding is not a list of codings of up to {MAX_CODINGS} characters, such as gzip."
        raise _invalid(detail)
    return ", ".join(coding for each in codings if (coding := each.lower()) != "identity")


def declared_digest(headers: Mapping[str, str]) -> Digest | None:
    """Return the SHA-256 that the sender declares (RFC 9530); others are not checked. Raises HttpProblem 400."""
    if "content-digest" not in headers and "repr-digest" not in headers:
        return None
    content, representation = _sha_256("Content-Digest", headers.get("content-digest")), repr_digest(headers)
    if content and representation and content != representation:
        raise _invalid("Content-Digest and Repr-Digest differ. Here they are the same, for a body is all of a blob.")
    return content or representation


def repr_digest(headers: Mapping[str, str]) -> Digest | None:
    """Return the SHA-256 of the whole that the sender declares (RFC 9530, section 3). Raises HttpProblem 400."""
    return _sha_256("Repr-Digest", headers.get("repr-digest"))


def content_digests(headers: Mapping[str, str]) -> Mapping[str, bytes]:
    """Return the digests of the body by the names of `hashlib` (RFC 9530, section 2). Raises HttpProblem 400."""
    value = headers.get("content-digest")
    found = {name: _digest("Content-Digest", value, algorithm) for algorithm, name in ALGORITHMS.items()}
    return {name: digest for name, digest in found.items() if digest is not None}


def _sha_256(name: str, value: str | None) -> Digest | None:
    digest = _digest(name, value, "sha-256")
    return None if digest is None else Digest(digest)


def _digest(name: str, value: str | None, algorithm: str) -> bytes | None:
    if value is None:
        return None
    if len(value) > MAX_SIZE:
        raise _invalid(f"{name} has more than {MAX_SIZE:,} characters.")
    found = dictionary_member(value, algorithm)
    if found is None:
        return None
    try:
        opening, encoded, closing = found[:1], found[1:-1], found[-1:]
        digest = base64.b64decode(encoded, validate=True)
        if (opening, closing) != (":", ":") or len(digest) != int(algorithm.removeprefix("sha-")) // 8:
            raise ValueError(found)
    except (binascii.Error, ValueError):
        shown = f"{algorithm} in {name} is no {algorithm.upper()}"
        raise _invalid(f"The {shown} in base64, such as {algorithm}=:...=:.") from None
    return digest


def _invalid(detail: str) -> HttpProblem:
    return HttpProblem("invalid_header", detail)


def _disposition(blob: Blob) -> str:
    """Return the stored Content-Disposition, or one with the last segment of the id as the name (RFC 6266, RFC 8187).

    Only harmless blobs are shown `inline`.
    """
    is_harmless, stored = _is_harmless(blob.properties.content_type), blob.properties.content_disposition
    if stored:
        kind, semicolon, rest = stored.partition(";")
        return stored if is_harmless or kind.strip().lower() == "attachment" else f"attachment{semicolon}{rest}"
    kind = "inline" if is_harmless else "attachment"
    name = blob.id.value.rstrip("/").rpartition("/")[2]
    return f"{kind}; filename*=UTF-8''{quote(name, safe='')}" if name else kind


def _is_harmless(content_type: str) -> bool:
    found = essence(content_type)
    is_shown = found in HARMLESS or found.partition("/")[0] in HARMLESS_KINDS
    return is_shown and is_single(content_type)  # S3 clients may have stored a list of types


class RawForm(Representation):
    """The bytes as the body."""

    def part(self, headers: Mapping[str, str], blob: Blob) -> ByteRange | None:
        conditional.check_reading(headers, blob, conditional.etag)
        if "range" not in headers or not conditional.range_still_holds(headers, blob):
            return None
        return ranges.requested(headers["range"], blob.size)

    def headers(self, blob: Blob, part: ByteRange | None = None) -> Headers:
        size = blob.size if part is None else part.stop - part.start
        properties, digest = blob.properties, blob.content.digest
        headers = [
            (b"content-type", properties.content_type.encode("latin-1")),
            (b"content-length", b"%d" % size),
            *descriptions.response_headers(blob),
            *self.validators(blob),
            (b"accept-ranges", b"bytes"),
            *([(b"repr-digest", b"sha-256=:%b:" % base64.b64encode(digest.sha256))] if digest else []),
            (b"x-content-type-options", b"nosniff"),
            (b"content-disposition", _disposition(blob).encode()),
        ]
        if part is not None:
            headers.append((b"content-range", ranges.content_range(part, blob.size).encode()))
        return headers

    def validators(self, blob: Blob) -> Headers:
        stored = blob.properties.cache_control
        return [
            (b"etag", conditional.etag(blob).encode()),
            (b"last-modified", conditional.last_modified(blob).encode()),
            VARY,
            SANDBOX,
            *([(b"cache-control", stored.encode("latin-1"))] if stored else []),
        ]

    def chunks(self, opened: OpenBlob) -> AsyncIterator[bytes]:
        return aiter(opened)

    def whole(self, blob: Blob, part: ByteRange | None, data: bytes) -> tuple[Headers, bytes]:
        return self.headers(blob, part), data


class DownloadForm(RawForm):
    """The bytes as the body, under a name of the client's choice, and to be kept until a signature ends.

    They are kept for a shorter time if the blob expires earlier, or was stored with a shorter one.

    `is_whole`: all of them, as for a POST: ranges and 304 are for GET and HEAD (RFC 9110, sections 13.1 and 14.2).
    """

    def __init__(
        self,
        filename: str | None,
        fresh_until: datetime | None,
        *,
        shows_metadata: bool = True,
        is_whole: bool = False,
    ) -> None:
        self._filename = filename
        self._fresh_until = fresh_until
        self._shows_metadata = shows_metadata
        self._is_whole = is_whole

    def part(self, headers: Mapping[str, str], blob: Blob) -> ByteRange | None:
        return None if self._is_whole else super().part(headers, blob)

    def headers(self, blob: Blob, part: ByteRange | None = None) -> Headers:
        headers = [*super().headers(blob, part)]
        if not self._shows_metadata:
            headers = [header for header in headers if not header[0].startswith(b"x-meta-")]
        if self._filename is not None:
            disposition = f"attachment; filename*=UTF-8''{quote(self._filename, safe='')}"
            headers = [*_without(headers, b"content-disposition"), (b"content-disposition", disposition.encode())]
        return headers

    def validators(self, blob: Blob) -> Headers:
        validators, directives = super().validators(blob), _directives(blob.properties.cache_control)
        if self._fresh_until is None or not directives.keys().isdisjoint(FORBID_CACHING):
            return validators
        end = min(self._fresh_until, blob.expires_at or self._fresh_until)
        seconds = max(0, int((end - utc_now()).total_seconds()))
        if (stored := directives.get("max-age")) is not None:
            seconds = min(seconds, int(stored) if is_digits(stored) else 0)
        return [*_without(validators, b"cache-control"), (b"cache-control", b"private, max-age=%d" % seconds)]


def _without(headers: Headers, name: bytes) -> Headers:
    return [header for header in headers if header[0] != name]


def _directives(cache_control: str) -> Mapping[str, str]:
    """Return the directives by their names in lower case, of repeated ones the first (RFC 9111, section 4.2.1)."""
    found: dict[str, str] = {}
    for directive in cache_control.split(","):
        name, _, value = directive.partition("=")
        found.setdefault(name.strip(BLANKS).lower(), value.strip(BLANKS).strip('"'))
    return found


RAW = RawForm()
