"""A limit on bytes per second."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable

BREATH = 0.05  # seconds: shorter pauses are saved up
PIECE = 64 * 1024  # bytes


class Rate:
    """A number of bytes per second that concurrent streams share; None for no limit."""

    def __init__(
        self,
        bytes_per_second: int | None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = bytes_per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._free_at = 0.0

    async def limited(self, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """Yield the bytes, none sooner than the rate allows, in pieces so small that no pause is long."""
        async for chunk in chunks:
            if self._rate is None:
                yield chunk
                continue
            largest = max(self._rate // 4, PIECE)
            for start in range(0, len(chunk), largest):
                piece = chunk[start : start + largest]
                await self._wait(len(piece), self._rate)
                yield piece

    async def _wait(self, size: int, rate: int) -> None:
        now = self._monotonic()
        begins = max(self._free_at, now - BREATH)
        self._free_at = begins + size / rate
        if begins - now > BREATH:
            await self._sleep(begins - now)
