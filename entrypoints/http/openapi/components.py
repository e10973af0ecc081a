"""Components of the OpenAPI document: the blob of all examples, parameters, and headers."""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import (
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Parameter,
    Reference,
    Schema,
)
from litestar.openapi.spec.base import BaseSchemaObject

from domain.blob import MAX_ID_BYTES
from entrypoints.http.middleware.access_log import MAX_REQUEST_ID
from entrypoints.http.protocol.fields.header_values import MAX_SIZE

ID = "my-blob"
DATA = "SGVsbG8gV29ybGQh"
SHA_256 = "7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069"
DIGEST = "sha-256=:f4OxZX/x/FO5LcGBSKHWXfwtSx+j1ncoSt3SABJtkGk=:"
ETAG = '"7fc8b269db25a411dcf4cb7cbece7a28-1"'
DATE = "Fri, 27 Oct 2023 10:00:00 GMT"

NO_CONTROL_CHARACTERS = r"^[^\u0000-\u001f\u007f-\u009f]*$"
HTTP_DATE = r"^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$"
TAG = '(?:W/)?"[!#-~]*"'  # ASCII only
WORD = "[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # a token of RFC 9110, section 5.6.2
LANGUAGE = "[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*"
VISIBLE = r"^[\t -~]*$"
MEDIA_TYPE = rf"^[ \t]*(?:{WORD}/{WORD}[ \t]*(?:;[\t -+\-.-~]*(?:,[\t -.0-~]*)?)?)?[ \t]*$"
METADATA_NAME = "^[a-z0-9!#$%&'*+.^_`|~-]+$"
KEY = "^[0-9a-f]{32}$"
_ENTITY_TAG = r'(?:W/)?"[!#-~\u0080-\u00ff]*"'
_PARAMETER = rf'{WORD}[ \t]*=[ \t]*(?:"[\t !#-~]*"[ \t]*|(?:[\t !#-:<-~][\t -:<-~]*)?)'
DISPOSITION = rf"^(?:[ \t]*{WORD}[ \t]*(?:;[ \t]*(?:{_PARAMETER}(?:;[ \t]*{_PARAMETER})*(?:;[ \t]*)?)?)?)?$"
MAX_DISPOSITION = 1024  # characters
MAX_FILENAME = 255  # characters
# Groups of four, and a last one whose padding cuts off no bits.
BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?$"


def _list_of(element: str) -> str:
    """Return the pattern of a list, which may have empty elements (RFC 9110, section 5.6.1)."""
    return rf"^[ \t,]*(?:{element}(?:[ \t]*,[ \t,]*{element})*[ \t,]*)?$"


CODINGS = _list_of(WORD)
LANGUAGES = _list_of(LANGUAGE)
# One tag without its quotes, or a list.
ENTITY_TAGS = rf"^(?:[!#-~\u0080-\u00ff]*|[ \t,]*{_ENTITY_TAG}(?:[ \t]*,[ \t,]*{_ENTITY_TAG})*[ \t,]*)$"


def text(*, format: str | None = None, **constraints: Any) -> Schema:  # noqa: A002 - the name in JSON Schema
    """Return the schema of a string. `format` may be one of our own."""
    schema = Schema(type=OpenAPIType.STRING, **constraints)
    schema.format = format  # type: ignore[assignment]  # the framework knows only a few of them
    return schema


def id_schema() -> Schema:
    rule = f"1 to {MAX_ID_BYTES:,} bytes of UTF-8 text without control characters."
    return text(
        format="blob-id", min_length=1, max_length=MAX_ID_BYTES, pattern=NO_CONTROL_CHARACTERS, description=rule
    )


@dataclass
class Verbatim(BaseSchemaObject):
    """A value of the document as it is. The framework drops the nulls in other values."""

    value: Any

    def to_schema(self) -> Any:
        return self.value


def json_of(name: str, example: Mapping[str, Any]) -> dict[str, OpenAPIMediaType]:
    """Return a body in JSON with the schema of this name."""
    return {
        "application/json": OpenAPIMediaType(Reference(f"#/components/schemas/{name}"), example=Verbatim(dict(example)))
    }


def either_of(name: str, example: Mapping[str, Any], other: str) -> dict[str, OpenAPIMediaType]:
    """Return a body in JSON with one of two schemas, and an example of the first one."""
    schema = Schema(one_of=[Reference(f"#/components/schemas/{each}") for each in (name, other)])
    return {"application/json": OpenAPIMediaType(schema, example=Verbatim(dict(example)))}


def parameter(place: str, name: str, description: str, schema: Schema | None = None, example: Any = None) -> Parameter:
    return Parameter(name, place, schema or text(), description, required=place == "path", example=example)


TAGS = Schema(any_of=[text(const="*"), text(pattern=f"^{TAG}(?: *, *{TAG})*$", max_length=MAX_SIZE)])
BLOB_ID = parameter("path", "id", "The blob's id, percent-encoded: `/` as `%2F`.", id_schema(), ID)
ALT = parameter(
    "query", "alt", "`media` for the bytes, `json` for JSON. Without it, Accept decides.", text(enum=["media", "json"])
)
FILENAME = parameter(
    "query",
    "filename",
    "With `alt=media`: the name under which a browser saves the bytes.",
    text(min_length=1, max_length=MAX_FILENAME, pattern=NO_CONTROL_CHARACTERS),
)
IF_MATCH = parameter(
    "header",
    "If-Match",
    "Only if the blob has one of these entity tags; `*`: if there is one.",
    TAGS,
    ETAG,
)
IF_NONE_MATCH = parameter(
    "header",
    "If-None-Match",
    "Only if the blob has none of these entity tags; `*`: if there is none. For GET and HEAD: of this form.",
    TAGS,
)
IF_UNMODIFIED_SINCE = parameter(
    "header",
    "If-Unmodified-Since",
    "The Last-Modified that you know: 412 if the blob has changed since, or is gone. "
    "Ignored next to If-Match, and if it is not a date.",
)
CONDITIONS = [
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    parameter(
        "header",
        "If-Modified-Since",
        "The Last-Modified that you know: 304 unless the blob has changed since. "
        "Ignored next to If-None-Match, and if it is not a date.",
    ),
]
RANGE = [
    parameter(
        "header",
        "Range",
        "One range of bytes, in the raw form: `bytes=0-99`, `bytes=100-` or `bytes=-100`. "
        "Several, and what is no range, are answered with the whole.",
        example="bytes=0-4",
    ),
    parameter(
        "header", "If-Range", "The version that the range is of, by ETag or Last-Modified; the whole of any other."
    ),
]
DIGESTS = [
    parameter("header", name, "Of the body. SHA-256 is verified, and other algorithms are not.", example=DIGEST)
    for name in ("Content-Digest", "Repr-Digest")
]
CONTENT_ENCODING = parameter(
    "header",
    "Content-Encoding",
    "The codings that you applied to the bytes, such as `gzip`. They are kept, and sent back in the raw form. The "
    "bytes are not decoded: size, digests and ranges are those of what you send.",
    text(pattern=CODINGS, max_length=255),
)
PROPERTIES = [
    parameter(
        "header",
        "Content-Language",
        "The languages of the blob, such as `de-CH`. Kept, and sent back in the raw form.",
        text(pattern=LANGUAGES, max_length=1024),
    ),
    parameter(
        "header",
        "Content-Disposition",
        "How to show the blob, and its filename. Kept, and sent back in the raw form, but only harmless types are ever "
        "shown inline. No parameter is repeated.",
        text(format="content-disposition", pattern=DISPOSITION, max_length=MAX_DISPOSITION),
    ),
    parameter(
        "header",
        "Cache-Control",
        "How to cache the blob. Kept, and sent back in the raw form.",
        text(pattern=VISIBLE, max_length=1024),
    ),
]
STATE = ["Upload-Offset", "Upload-Complete", "Upload-Limit"]
UPLOAD_COMPLETE = parameter(
    "header",
    "Upload-Complete",
    "`?0`: more bytes follow by PATCH; `?1`: these are the last ones. Other values are ignored.",
    example="?0",
)
UPLOAD_LENGTH = parameter(
    "header", "Upload-Length", "Of a resumable upload: the size of the whole. Other values are ignored.", example="12"
)
RESUMABLE = [UPLOAD_COMPLETE, UPLOAD_LENGTH]
METADATA = [
    parameter(
        "header",
        "X-Meta-*",
        "Your own texts, each in a header of its own, such as `X-Meta-Author: Ada`: UTF-8 without control characters, "
        "of which all but visible ASCII is percent-encoded, and the percent sign. Names and values have 8 KiB in all. "
        "They are sent back in the raw form.",
        text(format="percent-encoded", pattern="^[ -~]*$"),
        "Ada",
    )
]
EXPIRY = [
    parameter(
        "header",
        "X-Expires-In",
        "The blob ends so many seconds after it was stored: up to 100 years.",
        Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=36_525 * 24 * 60 * 60),
        3600,
    ),
    parameter(
        "header",
        "X-Expires-At",
        "The blob ends at this time (RFC 3339), which is in the future. Instead of X-Expires-In, not next to it.",
        text(format="date-time"),
    ),
]
NEXT_CURSOR = "The `next_cursor` of the page before, as it is."
PREFIX = parameter("query", "prefix", "How the ids begin.", text(pattern=NO_CONTROL_CHARACTERS), "my-")
LIMIT = Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=1000, default=100)
PAGE = [
    PREFIX,
    parameter(
        "query",
        "delimiter",
        "Ids with this behind the prefix are listed as one of `prefixes`, up to and with it.",
        text(pattern=NO_CONTROL_CHARACTERS),
        "/",
    ),
    parameter("query", "limit", "How many entries a page has at most: blobs and prefixes.", LIMIT),
    parameter("query", "cursor", NEXT_CURSOR, text(format="blob-cursor", description="Opaque.")),
    parameter("query", "fields", "`metadata`: also the properties that few blobs have.", text(enum=["", "metadata"])),
    parameter(
        "query", "format", "`zip`: the blobs themselves, in one file, instead of a page.", text(enum=["json", "zip"])
    ),
]


def page(cursor: str) -> list[Parameter]:
    """Return the parameters of a list whose cursors have this format."""
    return [
        PREFIX,
        parameter("query", "limit", "How many entries a page has at most.", LIMIT),
        parameter("query", "cursor", NEXT_CURSOR, text(format=cursor, description="Opaque.")),
    ]


def header(description: str, **schema: Any) -> OpenAPIHeader:
    return OpenAPIHeader(text(**schema), description=description)


HEADERS = {
    "X-Request-ID": header("The request's own, or a new one.", pattern=rf"^[\w.:+/=-]{{1,{MAX_REQUEST_ID}}}$"),
    "Location": header("Where the blob is.", pattern="^/v1/blobs/.", examples=[f"/v1/blobs/{ID}"]),
    "ETag": header(
        "The version. Each form has an entity tag of its own. Conditions take either, but If-None-Match of a GET or "
        "HEAD takes only that of the form asked for.",
        pattern=r'^"[0-9a-f]{32}-[0-9]+(?:\.[0-9]+-json)?"$',
        examples=[ETAG],
    ),
    "Vary": header("The form depends on Accept, and with CORS_ORIGINS on Origin.", pattern="^Accept(, Origin)?$"),
    "Content-Length": OpenAPIHeader(Schema(type=OpenAPIType.INTEGER, minimum=0), description="In bytes."),
    "Last-Modified": header(
        "In the raw form: the end of the second in which it was stored. A date given before that, or of one of several "
        "versions stored within a second, satisfies no condition: use the ETag.",
        pattern=HTTP_DATE,
        examples=[DATE],
    ),
    "Accept-Ranges": header("In the raw form.", const="bytes"),
    "Repr-Digest": header(
        "In the raw form: the SHA-256 of the whole blob, once it is known.",
        pattern="^sha-256=:[A-Za-z0-9+/]{43}=:$",
        examples=[DIGEST],
    ),
    "Content-Disposition": header(
        "In the raw form: how to show it, and its name. That is the last segment of the id, if it was stored without.",
        pattern=rf"^{WORD}[ \t]*(?:;.*)?$",
        examples=[f"attachment; filename*=UTF-8''{ID}"],
    ),
    "Content-Encoding": header("The codings that the blob was stored with, if any, in the raw form."),
    "Content-Language": header("The languages that the blob was stored with, if any, in the raw form."),
    "X-Expires-At": header("When the blob ends, if it does, in the raw form.", format="date-time"),
    "X-Meta-*": header("The metadata that the blob was stored with, if any, in the raw form.", pattern="^[ -~]*$"),
    "X-Content-Type-Options": header("The Content-Type is not to be guessed.", const="nosniff"),
    "Content-Security-Policy": header(
        "What a browser may do with it.", pattern="default-src 'none'", examples=["sandbox; default-src 'none'"]
    ),
    "Content-Range": header("What part it is of how many bytes.", pattern=r"^bytes \d+-\d+/\d+$"),
    "Retry-After": OpenAPIHeader(Schema(type=OpenAPIType.INTEGER, minimum=1, examples=[5]), description="In seconds."),
    "WWW-Authenticate": header("How to authenticate.", pattern="^(?:Bearer|Basic) ?"),
    "Cache-Control": header("Not to be kept.", const="no-store"),
    "Upload-Offset": header("Of a resumable upload: how many bytes it has.", pattern="^[0-9]+$", examples=["12"]),
    "Upload-Complete": header(
        "Of a resumable upload: whether it has become a blob.", pattern=r"^\?[01]$", examples=["?0"]
    ),
    "Upload-Length": header("How many bytes the upload will have, if that is known.", pattern="^[0-9]+$"),
    "Upload-Limit": header(
        "The largest upload in bytes, and the seconds that this one has left.",
        pattern="^max-size=[0-9]+(?:, (?:max-age|expires)=[0-9]+)?$",
        examples=["max-size=5368709120, max-age=86400"],
    ),
}
LOCATION_OF_BOTH = header(
    "Where the blob is, or the upload.",
    pattern=r"^/v1/(?:blobs/.|uploads/[0-9a-f]{32}(?:\?|$))",
    examples=[f"/v1/blobs/{ID}"],
)
ALWAYS = ["X-Request-ID", "X-Content-Type-Options", "Content-Security-Policy"]
# In the raw form, of blobs that have it.
SOMETIMES = ["Repr-Digest", "Content-Encoding", "Content-Language", "X-Expires-At", "X-Meta-*"]
RAW_ONLY = [
    name
    for name, header in HEADERS.items()
    if (header.description or "").startswith("In the raw form") and name not in SOMETIMES
]


def always(header: OpenAPIHeader) -> OpenAPIHeader:
    """Return the same header, but required."""
    header = copy(header)
    header.required = True
    return header


def response(
    description: str,
    content: dict[str, OpenAPIMediaType] | None = None,
    required: Iterable[str] = (),
    optional: Iterable[str] = (),
) -> OpenAPIResponse:
    """Return a response with these headers, and the headers of all responses."""
    headers: dict[str, OpenAPIHeader | Reference] = {name: HEADERS[name] for name in optional}
    headers |= {name: always(HEADERS[name]) for name in (*required, *ALWAYS)}
    return OpenAPIResponse(description, headers, content)
