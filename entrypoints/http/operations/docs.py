"""The document that describes the interface, and the page at /docs that shows it, with its files served from here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.middleware import DefineMiddleware
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import SecurityScheme

from entrypoints import __version__
from entrypoints.http.middleware.routes.load_shedding import LoadSheddingMiddleware, RequestSlots
from entrypoints.http.middleware.routes.query import QueryMiddleware
from entrypoints.http.openapi.bodies import ComponentsWithBodies, schemas
from entrypoints.http.routers import FaceRouter

MAX_REQUESTS = 64  # concurrent, in one worker; requests without a token must not use up the slots of others
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


DESCRIPTION = """\
Blob storage: store a file with one request, and never think about where it went.

**Ids.** An id is any Unicode text of 1 to 2,048 bytes in UTF-8 without control characters, kept to the byte. In a URL
it is everything behind `/v1/blobs/`, percent-decoded once: percent-encode all of it (`films/a b` is `films%2Fa%20b`,
and a `?` is `%3F`). A query parameter that an operation does not take is 400 `invalid_parameter`.

**Two forms.** A blob is stored and fetched as JSON, its bytes in base64, or raw, its bytes as the body. Either form
fetches what the other stored. `multipart/form-data` stores too, with the fields `id` and `file`.

**Encoded bytes.** A PUT with `Content-Encoding` stores the bytes as they are, and the raw form sends both back,
whatever `Accept-Encoding` says. In JSON such a blob has the member `content_encoding`.

**Metadata and expiry.** Headers `X-Meta-...` store your own texts with a blob, and `X-Expires-In` or `X-Expires-At`
ends it at a time. PATCH changes them, and the other properties of a blob, and leaves its bytes as they are. The raw
form sends them back, and a list shows them with `fields=metadata`.

**Changes.** A blob of any size is copied and moved at once: no byte is. `/v1/delete` and `/v1/move` take all blobs
with a prefix. `/v1/commits` makes up to 1,000 operations: all of them or none, and visible at once.

**Uploads.** A large blob can be sent in parts: begin an upload, send its parts in any order and concurrently, or append
to it, and publish it by a commit with `put`. A part is durable once its response comes. An upload to which
nothing is sent for a day is discarded.

**Trash.** Blobs that were deleted or replaced stay in the trash for a while. List it to restore a version, or to remove
it for ever.

**Errors** are problem details (RFC 9457). `code` is stable, and each operation lists those that it may answer; `detail`
says what to do. Any other path is 404 `unknown_route`, any other method 405 `method_not_allowed` with the header
`Allow`. A request without exactly one valid `Host` is 400 `invalid_header`. What is no HTTP, or a path of more than
64 KiB, is refused with a status alone.

**Requests** under `/v1` carry a bearer token, which is looked at before all else. Pages of this server itself may have
a session instead, a cookie from `/v1/session`; it does not count for any other page. An answer has the request's
`X-Request-ID`, or a new one, which the lines of the log carry.

This document is at `/docs/openapi.json`, and a page that shows it at `/docs`; they need no token, nor do `/health` and
`/metrics`.
"""


class SwaggerPage(OpenAPIRenderPlugin):
    """Swagger UI. The framework's own plugin would fetch it from other hosts, and ask one of them to validate."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return PAGE


BEARER = SecurityScheme(type="http", scheme="bearer", description="One of the tokens in AUTH_BEARER_TOKEN.")
SESSION = SecurityScheme(
    type="apiKey",
    name="drivebay_session",
    security_scheme_in="cookie",
    description="The session of a browser, from `/v1/session`. Over https its name begins with `__Host-`.",
)
TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png", ".txt": "text/plain"}


def config(forms: Sequence[type[msgspec.Struct]]) -> OpenAPIConfig:
    """Return the configuration of the document, and of the routes for the page and its files.

    `forms`: the classes of the JSON bodies that requests have.
    """
    files = {path.name: (TYPES.get(path.suffix, "text/plain"), path.read_bytes()) for path in STATIC.iterdir()}

    # A path for each, because only paths without parameters are routed.
    @get([f"/files/{name}" for name in files], sync_to_thread=False)
    def file(request: Request[Any, Any, Any]) -> Response[bytes]:
        content_type, content = files[Path(request.scope["path"]).name]
        return Response(content, media_type=content_type, headers={"Cache-Control": "max-age=3600"})

    return OpenAPIConfig(
        title="Drivebay",
        version=__version__,
        description=DESCRIPTION,
        render_plugins=[SwaggerPage(path="/")],
        openapi_router=FaceRouter(
            "/docs",
            route_handlers=[file],
            middleware=[DefineMiddleware(LoadSheddingMiddleware, slots=RequestSlots(MAX_REQUESTS)), QueryMiddleware],
            include_in_schema=False,
        ),
        components=ComponentsWithBodies(security_schemes={"bearer": BEARER, "session": SESSION}, bodies=schemas(forms)),
        security=[{"bearer": []}, {"session": []}],
    )
