"""Units of work that renew something, and can be waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from domain.errors import Unavailable

PATIENCE = 10  # seconds


class Renewing(UnitOfWorkFactory):
    """Units of work, of which each may be a renewal. So many are `refused` first."""

    def __init__(self, units: UnitOfWorkFactory) -> None:
        self.units = units
        self.refused = 0
        self.ended = asyncio.Condition()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        if self.refused:
            self.refused -= 1
            raise Unavailable("the database is down")
        try:
            async with self.units() as work:
                yield work
        finally:
            async with self.ended:
                self.ended.notify_all()

    async def one(self) -> None:
        """Wait until a renewal has ended that had not begun before. Raises TimeoutError if there are none."""
        async with asyncio.timeout(PATIENCE):
            for _ in range(2):
                async with self.ended:
                    await self.ended.wait()
