"""Commits of unknown outcome: the connection to the database was lost before the response."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from domain.errors import BlobError

T = TypeVar("T")

# Seconds between the attempts: together, longer than a database takes to restart or to fail over.
WAITS = (0.1, 0.3, 1.0, 3.0, 6.0)
PATIENCE = 30.0  # seconds in all, for which the client waits for its response


async def resolve(check: Callable[[], Awaitable[T]], error: BlobError, waits: Sequence[float] = WAITS) -> T:
    """Return what `check` finds out about the commit that failed with `error`. Raise `error` if that takes too long.

    `check` is called again after each temporary error, so it may meet the changes of its own earlier call.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            for wait in (*waits, None):
                try:
                    return await check()
                except BlobError as failed:
                    if not failed.temporary or wait is None:
                        raise
                await asyncio.sleep(wait)
    except (BlobError, TimeoutError):
        pass
    raise error
