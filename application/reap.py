"""Reap: delete the objects that no blob names.

Uploads whose writers are gone become garbage, and garbage that is due is deleted. Any number of replicas may do it at
once: a row is given to one of them at a time, and comes back to the others if that one dies. No transaction is open
while a storage works, and deleting what is not there succeeds, so each step may be done twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.ports.metadata import Garbage, UnitOfWorkFactory
from application.stores import Stores
from domain.errors import DriveError

BATCH = 100
CLAIM = timedelta(minutes=5)
# A write that was under way when its lease ended can land after the first delete. By then it has landed, or never will.
AGAIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Reaped:
    """How many objects were deleted, and the faults of those that could not be."""

    deleted: int
    faults: tuple[DriveError, ...]


@dataclass(frozen=True, slots=True)
class Reap:
    """Delete up to a batch of objects. A fault of one backend is reported, and does not hold up the others."""

    units: UnitOfWorkFactory
    stores: Stores

    async def __call__(self) -> Reaped:
        await self._give_up_expired_uploads()
        faults = []
        due = await self._claim()
        for garbage in due:
            try:
                await self._delete(garbage)
            except DriveError as fault:
                faults.append(fault)
        return Reaped(len(due) - len(faults), tuple(faults))

    async def _give_up_expired_uploads(self) -> None:
        async with self.units() as work:
            for location in await work.uploads.remove_expired(BATCH):
                await work.garbage.add(Garbage(location, deletes=2), after=timedelta(0))
            await work.commit()

    async def _claim(self) -> Sequence[Garbage]:
        async with self.units() as work:
            due = await work.garbage.claim(tuple(self.stores.by_name), BATCH, CLAIM)
            await work.commit()
            return due

    async def _delete(self, garbage: Garbage) -> None:
        await self.stores.holding(garbage.location).delete(garbage.location.key)
        async with self.units() as work:
            await work.garbage.deleted(garbage, again_after=AGAIN)
            await work.commit()
