"""Requests that are answered before their bodies were read to the end, most of them because they are refused."""

from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from entrypoints.http.fields import is_http_1

CLOSE = (b"connection", b"close")


class UnreadBodies:
    """ASGI middleware that tells such a client to ask nothing more on this connection.

    The server reads no more of the body, and closes the connection. HTTP/2 has a way of its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not is_http_1(scope) or not _may_have_body(scope):
            await self._app(scope, receive, send)
            return
        is_read = False

        async def reading() -> HTTPReceiveMessage:
            nonlocal is_read
            message = cast("HTTPReceiveMessage", await receive())
            if message["type"] == "http.request" and not message["more_body"]:
                is_read = True
            return message

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_read and CLOSE not in message["headers"]:
                message["headers"] = [*message["headers"], CLOSE]
            await send(message)

        await self._app(scope, reading, answering)


def _may_have_body(scope: HTTPScope) -> bool:
    """Whether bytes may follow that are no request. Of a body that nothing announces the server does not know."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers or b"content-length" not in headers:
        return b"transfer-encoding" in headers or scope["method"] in ("POST", "PUT", "PATCH")
    return headers[b"content-length"].strip(b"0") != b""
