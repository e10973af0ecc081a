"""Checks of requests that belong to routes: the framework calls them as ASGI middleware, direct routes as functions."""

from collections.abc import Awaitable

from litestar.types import ASGIApp, Receive, Scope, Send


class GuardMiddleware:
    """ASGI middleware that admits a request by its head, or raises an error. It leaves the messages as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pending = self.enter(scope)
        if pending is not None:
            await pending
        try:
            await self._app(scope, receive, send)
        finally:
            self.leave()

    def enter(self, scope: Scope) -> Awaitable[None] | None:
        """Admit a request, or raise an error. A returned awaitable does that once it is awaited."""
        return None

    def leave(self) -> None:
        """Note the end of a request that was admitted."""
