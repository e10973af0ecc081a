"""Expiry: rows whose time has come are removed, so that the objects that they name become garbage.

Readers no longer see expired rows, so nothing depends on when this happens. Any number of replicas may do it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from application.contents.retention import GRACE
from application.ports.metadata import ExpiredReader, UnitOfWork, UnitOfWorkFactory
from domain.errors import BlobError

Remove = Callable[[UnitOfWork, int], Awaitable[int]]  # up to so many, and returns their number

BATCH = 100
REMEMBERED = timedelta(hours=1)  # longer than a client waits for the outcome of a lost commit


async def always(_: timedelta) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Expire:
    """Remove up to a batch of each kind, and return whether there may be more: expired blobs, whose contents are kept
    for `grace`; contents in the trash that are due; expired uploads of several parts; old marks of commits.

    If one kind can't be removed, the others are removed all the same. Then the first error is raised.

    `is_due` returns quickly whether there are any, and marks older than a time. Units take a lock on some databases.
    """

    units: UnitOfWorkFactory
    grace: timedelta = GRACE
    is_due: ExpiredReader = always

    async def __call__(self) -> bool:
        if not await self.is_due(REMEMBERED):
            return False
        removed, errors = [], []
        for remove in (
            lambda work, limit: work.trash.move_expired(limit, self.grace),
            lambda work, limit: work.trash.release(limit),
            lambda work, limit: work.multipart.discard_expired(limit),
            lambda work, limit: work.commits.remove_old(REMEMBERED, limit),
        ):
            try:
                removed.append(await self._remove_batch(remove))
            except BlobError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return BATCH in removed

    async def _remove_batch(self, remove: Remove) -> int:
        """Remove up to a batch, in as many units as that takes: each ends early if its rows are about many objects."""
        count = 0
        while count < BATCH and (removed := await self._remove(remove, BATCH - count)):
            count += removed
        return count

    async def _remove(self, remove: Remove, limit: int) -> int:
        async with self.units() as work:
            removed = await remove(work, limit)
            if removed:
                await work.commit()
            return removed
