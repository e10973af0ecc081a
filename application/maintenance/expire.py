"""Expiry: rows whose time has come are removed, so that the objects that they name become garbage.

Readers no longer see expired rows, so nothing depends on when this happens. Any number of replicas may do it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from application.contents.retention import GRACE
from application.ports.metadata import ExpiredReader, UnitOfWork, UnitOfWorkFactory

BATCH = 100
REMEMBERED = timedelta(hours=1)  # longer than a client waits for the outcome of a lost commit


async def always(_: timedelta) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Expire:
    """Remove up to a batch of each kind, and return whether there may be more: expired blobs, whose contents are kept
    for `grace`; contents in the trash that are due; expired uploads of several parts; old marks of commits.

    `is_due` returns quickly whether there are any, and marks older than a time. Units take a lock on some databases.
    """

    units: UnitOfWorkFactory
    grace: timedelta = GRACE
    is_due: ExpiredReader = always

    async def __call__(self) -> bool:
        if not await self.is_due(REMEMBERED):
            return False
        removed = [
            await self._remove(lambda work: work.trash.move_expired(BATCH, self.grace)),
            await self._remove(lambda work: work.trash.release(BATCH)),
            await self._remove(lambda work: work.multipart.discard_expired(BATCH)),
            await self._remove(lambda work: work.commits.remove_old(REMEMBERED, BATCH)),
        ]
        return BATCH in removed

    async def _remove(self, remove: Callable[[UnitOfWork], Awaitable[int]]) -> int:
        async with self.units() as work:
            removed = await remove(work)
            if removed:
                await work.commit()
            return removed
