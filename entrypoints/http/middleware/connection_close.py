"""Responses after which an HTTP/1 connection is closed: during a shutdown, and before the request's body was read."""

import asyncio
from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from entrypoints.http.middleware.lingering_close import Lingering
from entrypoints.http.protocol.headers import is_http_1
from entrypoints.server.shutdown import GracefulShutdown
from entrypoints.server.sockets import cut

CLOSE = (b"connection", b"close")
# Seconds in which the HTTP server writes a response. To read a body that was announced with `Expect: 100-continue` any
# earlier could invite the client to send it.
WRITTEN_WITHIN = 0.1
COLLECTED_FOR = 0.25  # seconds


class ConnectionCloseMiddleware:
    """ASGI middleware that adds `Connection: close` to responses that must be the last of their connection.

    Once a shutdown has begun, these are all responses: clients close the connections that are in use, or get a
    response, and no connection is closed between two requests.

    Otherwise these are the responses to requests whose bodies were not read to completion, mostly because they are
    refused. The rest of such a body is discarded before the connection is closed. If the client is still sending then,
    the socket is shut down: the HTTP server would close it only when nothing refers to the request any more, and an
    error that is part of a reference cycle refers to everything that it passed. HTTP/2 can refuse a body without
    closing the connection.
    """

    def __init__(self, app: ASGIApp, shutdown: GracefulShutdown, lingering: Lingering) -> None:
        self._app = app
        self._shutdown = shutdown
        self._lingering = lingering
        self._cuts = CollectedCuts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not is_http_1(scope):
            await self._app(scope, receive, send)
        elif _may_have_body(scope):
            exchange = _Exchange(receive, send, self._shutdown, is_read=False)
            await self._app(scope, exchange.receive, exchange.send)
            if exchange.is_early:
                await self._discard(scope, receive)
        else:
            await self._app(scope, receive, _Exchange(receive, send, self._shutdown, is_read=True).send)

    async def _discard(self, scope: HTTPScope, receive: Receive) -> None:
        if any(name == b"expect" for name, _ in scope["headers"]):
            await asyncio.sleep(WRITTEN_WITHIN)
        if not await self._lingering.discard(receive):
            self._cuts.add(scope)


class _Exchange:
    """A request and its response, as far as they have come."""

    def __init__(self, receive: Receive, send: Send, shutdown: GracefulShutdown, *, is_read: bool) -> None:
        self._receive = receive
        self._send = send
        self._shutdown = shutdown
        self._is_read = is_read
        self._is_gone = False  # or what it sends can't be read
        self._is_complete = False

    @property
    def is_early(self) -> bool:
        """Whether the response is complete, and the client may still be sending its request."""
        return self._is_complete and not self._is_read and not self._is_gone

    async def receive(self) -> HTTPReceiveMessage:
        message = cast("HTTPReceiveMessage", await self._receive())
        if message["type"] == "http.disconnect":
            self._is_gone = True
        elif not message.get("more_body", False):
            self._is_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and (self._shutdown.has_begun or not self._is_read):
            message["headers"] = [header for header in message.get("headers", []) if header != CLOSE] + [CLOSE]
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_complete = True


class CollectedCuts:
    """Connections to cut, collected for a moment: to find sockets means to look at all open files.

    The moment is also the time in which the HTTP server writes the response.
    """

    def __init__(self) -> None:
        self._clients: set[tuple[str, int]] = set()

    def add(self, scope: HTTPScope) -> None:
        client, server = scope.get("client"), scope.get("server")
        if not client or not server:
            return
        if not self._clients:
            asyncio.get_running_loop().call_later(COLLECTED_FOR, self._cut, server[1])
        self._clients.add((client[0], client[1]))

    def _cut(self, port: int | None) -> None:
        clients, self._clients = self._clients, set()
        cut(clients, port)


def _may_have_body(scope: HTTPScope) -> bool:
    """Whether a body, or something sent as one, may follow the head. The server reads only a body with framing."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers or b"content-length" not in headers:
        return b"transfer-encoding" in headers or scope["method"] in ("POST", "PUT", "PATCH")
    return headers[b"content-length"].strip(b"0") != b""
