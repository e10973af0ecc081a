"""A commit whose answer was lost: the database is asked what became of it until it tells."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from domain.errors import BlobError

T = TypeVar("T")

# Seconds between the questions: together, longer than a database takes to be restarted or to hand over.
WAITS = (0.1, 0.3, 1.0, 3.0, 6.0)
PATIENCE = 30.0  # seconds in all; the client waits for its answer meanwhile


async def settle(ask: Callable[[], Awaitable[T]], lost: BlobError, waits: Sequence[float] = WAITS) -> T:
    """What `ask` tells of the commit whose answer was `lost`. Raises `lost` if the database tells nothing in time.

    `ask` is called again while it raises what is temporary, so it may find what an earlier call of it has changed.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            for wait in (*waits, None):
                try:
                    return await ask()
                except BlobError as error:
                    if not error.temporary or wait is None:
                        raise
                await asyncio.sleep(wait)
    except (BlobError, TimeoutError):
        pass
    raise lost
