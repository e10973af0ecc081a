"""A limit on concurrent requests."""

from collections.abc import Callable

from litestar.types import ASGIApp, Scope

from entrypoints.http.middleware.routes.guard import GuardMiddleware
from entrypoints.http.protocol.problems import RETRY_AFTER, HttpProblem


class RequestSlots:
    """Slots for concurrent requests in one worker."""

    def __init__(self, count: int) -> None:
        self.free = count


class LoadSheddingMiddleware(GuardMiddleware):
    """ASGI middleware that takes one of `slots` for each request, and refuses immediately if none is free.

    It comes before everything that costs anything. Health and metrics need no slot.
    """

    def __init__(self, app: ASGIApp, slots: RequestSlots) -> None:
        super().__init__(app)
        self._slots = slots

    def enter(self, scope: Scope) -> None:
        if not self._slots.free:
            # Closed, because a retry on the same connection would reach the same worker.
            headers = {**RETRY_AFTER, "Connection": "close"}
            raise HttpProblem("overloaded", headers=headers)
        self._slots.free -= 1

    def leave(self) -> None:
        self._slots.free += 1


def shedding_of(slots: RequestSlots) -> Callable[[ASGIApp], LoadSheddingMiddleware]:
    """Return a function that puts the limit in front of a route."""

    def shedding(app: ASGIApp) -> LoadSheddingMiddleware:  # a function, because the framework copies objects
        return LoadSheddingMiddleware(app, slots)

    return shedding
