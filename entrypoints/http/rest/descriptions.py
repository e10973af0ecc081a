"""Properties and expiry of blobs in REST: as headers, and in JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote_to_bytes

import msgspec
from msgspec import UNSET, UnsetType

from application.contents.expiry import NEVER, Expiry
from domain.blob import Blob
from domain.errors import InvalidExpiry, InvalidMetadata
from domain.properties import NO_METADATA, Properties
from entrypoints.http.protocol.fields import conditional, header_values
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.streaming import Headers
from entrypoints.http.rest.json_form.response import Sha256, Size, sha256, to_the_second

META = "x-meta-"
EXPIRES_IN, EXPIRES_AT = "x-expires-in", "x-expires-at"
MAX_HEADER = 1024  # characters of a property
MAX_EXPIRY = timedelta(days=36_525)
# Characters that a value in a header has as they are: visible ASCII without the percent sign, and the blank.
UNESCAPED = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class BlobDescription(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A blob without its bytes: `size` in bytes, times in UTC. Properties that are not set are absent."""

    id: str
    size: Size
    created_at: datetime
    content_type: str
    sha256: Sha256 | UnsetType = UNSET
    etag: str
    backend: str
    content_encoding: str = ""
    content_language: str = ""
    content_disposition: str = ""
    cache_control: str = ""
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    expires_at: datetime | None = None


def brief_description(blob: Blob) -> BlobDescription:
    """Describe a blob, without the properties that few blobs have."""
    return BlobDescription(
        id=blob.id.value,
        size=blob.size,
        created_at=to_the_second(blob),
        content_type=blob.properties.content_type,
        etag=conditional.etag(blob),
        backend=blob.location.backend,
        sha256=sha256(blob),
    )


def description(blob: Blob) -> BlobDescription:
    """Describe a blob."""
    properties = blob.properties
    return msgspec.structs.replace(
        brief_description(blob),
        content_encoding=properties.content_encoding,
        content_language=properties.content_language,
        content_disposition=properties.content_disposition,
        cache_control=properties.cache_control,
        metadata=dict(properties.metadata),
        expires_at=blob.expires_at,
    )


def metadata_of(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the metadata in the headers of a request. Raises INVALID_METADATA."""
    found = {name[len(META) :]: _decoded(name, value) for name, value in headers.items() if name.startswith(META)}
    return found or NO_METADATA


def _decoded(name: str, value: str) -> str:
    try:
        return unquote_to_bytes(value.encode("ascii")).decode()
    except UnicodeError:
        raise InvalidMetadata(f"The value of {name} is not UTF-8 in percent-encoding, such as na%C3%AFve.") from None


def expiry_of(headers: Mapping[str, str]) -> Expiry:
    """Return the expiry in the headers of a request. Raises INVALID_EXPIRY."""
    seconds, time = headers.get(EXPIRES_IN), headers.get(EXPIRES_AT)
    if seconds is None and time is None:
        return NEVER
    if seconds is not None and time is not None:
        raise InvalidExpiry("X-Expires-In and X-Expires-At exclude each other. Send one of them.")
    if seconds is not None:
        if not header_values.is_digits(seconds) or len(seconds) > 12:
            raise InvalidExpiry("X-Expires-In is not a number of seconds, such as 3600.")
        return after(int(seconds))
    try:
        return at(msgspec.convert(time, datetime))
    except msgspec.ValidationError:
        raise InvalidExpiry("X-Expires-At is not a time of RFC 3339, such as 2030-01-31T12:00:00Z.") from None


def expiry_from(expires_in: int | None, expires_at: datetime | None) -> Expiry:
    """Return the expiry in the members of a JSON body. Raises INVALID_EXPIRY."""
    if expires_in is not None and expires_at is not None:
        raise InvalidExpiry("expires_in and expires_at exclude each other. Send one of them.")
    if expires_in is not None:
        return after(expires_in)
    return NEVER if expires_at is None else at(expires_at)


def after(seconds: int) -> Expiry:
    """Return an expiry in so many seconds. Raises INVALID_EXPIRY if that is not 1 second to 100 years."""
    if not 0 < seconds <= MAX_EXPIRY.total_seconds():
        raise InvalidExpiry("The time until the expiry is 1 second to 100 years.")
    return Expiry(after=timedelta(seconds=seconds))


def at(time: datetime) -> Expiry:
    """Return an expiry at a time with an offset from UTC. Raises INVALID_EXPIRY without one."""
    if time.tzinfo is None:
        raise InvalidExpiry("The time of expiry has no offset from UTC. Write it with a Z, as 2030-01-31T12:00:00Z.")
    try:
        return Expiry(at=time.astimezone(UTC))
    except OverflowError:
        raise InvalidExpiry("The time of expiry is before the year 1 or after the year 9999 in UTC.") from None


def language(value: str) -> str:
    """Return a Content-Language to store (RFC 9110, section 8.5). Raises HttpProblem 400."""
    tags = header_values.tokens(value)
    if tags is None or len(value) > MAX_HEADER or not all(_is_language(tag) for tag in tags):
        raise HttpProblem("invalid_header", "Content-Language is not a list of language tags, such as de-CH.")
    return ", ".join(tags)


def _is_language(tag: str) -> bool:
    parts = tag.split("-")
    return all(part.isascii() and part.isalnum() and len(part) <= 8 for part in parts) and parts[0].isalpha()


def visible(name: str, value: str) -> str:
    """Return a property that is stored as it is. Raises HttpProblem 400."""
    if len(value) > MAX_HEADER or not (value.isascii() and value.replace("\t", " ").isprintable()):
        detail = f"{name} has more than {MAX_HEADER:,} characters, or others than visible ASCII."
        raise HttpProblem("invalid_header", detail)
    return value.strip()


def disposition(value: str) -> str:
    """Return a Content-Disposition to store (RFC 6266). Raises HttpProblem 400."""
    kind = value.partition(";")[0].strip()
    if not header_values.is_token(kind) or header_values.parameters(value) is None:
        detail = 'Content-Disposition is not a type and parameters, such as attachment; filename="a.txt".'
        raise HttpProblem("invalid_header", detail)
    return visible("Content-Disposition", value)


def response_headers(blob: Blob) -> Headers:
    """Return the headers for the rare properties of a blob, in the raw form.

    Content-Disposition and Cache-Control are left out, because the form may replace them.
    """
    properties = blob.properties
    headers = []
    if properties.content_encoding:
        headers.append((b"content-encoding", properties.content_encoding.encode("latin-1")))
    if properties.content_language:
        headers.append((b"content-language", properties.content_language.encode("latin-1")))
    if properties.metadata:
        headers += [(f"{META}{name}".encode(), _encoded(value)) for name, value in properties.metadata.items()]
    if blob.expires_at is not None:
        headers.append((EXPIRES_AT.encode(), msgspec.json.encode(blob.expires_at).strip(b'"')))
    return headers


def _encoded(value: str) -> bytes:
    # Blanks at either end of a header's value are not part of it.
    kept = value.strip(" ")
    before = len(value) - len(value.lstrip(" "))
    encoded = quote(kept, safe=UNESCAPED)
    blanks = len(value) - len(kept) - before if kept else 0
    return ("%20" * before + encoded + "%20" * blanks).encode("ascii")


def with_rare_properties(properties: Properties, headers: Mapping[str, str]) -> Properties:
    """Return the properties together with the rare ones in the headers of a request. Raises HttpProblem 400."""
    return Properties(
        properties.content_type,
        properties.content_encoding,
        language(headers["content-language"]) if "content-language" in headers else "",
        disposition(headers["content-disposition"]) if headers.get("content-disposition") else "",
        visible("Cache-Control", headers["cache-control"]) if "cache-control" in headers else "",
        metadata_of(headers),
    )
