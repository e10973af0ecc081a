"""How many requests are served at once."""

from litestar.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.protocol.problems import RETRY_AFTER, HttpProblem


class RequestSlots:
    """Slots for concurrent requests in one worker."""

    def __init__(self, count: int) -> None:
        self.free = count


class LoadSheddingMiddleware:
    """ASGI middleware that takes one of `slots` for each request, and refuses at once where none is free.

    It comes before all that costs anything, and what tells how the server is does without.
    """

    def __init__(self, app: ASGIApp, slots: RequestSlots) -> None:
        self._app = app
        self._slots = slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._slots.free:
            # It is closed, for on the same connection the same worker would be asked again.
            headers = {**RETRY_AFTER, "Connection": "close"}
            raise HttpProblem("overloaded", headers=headers)
        self._slots.free -= 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._slots.free += 1
