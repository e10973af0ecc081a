"""Failed authentications, slowed for a client that has had many."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from domain.errors import RateLimited

FREE = 10  # failures of an address in a window
WINDOW = 60.0  # seconds
PAUSE = 1.0  # seconds before each further refusal
PAUSED_AT_ONCE = 50
CAPACITY = 10_000  # addresses


@dataclass(slots=True)
class _Failures:
    count: int
    until: float


class FailedAuthentications:
    """Counts failures by the address of the client, and delays the refusals of one that has had many.

    Valid credentials are never delayed, so clients behind one proxy do not suffer from each other. Only so many
    refusals wait at once: the others of such a client are refused with RATE_LIMITED.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._by_client: dict[str, _Failures] = {}
        self._paused = 0

    async def add(self, client: str) -> None:
        """Count a failure, and wait if this client has had many. Raises RATE_LIMITED if too many wait already."""
        now = self._clock()
        failures = self._by_client.get(client)
        if failures is None or failures.until <= now:
            self._by_client.pop(client, None)
            while len(self._by_client) >= CAPACITY:
                self._by_client.pop(next(iter(self._by_client)))
            failures = self._by_client[client] = _Failures(0, now + WINDOW)
        failures.count += 1
        if failures.count <= FREE:
            return
        if self._paused >= PAUSED_AT_ONCE:
            error = RateLimited()
            error.retry_after = failures.until - now
            raise error
        self._paused += 1
        try:
            await self._sleep(PAUSE)
        finally:
            self._paused -= 1
