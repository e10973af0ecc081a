"""Failed authentications, slowed for a client that has had many."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from domain.errors import RateLimited

FREE = 10  # failures of an address in a window
FREE_OF_ALL = 100  # wrong passwords of a link in a window
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
        paused_at_once: int = PAUSED_AT_ONCE,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._paused_at_once = paused_at_once
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
        if self._paused >= self._paused_at_once:
            raise _limited(failures.until - now)
        self._paused += 1
        try:
            await self._sleep(PAUSE)
        finally:
            self._paused -= 1


class Guesses:
    """Counts wrong passwords of links, and refuses more than a few in a minute: of one client, and of all.

    A guess counts before it is checked, so that many at once do not get past the limit.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, str | None], _Failures] = {}

    def check(self, link: str, client: str) -> None:
        """Raise RATE_LIMITED if there were too many guesses."""
        self._counted(link, client)

    def begin(self, link: str, client: str) -> None:
        """Count a guess. Raises RATE_LIMITED if there were too many."""
        for counted in self._counted(link, client):
            counted.count += 1

    def _counted(self, link: str, client: str) -> Sequence[_Failures]:
        now = self._clock()
        of_all = self._of((link, None), now)
        if of_all.count >= FREE_OF_ALL:
            raise _limited(of_all.until - now)
        of_client = self._of((link, client), now)
        if of_client.count >= FREE:
            raise _limited(of_client.until - now)
        return of_client, of_all

    def take_back(self, link: str, client: str) -> None:
        """Take a guess back, which was the password, or was not checked."""
        for name in ((link, client), (link, None)):
            if (counted := self._counts.get(name)) is not None:
                counted.count = max(0, counted.count - 1)

    def _of(self, name: tuple[str, str | None], now: float) -> _Failures:
        found = self._counts.get(name)
        if found is None or found.until <= now:
            self._counts.pop(name, None)
            while len(self._counts) >= CAPACITY:
                self._counts.pop(next(iter(self._counts)))
            found = self._counts[name] = _Failures(0, now + WINDOW)
        return found


def _limited(seconds: float) -> RateLimited:
    error = RateLimited("Too many failed attempts. Try again later.")
    error.retry_after = seconds
    return error
