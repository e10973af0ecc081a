"""Requests that get their response before their bodies were read to completion, mostly because they are refused."""

import asyncio
from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from entrypoints.http.fields import is_http_1
from entrypoints.http.lingering import Lingering

CLOSE = (b"connection", b"close")
# Seconds in which the HTTP server writes a response. To read a body that was announced with `Expect: 100-continue` any
# earlier could invite the client to send it.
WRITTEN_WITHIN = 0.1


class UnreadBodyMiddleware:
    """ASGI middleware that closes the connection of such a request, after it has discarded the rest of the body.

    While it discards, the request has ended for everything inside, and holds no request slot. HTTP/2 can refuse a body
    without closing the connection.
    """

    def __init__(self, app: ASGIApp, lingering: Lingering) -> None:
        self._app = app
        self._lingering = lingering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not is_http_1(scope) or not _may_have_body(scope):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        await self._app(scope, exchange.receive, exchange.send)
        if exchange.is_early:
            if any(name == b"expect" for name, _ in scope["headers"]):
                await asyncio.sleep(WRITTEN_WITHIN)
            await self._lingering.discard(receive)


class _Exchange:
    """A request and its response, as far as they have come."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_read = False
        self._is_gone = False  # or what it sends can't be read
        self._is_answered = False

    @property
    def is_early(self) -> bool:
        """Whether the response is complete, and the client may still be sending its request."""
        return self._is_answered and not self._is_read and not self._is_gone

    async def receive(self) -> HTTPReceiveMessage:
        message = cast("HTTPReceiveMessage", await self._receive())
        if message["type"] == "http.disconnect":
            self._is_gone = True
        elif not message["more_body"]:
            self._is_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._is_read and CLOSE not in message["headers"]:
            message["headers"] = [*message["headers"], CLOSE]
        await self._send(message)
        if message["type"] == "http.response.body" and not message["more_body"]:
            self._is_answered = True


def _may_have_body(scope: HTTPScope) -> bool:
    """Whether a body, or something sent as one, may follow the head. The server reads only a body with framing."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers or b"content-length" not in headers:
        return b"transfer-encoding" in headers or scope["method"] in ("POST", "PUT", "PATCH")
    return headers[b"content-length"].strip(b"0") != b""
