"""HEAD, for all that GET is for (RFC 9110, section 9.1)."""

from typing import cast

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from entrypoints.http.protocol.blob_paths import PREFIX


class HeadMiddleware:
    """ASGI middleware that answers HEAD as GET, whose body the server leaves out. Blobs have a cheaper answer to it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD" or scope["raw_path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        # A copy, for by its own the server knows that it is to leave the body out.
        get = cast("HTTPScope", {**scope, "method": HttpMethod.GET})
        try:
            await self._app(get, receive, send)
        finally:
            scope["path_template"] = get.get("path_template", "unknown")
