"""HEAD for every resource that has GET (RFC 9110, section 9.1)."""

from functools import partial
from typing import cast

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from entrypoints.http.protocol.urls.blob_paths import PREFIX

OWN = (PREFIX, b"/s/", b"/v1/uploads/")


class HeadMiddleware:
    """ASGI middleware that routes HEAD to GET, whose body the server omits, and names HEAD in the header Allow.

    Blobs, share links and uploads have handlers of their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["raw_path"].startswith(OWN):
            await self._app(scope, receive, send)
            return
        if scope["method"] != "HEAD":
            await self._app(scope, receive, partial(_send_allowing_head, send))
            return
        # A copy, because the server omits the body by its own scope's method. A handler that would read for long sees
        # that nothing of it is sent.
        get = cast("HTTPScope", {**scope, "method": HttpMethod.GET, "is_head": True})
        try:
            await self._app(get, receive, send)
        finally:
            scope["path_template"] = get.get("path_template", "unknown")


async def _send_allowing_head(send: Send, message: Message) -> None:
    """Send a message. If it has the methods of a path, HEAD is one of them where GET is (RFC 9110, section 10.2.1)."""
    if message["type"] == "http.response.start":
        message["headers"] = [
            (key, _allowing_head(value)) if key == b"allow" else (key, value) for key, value in message["headers"]
        ]
    await send(message)


def _allowing_head(value: bytes) -> bytes:
    methods = value.split(b", ")
    return value + b", HEAD" if b"GET" in methods and b"HEAD" not in methods else value
