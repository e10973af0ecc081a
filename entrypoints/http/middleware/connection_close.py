"""Responses after which an HTTP/1 connection is closed: during a shutdown, and before the request's body was read."""

import asyncio

from litestar.types import HTTPScope

from entrypoints.http.middleware.base.exchange import Exchange, Header
from entrypoints.http.middleware.base.lingering_close import Lingering
from entrypoints.http.middleware.base.stack import Middleware
from entrypoints.http.protocol.fields.headers import is_http_1
from entrypoints.server.shutdown import GracefulShutdown
from entrypoints.server.sockets import cut

CLOSE = (b"connection", b"close")
# Seconds in which the HTTP server writes a response. To read a body that was announced with `Expect: 100-continue` any
# earlier could invite the client to send it.
WRITTEN_WITHIN = 0.1
COLLECTED_FOR = 0.25  # seconds


class ConnectionCloseMiddleware(Middleware):
    """Adds `Connection: close` to responses that must be the last of their connection.

    Once a shutdown has begun, these are all responses: clients close the connections that are in use, or get a
    response, and no connection is closed between two requests.

    Otherwise these are the responses to requests whose bodies were not read to completion, mostly because they are
    refused. The rest of such a body is discarded before the connection is closed. If the client is still sending then,
    the socket is shut down: the HTTP server would close it only when nothing refers to the request any more, and an
    error that is part of a reference cycle refers to everything that it passed. HTTP/2 can refuse a body without
    closing the connection.
    """

    def __init__(self, shutdown: GracefulShutdown, lingering: Lingering) -> None:
        self._shutdown = shutdown
        self._lingering = lingering
        self._cuts = CollectedCuts()

    def on_request(self, exchange: Exchange) -> None:
        exchange.is_read = not is_http_1(exchange.scope) or not _may_have_body(exchange)

    def on_response(self, exchange: Exchange, headers: list[Header]) -> None:
        # A client that asks for a `100 Continue` gets none if its body is empty. Some take the next response for it.
        is_last = self._shutdown.has_begun or (b"expect" in exchange.headers and not _may_have_body(exchange))
        if (is_last and is_http_1(exchange.scope)) or not exchange.is_read:
            headers[:] = [header for header in headers if header != CLOSE] + [CLOSE]

    async def on_early_response(self, exchange: Exchange) -> None:
        if b"expect" in exchange.headers:
            await asyncio.sleep(WRITTEN_WITHIN)
        if not await self._lingering.discard(exchange.receive):
            self._cuts.add(exchange.scope)


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


def _may_have_body(exchange: Exchange) -> bool:
    """Whether a body, or something sent as one, may follow the head. The server reads only a body with framing."""
    headers = exchange.headers
    if b"transfer-encoding" in headers or b"content-length" not in headers:
        return b"transfer-encoding" in headers or exchange.scope["method"] in ("POST", "PUT", "PATCH")
    return headers[b"content-length"].strip(b"0") != b""
