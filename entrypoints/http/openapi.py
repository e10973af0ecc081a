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
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
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
STORE_RESPONSES = {201: ResponseSpec(StoredBody, False, "Stored.")} | _problems(
    {
        HTTPStatus.BAD_REQUEST: "The body, the id or the base64 is not as it should be.",
        HTTPStatus.REQUEST_TIMEOUT: "The upload stood still for too long.",
        HTTPStatus.CONFLICT: "A blob with this id exists already.",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The blob is too large.",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not JSON.",
        HTTPStatus.INSUFFICIENT_STORAGE: "The storage is full.",
        **_ALWAYS,
    }
)
READY_RESPONSES = _problems(
    {HTTPStatus.SERVICE_UNAVAILABLE: "The database or the storage for new blobs took no write."}
)
FETCH_RESPONSES = {200: ResponseSpec(BlobBody, False, "The blob.")} | _problems(
    {
        HTTPStatus.BAD_REQUEST: "This is no blob id.",
        HTTPStatus.NOT_FOUND: "There is no blob with this id.",
        **_ALWAYS,
    }
)
