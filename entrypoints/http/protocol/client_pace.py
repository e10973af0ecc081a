"""Limits on slow clients. Only time spent waiting for the client counts, not that of the storage."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from litestar.types import HTTPReceiveMessage, Message, Receive, Send

from entrypoints.http.protocol.deadline import within
from entrypoints.http.protocol.problems import ClientGone, HttpProblem


@dataclass(frozen=True, slots=True)
class Pace:
    """`timeout`: seconds for the next chunk. `rate`: bytes a second, on average, once that time has passed."""

    timeout: float = 30
    rate: float = 1000


class ClientTooSlow(Exception):
    """The client takes its response too slowly."""


class Meter:
    """The pace of one client in one direction."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._waited = 0.0
        self._moved = 0

    async def chunks(self, receive: Receive) -> AsyncIterator[bytes]:
        """Yield a request's body as it comes. Raises ClientGone if it ends early, and HttpProblem 408."""
        more = True
        while more:
            message = await self._receive(receive)
            if message["type"] == "http.disconnect":
                raise ClientGone
            yield message.get("body", b"")
            more = message.get("more_body", False)

    async def _receive(self, receive: Receive) -> HTTPReceiveMessage:
        started = time.monotonic()
        try:
            message = await within(self._pace.timeout, receive())
        except TimeoutError:
            raise _too_slow() from None
        if message["type"] == "http.request" and self._is_too_slow(started, len(message.get("body", b""))):
            raise _too_slow()
        return message  # type: ignore[return-value]  # requests have no other messages

    async def send(self, send: Send, message: Message, size: int) -> None:
        """Send a part of a response, of `size` bytes. Raises ClientTooSlow."""
        started = time.monotonic()
        try:
            await within(self._pace.timeout, send(message))
        except TimeoutError:
            raise ClientTooSlow from None
        if self._is_too_slow(started, size):
            raise ClientTooSlow

    def _is_too_slow(self, started: float, size: int) -> bool:
        self._waited += time.monotonic() - started
        self._moved += size
        return self._waited > self._pace.timeout and self._moved < self._waited * self._pace.rate


def _too_slow() -> HttpProblem:
    return HttpProblem("request_timeout")
