"""A limit on the uploads that are completed at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from entrypoints.http.s3.errors import S3Error

COMPLETED_AT_ONCE = 4
MAX_COMPLETIONS = 100  # those that wait included


class Completions:
    """The completions of this worker, which go on when their clients leave, and so hold no request slot then."""

    def __init__(self) -> None:
        self._waiting = 0
        self._free = asyncio.Semaphore(COMPLETED_AT_ONCE)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a turn. Raises SlowDown if many wait."""
        if self._waiting >= MAX_COMPLETIONS:
            raise S3Error("SlowDown")
        self._waiting += 1
        try:
            async with self._free:
                yield
        finally:
            self._waiting -= 1
