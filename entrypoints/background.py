"""Work in the background."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import structlog

LOG = structlog.get_logger()
AT_ONCE = 0.0  # seconds


async def every(interval: float, work: Callable[[], Awaitable[float | None]], failure: str, **context: str) -> None:
    """Do `work` forever, with a pause of `interval` seconds after each time.

    `work` may return another pause: AT_ONCE if there is more to do. If it fails, that is logged as `failure`, with the
    `context`, and it is done again after the interval: nobody would notice that it has ended.
    """
    while True:
        pause = None
        try:
            pause = await work()
        except Exception:
            LOG.exception(failure, **context)
        await asyncio.sleep(interval if pause is None else pause)


@asynccontextmanager
async def in_background(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run `work` concurrently with what is inside, and cancel it at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
