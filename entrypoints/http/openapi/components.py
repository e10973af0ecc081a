"""Components of the OpenAPI document: the blob of all examples, parameters, and headers."""

from collections.abc import Iterable, Mapping
from copy import copy
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

from domain.blob import MAX_ID_BYTES
from entrypoints.http.middleware.access_log import MAX_REQUEST_ID
from entrypoints.http.protocol.header_values import MAX_SIZE

ID = "my-blob"
DATA = "SGVsbG8gV29ybGQh"
SHA_256 = "7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069"
DIGEST = "sha-256=:f4OxZX/x/FO5LcGBSKHWXfwtSx+j1ncoSt3SABJtkGk=:"
ETAG = '"7fc8b269db25a411dcf4cb7cbece7a28-1"'
DATE = "Fri, 27 Oct 2023 10:00:00 GMT"

NO_CONTROL_CHARACTERS = r"^[^\u0000-\u001f\u007f-\u009f]*$"
HTTP_DATE = r"^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$"
TAG = '(?:W/)?"[!#-~]*"'  # ASCII only
# Groups of four, and a last one whose padding cuts off no bits.
BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?$"


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


def json_of(name: str, example: Mapping[str, Any]) -> dict[str, OpenAPIMediaType]:
    """Return a body in JSON with the schema of this name."""
    return {"application/json": OpenAPIMediaType(Reference(f"#/components/schemas/{name}"), example=dict(example))}


def parameter(place: str, name: str, description: str, schema: Schema | None = None, example: Any = None) -> Parameter:
    return Parameter(name, place, schema or text(), description, required=place == "path", example=example)


TAGS = Schema(any_of=[text(const="*"), text(pattern=f"^{TAG}(?: *, *{TAG})*$", max_length=MAX_SIZE)])
BLOB_ID = parameter("path", "id", "The blob's id, percent-encoded: `/` as `%2F`.", id_schema(), ID)
ALT = parameter(
    "query", "alt", "`media` for the bytes, `json` for JSON. Without it, Accept decides.", text(enum=["media", "json"])
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
    "Only if the blob has none of these entity tags; `*`: if there is none.",
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
CODING = "[A-Za-z0-9!#$%&'*+.^_`|~-]+"
CODINGS = f"^(?:{CODING}(?: *, *{CODING})*)?$"
CONTENT_ENCODING = parameter(
    "header",
    "Content-Encoding",
    "The codings that you applied to the bytes, such as `gzip`. They are kept, and sent back in the raw form. The "
    "bytes are not decoded: size, digests and ranges are those of what you send.",
    text(pattern=CODINGS, max_length=255),
)
PROPERTIES = [
    parameter("header", name, description)
    for name, description in {
        "Content-Language": "The languages of the blob, such as `de-CH`. Kept, and sent back in the raw form.",
        "Content-Disposition": "How to show the blob, and its filename. Kept, and sent back in the raw form, but only "
        "harmless types are ever shown inline.",
        "Cache-Control": "How to cache the blob. Kept, and sent back in the raw form.",
    }.items()
]
EXPIRY = [
    parameter(
        "header",
        "X-Expires-In",
        "The blob ends so many seconds after it was stored.",
        text(pattern="^[0-9]{1,10}$"),
        "3600",
    ),
    parameter("header", "X-Expires-At", "The blob ends at this time (RFC 3339). Instead of X-Expires-In."),
]
CURSOR = text(format="blob-cursor", description="Opaque.")
PAGE = [
    parameter("query", "prefix", "How the ids begin.", text(pattern=NO_CONTROL_CHARACTERS), "my-"),
    parameter(
        "query",
        "delimiter",
        "Ids with this behind the prefix are listed as one of `prefixes`, up to and with it.",
        text(pattern=NO_CONTROL_CHARACTERS),
        "/",
    ),
    parameter(
        "query",
        "limit",
        "How many entries a page has at most: blobs and prefixes.",
        Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=1000, default=100),
    ),
    parameter("query", "cursor", "The `next_cursor` of the page before, as it is.", CURSOR),
    parameter("query", "fields", "`metadata`: also the properties that few blobs have.", text(enum=["metadata"])),
]


def header(description: str, **schema: Any) -> OpenAPIHeader:
    return OpenAPIHeader(text(**schema), description=description)


HEADERS = {
    "X-Request-ID": header("The request's own, or a new one.", pattern=rf"^[\w.:+/=-]{{1,{MAX_REQUEST_ID}}}$"),
    "Location": header("Where the blob is.", pattern="^/v1/blobs/.", examples=[f"/v1/blobs/{ID}"]),
    "ETag": header(
        "The version. Each form has an entity tag of its own, and conditions take either.",
        pattern='^"[0-9a-f]{32}-[0-9]+(?:-json)?"$',
        examples=[ETAG],
    ),
    "Vary": header("The form depends on Accept.", const="Accept"),
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
        "In the raw form: how to show it, and the last segment of the id as its name.",
        pattern=r"^(?:inline|attachment)(?:; filename\*=UTF-8''.+)?$",
        examples=[f"attachment; filename*=UTF-8''{ID}"],
    ),
    "Content-Encoding": header("The codings that the blob was stored with, if any, in the raw form."),
    "Content-Language": header("The languages that the blob was stored with, if any, in the raw form."),
    "X-Expires-At": header("When the blob ends, if it does, in the raw form. Metadata has headers X-Meta-..., too."),
    "X-Content-Type-Options": header("The Content-Type is not to be guessed.", const="nosniff"),
    "Content-Security-Policy": header(
        "What a browser may do with it.", pattern="default-src 'none'", examples=["sandbox; default-src 'none'"]
    ),
    "Content-Range": header("What part it is of how many bytes.", pattern=r"^bytes \d+-\d+/\d+$"),
    "Retry-After": OpenAPIHeader(Schema(type=OpenAPIType.INTEGER, minimum=1, examples=[5]), description="In seconds."),
    "WWW-Authenticate": header("How to authenticate.", pattern="^Bearer"),
    "Cache-Control": header("Not to be kept.", const="no-store"),
}
ALWAYS = ["X-Request-ID", "X-Content-Type-Options", "Content-Security-Policy"]
# In the raw form, of blobs that have it.
SOMETIMES = ["Repr-Digest", "Content-Encoding", "Content-Language", "X-Expires-At"]
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
