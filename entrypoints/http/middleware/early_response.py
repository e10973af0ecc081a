"""Requests that get their response before their bodies were read to completion, mostly because they are refused."""

import asyncio
from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from entrypoints.http.middleware.lingering_close import Lingering
from entrypoints.http.protocol.headers import is_http_1
from entrypoints.server.sockets import cut

CLOSE = (b"connection", b"close")
# Seconds in which the HTTP server writes a response. To read a body that was announced with `Expect: 100-continue` any
# earlier could invite the client to send it.
WRITTEN_WITHIN = 0.1
COLLECTED_FOR = 0.25  # seconds


class EarlyResponseMiddleware:
    """ASGI middleware that closes the connection of such a request, after it has discarded the rest of the body.

    It is the outermost: while it discards, the request has ended for everything else, and holds no request slot. HTTP/2
    can refuse a body without closing the connection.

    If the client is still sending then, the socket is shut down. The HTTP server would close it only when nothing
    refers to the request any more, and an error that is part of a reference cycle refers to all that it passed.
    """

    def __init__(self, app: ASGIApp, lingering: Lingering) -> None:
        self._app = app
        self._lingering = lingering
        self._shutdowns = Shutdowns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not is_http_1(scope) or not _may_have_body(scope):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        await self._app(scope, exchange.receive, exchange.send)
        if exchange.is_early:
            if any(name == b"expect" for name, _ in scope["headers"]):
                await asyncio.sleep(WRITTEN_WITHIN)
            if not await self._lingering.discard(receive):
                self._shutdowns.add(scope)


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
        elif not message.get("more_body", False):
            self._is_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._is_read and CLOSE not in message.get("headers", []):
            message["headers"] = [*message.get("headers", []), CLOSE]
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_answered = True


class Shutdowns:
    """Connections to shut down, collected for a moment: to find sockets means to look at all open files.

    The moment is also the time in which the HTTP server writes the response.
    """

    def __init__(self) -> None:
        self._clients: set[tuple[str, int]] = set()

    def add(self, scope: HTTPScope) -> None:
        client, server = scope.get("client"), scope.get("server")
        if not client or not server:
            return
        if not self._clients:
            asyncio.get_running_loop().call_later(COLLECTED_FOR, self._shut_down, server[1])
        self._clients.add((client[0], client[1]))

    def _shut_down(self, port: int | None) -> None:
        clients, self._clients = self._clients, set()
        cut(clients, port)


def _may_have_body(scope: HTTPScope) -> bool:
    """Whether a body, or something sent as one, may follow the head. The server reads only a body with framing."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers or b"content-length" not in headers:
        return b"transfer-encoding" in headers or scope["method"] in ("POST", "PUT", "PATCH")
    return headers[b"content-length"].strip(b"0") != b""
