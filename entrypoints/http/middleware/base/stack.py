"""All middleware of the application in one pass: a middleware has hooks, and the exchange has `receive` and `send`."""

from collections.abc import Sequence

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.middleware.base.exchange import Completion, Exchange, Header, Responder
from entrypoints.http.protocol.client_pace import Pace

LOG = structlog.get_logger()


class Middleware:
    """A concern of all HTTP requests. A subclass overrides the hooks that it needs; the others take no time."""

    def on_request(self, exchange: Exchange) -> Responder | None:
        """Look at a request. A returned responder replaces the router and all middleware further inside."""
        return None

    def on_response(self, exchange: Exchange, headers: list[Header]) -> None:
        """Complete the headers of a response."""

    def on_end(self, exchange: Exchange) -> None:
        """Record the end of an exchange, with a response or without."""

    async def on_early_response(self, exchange: Exchange) -> None:
        """Take care of a client that has its response, and may still be sending its request."""


class MiddlewareStack:
    """An ASGI application: a router within middleware, and `other` for what is not HTTP.

    The first middleware is the outermost: requests pass them in this order, and responses in the reverse order.
    """

    def __init__(self, router: Responder, other: ASGIApp, middleware: Sequence[Middleware], pace: Pace) -> None:
        self._router = router
        self._other = other
        self._middleware = middleware
        self._pace = pace
        # A responder replaces what is further inside, so only middleware further outside completes its response.
        self._requests = [
            (each.on_request, _completions(middleware[:index]))
            for index, each in enumerate(middleware)
            if _overrides(each, "on_request")
        ]
        self._completions = _completions(middleware)
        self._ends = [each.on_end for each in reversed(middleware) if _overrides(each, "on_end")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._other(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self._completions, self._pace)
        try:
            await self._responder(exchange)(exchange)
        except Exception as error:
            if not exchange.status:
                raise
            # It is too late for another response. The server cuts the connection of an incomplete one, and the
            # client, which knows its length, sees that.
            LOG.error("an answer broke off", exc_info=error)
        finally:
            for on_end in self._ends:
                on_end(exchange)
        if exchange.is_complete and not (exchange.is_read or exchange.is_gone):
            for each in self._middleware:
                await each.on_early_response(exchange)

    def _responder(self, exchange: Exchange) -> Responder:
        for on_request, completions in self._requests:
            responder = on_request(exchange)
            if responder is not None:
                exchange.completions = completions
                return responder
        return self._router


def _completions(middleware: Sequence[Middleware]) -> Sequence[Completion]:
    return [each.on_response for each in reversed(middleware) if _overrides(each, "on_response")]


def _overrides(middleware: Middleware, hook: str) -> bool:
    return getattr(type(middleware), hook) is not getattr(Middleware, hook)
