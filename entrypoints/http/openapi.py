"""The description of the interface, and the page at /docs that shows it, with all its files served from here."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from litestar import Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityScheme,
)

from entrypoints import __version__
from entrypoints.http.json_form import BlobBody, StoredBody
from entrypoints.http.problems import Problem

STATIC = Path(__file__).parent / "static"
PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Drivebay</title>
<link rel="icon" href="/docs/files/favicon-32x32.png">
<link rel="stylesheet" href="/docs/files/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/files/swagger-ui-bundle.js"></script>
<script src="/docs/files/docs.js"></script>
</body>
</html>
"""


class SwaggerPage(OpenAPIRenderPlugin):
    """Swagger UI. The framework's own plugin would fetch it from other hosts, and ask one of them to validate."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return PAGE


TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png", ".txt": "text/plain"}


def config() -> OpenAPIConfig:
    """The description's, and the routes for the page and its files."""
    files = {path.name: (TYPES.get(path.suffix, "text/plain"), path.read_bytes()) for path in STATIC.iterdir()}

    @get("/files/{name:str}", sync_to_thread=False)
    def file(name: str) -> Response[bytes]:
        if name not in files:
            raise NotFoundException
        content_type, content = files[name]
        return Response(content, media_type=content_type, headers={"Cache-Control": "max-age=3600"})

    return OpenAPIConfig(
        title="Drivebay",
        version=__version__,
        description="Blob storage: store a file with one request, and never think about where it went.",
        render_plugins=[SwaggerPage(path="/")],
        openapi_router=Router(
            "/docs", route_handlers=[file], include_in_schema=False, after_request=_no_page_of_errors
        ),
        components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"bearer": []}],
    )


def _no_page_of_errors(response: Response[Any]) -> Response[Any]:
    """The framework has a page of its own for what is not there. Here, errors are problem details."""
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise NotFoundException
    return response


@dataclass
class StoreOperation(Operation):
    """The framework does not see the body of this route, which is read by hand."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        data = Schema(type=OpenAPIType.STRING, content_encoding="base64", description="RFC 4648, section 4, padded.")
        body = Schema(
            type=OpenAPIType.OBJECT,
            required=["id", "data"],
            properties={"id": text, "data": data},
            additional_properties=False,
            examples=[{"id": "my-blob", "data": "SGVsbG8gV29ybGQh"}],
        )
        self.request_body = RequestBody({"application/json": OpenAPIMediaType(body)}, required=True)


def _parameter(place: str, name: str, description: str) -> Parameter:
    return Parameter(name, place, description=description, required=False, schema=Schema(type=OpenAPIType.STRING))


_IF_MATCH = _parameter("header", "If-Match", "The entity tags of the versions that may be changed, or `*` for any.")
_IF_NONE_MATCH = _parameter("header", "If-None-Match", "`*`: only if there is no such blob.")
_READING = [
    _parameter("query", "alt", "`media` for the bytes, `json` for JSON; without it, Accept decides."),
    _parameter("header", "If-Match", "The entity tags of the versions that are wanted."),
    _parameter("header", "If-None-Match", "The entity tags of the versions that are known already."),
    _parameter("header", "If-Modified-Since", "The date of the version that is known already."),
    _parameter("header", "If-Unmodified-Since", "The date of the version that is wanted."),
]
_RANGE = [
    _parameter("header", "Range", "One range of bytes, such as `bytes=0-99`; in the raw form only."),
    _parameter("header", "If-Range", "The version, by tag or date, that the range is of."),
]
_BYTES = OpenAPIMediaType(Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))


@dataclass
class PutOperation(Operation):
    """Likewise."""

    def __post_init__(self) -> None:
        digest = "Of the body: `sha-256=:...:` is verified."
        digests = [_parameter("header", name, digest) for name in ("Content-Digest", "Repr-Digest")]
        self.parameters = [*(self.parameters or []), _IF_MATCH, _IF_NONE_MATCH, *digests]
        self.request_body = RequestBody({"*/*": _BYTES}, required=True, description="The bytes; the type is kept.")


@dataclass
class HeadOperation(Operation):
    """The framework does not see the headers that this route heeds."""

    def __post_init__(self) -> None:
        self.parameters = [*(self.parameters or []), *_READING]


@dataclass
class FetchOperation(Operation):
    """Likewise, nor that there are two forms."""

    def __post_init__(self) -> None:
        self.parameters = [*(self.parameters or []), *_READING, *_RANGE]
        for status in ("200", "206"):
            content = getattr((self.responses or {}).get(status), "content", None)
            if content is not None:
                content["*/*" if status == "200" else "application/octet-stream"] = _BYTES


@dataclass
class ListOperation(Operation):
    """The framework does not see the query of this route, which is read by hand."""

    def __post_init__(self) -> None:
        limit = Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=1000, default=100)
        self.parameters = [
            *(self.parameters or []),
            _parameter("query", "prefix", "How the ids begin."),
            _parameter("query", "delimiter", "What has this behind the prefix is listed as one of `prefixes`."),
            Parameter("limit", "query", description="Entries on a page.", required=False, schema=limit),
            _parameter("query", "cursor", "The `next_cursor` of the page before."),
        ]


@dataclass
class DeleteOperation(Operation):
    """Likewise."""

    def __post_init__(self) -> None:
        self.parameters = [*(self.parameters or []), _IF_MATCH]


def _problems(causes: Mapping[HTTPStatus, str]) -> dict[int, ResponseSpec]:
    return {
        int(status): ResponseSpec(Problem, False, cause, "application/problem+json") for status, cause in causes.items()
    }


_ALWAYS = {
    HTTPStatus.UNAUTHORIZED: "No valid bearer token.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The stored bytes are damaged, or Drivebay has a fault.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The storage or the database can't be used now.",
    HTTPStatus.GATEWAY_TIMEOUT: "The storage or the database did not answer in time.",
}
_STORING = {
    HTTPStatus.REQUEST_TIMEOUT: "The body came too slowly, or the upload stood still for too long.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The blob is too large.",
    HTTPStatus.INSUFFICIENT_STORAGE: "The storage is full.",
    **_ALWAYS,
}
_FETCHING = {
    HTTPStatus.BAD_REQUEST: "This is no blob id, or a header or parameter is not as it should be.",
    HTTPStatus.NOT_FOUND: "There is no blob with this id.",
    HTTPStatus.PRECONDITION_FAILED: "The blob is not in the version that was named.",
    **_ALWAYS,
}
_UNCHANGED = {304: ResponseSpec(None, False, "The client has this version already.")}
STORE_RESPONSES = {201: ResponseSpec(StoredBody, False, "Stored.")} | _problems(
    {
        HTTPStatus.BAD_REQUEST: "The body, the id or the base64 is not as it should be.",
        HTTPStatus.CONFLICT: "A blob with this id exists already.",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not JSON.",
        **_STORING,
    }
)
PUT_RESPONSES = {
    200: ResponseSpec(StoredBody, False, "Stored, in the place of another version."),
    201: ResponseSpec(StoredBody, False, "Stored."),
} | _problems(
    {
        HTTPStatus.BAD_REQUEST: "The id or a header is not as it should be, or the body is not what was declared.",
        HTTPStatus.PRECONDITION_FAILED: "The blob is not in the version that was named.",
        **_STORING,
    }
)
FETCH_RESPONSES = {
    200: ResponseSpec(BlobBody, False, "The blob."),
    206: ResponseSpec(bytes, False, "The range.", "application/octet-stream"),
    **_UNCHANGED,
} | _problems({HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "The range lies behind the end.", **_FETCHING})
HEAD_RESPONSES = {200: ResponseSpec(None, False, "There is such a blob."), **_UNCHANGED} | _problems(_FETCHING)
LIST_RESPONSES = _problems({HTTPStatus.BAD_REQUEST: "A parameter is not as it should be.", **_ALWAYS})
DELETE_RESPONSES = {204: ResponseSpec(None, False, "Deleted.")} | _problems(_FETCHING)
READY_RESPONSES = _problems(
    {HTTPStatus.SERVICE_UNAVAILABLE: "The database or the storage for new blobs took no write."}
)
