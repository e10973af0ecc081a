"""The raw form of a blob: its bytes as the body, everything else in the headers."""

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

from application.blobs.fetch import OpenBlob
from application.blobs.store import IdentifiedBytes, NewBlob
from application.clock import utc_now
from domain.blob import Blob, BlobId, ByteRange, Digest
from domain.properties import DEFAULT_CONTENT_TYPE, Properties
from entrypoints.http.protocol import conditional, header_values, ranges
from entrypoints.http.protocol.header_values import BLANKS, MAX_SIZE, dictionary_member, is_token
from entrypoints.http.protocol.headers import content_length
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.streaming import VARY, Headers, Representation
from entrypoints.http.rest import descriptions

REMEMBERED = 128  # media types; clients send few different ones
MAX_CODINGS = 255  # characters
MAX_MEDIA_TYPE = 255  # characters: more than real types have, and no other server refuses the header
# Browsers show these, and can't be made to run them.
HARMLESS = {"text/plain", *(f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "avif", "bmp"))}
HARMLESS_KINDS = {"audio", "video"}


FORM = "multipart/form-data"
FORM_PUT = (
    "PUT stores the body as it is, so a form would be stored with its boundaries: send only the file as the body, or "
    "send the form to /v1/blobs by POST, with the fields id and file."
)


def new_blob(blob_id: BlobId, headers: Mapping[str, str], chunks: AsyncIterator[bytes]) -> NewBlob:
    """Return the blob that a PUT stores. Raises HttpProblem 400 for invalid headers, and 415 for a form."""
    if essence(headers.get("content-type", "")) == FORM:
        raise HttpProblem("unsupported_media_type", FORM_PUT)
    if "content-range" in headers:  # to go on with an upload, as some clients ask (RFC 9110, section 9.3.4)
        raise _invalid("Content-Range asks to store a part of a blob. A blob is stored as a whole: send all of it.")
    return NewBlob(
        IdentifiedBytes(blob_id, chunks),
        properties=descriptions.with_rare_properties(properties(headers), headers),
        expiry=descriptions.expiry_of(headers),
        precondition=conditional.precondition(headers),
        size=content_length(headers),
        digest=declared_digest(headers),
    )


def properties(headers: Mapping[str, str]) -> Properties:
    """Return the content type and the codings in headers. Raises HttpProblem 400."""
    return Properties(content_type(headers.get("content-type")), content_encoding(headers.get("content-encoding")))


def content_type(header: str | None) -> str:
    """Return the media type to store. Raises HttpProblem 400."""
    media_type = (header or "").strip(BLANKS) or DEFAULT_CONTENT_TYPE
    if len(header or "") > MAX_MEDIA_TYPE or not _is_media_type(media_type):
        raise _invalid(f"Content-Type is no media type of up to {MAX_MEDIA_TYPE} characters, such as image/png.")
    return media_type


def content_encoding(header: str | None) -> str:
    """Return the codings in the order of their application, without `identity`. Raises HttpProblem 400."""
    if not header:
        return ""
    codings = header_values.tokens(header)
    if codings is None or len(header) > MAX_CODINGS:
        detail = f"Content-Encoding is not a list of codings of up to {MAX_CODINGS} characters, such as gzip."
        raise _invalid(detail)
    return ", ".join(coding for each in codings if (coding := each.lower()) != "identity")


def essence(content_type: str) -> str:
    """Return the media type without parameters, in lower case."""
    return content_type.partition(";")[0].strip(BLANKS).lower()


@lru_cache(maxsize=REMEMBERED)
def _is_media_type(text: str) -> bool:
    """Return whether this is a media type (RFC 9110, section 8.3.1). Parameters: visible ASCII, blanks and tabs."""
    media_type, _, parameters = text.partition(";")
    kind, _, subtype = media_type.rstrip(BLANKS).partition("/")
    are_visible = parameters.isascii() and parameters.replace("\t", "").isprintable()
    return is_token(kind) and is_token(subtype) and are_visible


def declared_digest(headers: Mapping[str, str]) -> Digest | None:
    """Return the SHA-256 that the sender declares (RFC 9530); others are not checked. Raises HttpProblem 400."""
    content = _sha_256("Content-Digest", headers.get("content-digest"))
    representation = _sha_256("Repr-Digest", headers.get("repr-digest"))
    if content and representation and content != representation:
        raise _invalid("Content-Digest and Repr-Digest differ. Here they are the same, for a body is all of a blob.")
    return content or representation


def _sha_256(name: str, value: str | None) -> Digest | None:
    if value is None:
        return None
    if len(value) > MAX_SIZE:
        raise _invalid(f"{name} has more than {MAX_SIZE:,} characters.")
    found = dictionary_member(value, "sha-256")
    if found is None:
        return None
    try:
        opening, encoded, closing = found[:1], found[1:-1], found[-1:]
        if (opening, closing) != (":", ":"):
            raise ValueError(found)
        return Digest(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise _invalid(f"The sha-256 in {name} is no SHA-256 in base64, such as sha-256=:...=:.") from None


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
    media_type = essence(content_type)
    return media_type in HARMLESS or media_type.partition("/")[0] in HARMLESS_KINDS


class RawForm(Representation):
    """The bytes as the body."""

    def part(self, headers: Mapping[str, str], blob: Blob) -> ByteRange | None:
        conditional.check_reading(headers, blob)
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
            # Anybody may have stored it, and it is served from the origin of an interface that takes commands.
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", b"sandbox; default-src 'none'"),
            (b"content-disposition", _disposition(blob).encode()),
        ]
        if part is not None:
            headers.append((b"content-range", ranges.content_range(part, blob.size).encode()))
        return headers

    def validators(self, blob: Blob) -> Headers:
        return [
            (b"etag", conditional.etag(blob).encode()),
            (b"last-modified", conditional.last_modified(blob).encode()),
            VARY,
        ]

    def chunks(self, opened: OpenBlob) -> AsyncIterator[bytes]:
        return aiter(opened)

    def whole(self, blob: Blob, part: ByteRange | None, data: bytes) -> tuple[Headers, bytes]:
        return self.headers(blob, part), data


class DownloadForm(RawForm):
    """The bytes as the body, under a name of the client's choice, and to be kept until a signature ends."""

    def __init__(self, filename: str | None, fresh_until: datetime | None, *, shows_metadata: bool = True) -> None:
        self._filename = filename
        self._fresh_until = fresh_until
        self._shows_metadata = shows_metadata

    def headers(self, blob: Blob, part: ByteRange | None = None) -> Headers:
        headers = [*super().headers(blob, part)]
        if not self._shows_metadata:
            headers = [header for header in headers if not header[0].startswith(b"x-meta-")]
        if self._filename is not None:
            disposition = f"attachment; filename*=UTF-8''{quote(self._filename, safe='')}"
            headers = [*_without(headers, b"content-disposition"), (b"content-disposition", disposition.encode())]
        if self._fresh_until is not None and not _forbids_caching(blob.properties.cache_control):
            seconds = max(0, int((self._fresh_until - utc_now()).total_seconds()))
            headers = [*_without(headers, b"cache-control"), (b"cache-control", b"private, max-age=%d" % seconds)]
        return headers


def _without(headers: Headers, name: bytes) -> Headers:
    return [header for header in headers if header[0] != name]


def _forbids_caching(cache_control: str) -> bool:
    directives = {directive.strip().lower() for directive in cache_control.split(",")}
    return not directives.isdisjoint({"no-store", "no-cache"})


RAW = RawForm()
