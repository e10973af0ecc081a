"""Reap: delete the objects that no blob names.

Uploads whose writers are gone become garbage, and garbage that is due is deleted. Any number of replicas may do it at
once: a row is given to one of them at a time, and comes back to the others if that one dies. No transaction is open
while a storage works, and deleting what is not there succeeds, so each step may be done twice.

Only in a storage that is this database's, see ownership.py: on a disk that is not mounted every delete would succeed,
and a copy of the database takes for garbage what others have stored since.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.ports.metadata import Garbage, UnitOfWorkFactory
from application.stores import Stores
from application.uploads.lifecycle import discard_object
from domain.errors import BlobError

BATCH = 100
AT_ONCE = 4
CLAIM = timedelta(minutes=1)
# A write that was under way when its upload was given up can land after the first delete. By then it has landed, or
# never will.
AGAIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Reaped:
    """What a round has done, whether there is `more` to do at once, and why some objects could not be deleted."""

    deleted: int
    more: bool
    faults: tuple[BlobError, ...]


NOTHING = Reaped(0, more=False, faults=())


async def always(_: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Reap:
    """Delete up to a batch of the objects on one backend, a few at a time, if `may_delete` there.

    After a fault no further ones are begun: the backend is down, or the next round comes to them.
    """

    units: UnitOfWorkFactory
    stores: Stores
    may_delete: Callable[[str], Awaitable[bool]] = always
    claim: timedelta = CLAIM
    again: timedelta = AGAIN

    async def __call__(self, backend: str) -> Reaped:
        if not await self.may_delete(backend):
            return NOTHING
        expired = await self._discard_expired_uploads(backend)
        due = await self._claim(backend)
        deleted: list[Garbage] = []
        faults: list[BlobError] = []
        for start in range(0, len(due), AT_ONCE):
            some = due[start : start + AT_ONCE]
            outcomes = await asyncio.gather(*map(self._delete, some))
            deleted += [garbage for garbage, fault in zip(some, outcomes, strict=True) if fault is None]
            faults += [fault for fault in outcomes if fault is not None]
            if faults:
                break
        if deleted and not await self.may_delete(backend):  # then these may be there still, in the storage that is ours
            return Reaped(0, more=False, faults=tuple(faults))
        await self._note(deleted)
        return Reaped(len(deleted), not faults and BATCH in (expired, len(due)), tuple(faults))

    async def _discard_expired_uploads(self, backend: str) -> int:
        async with self.units() as work:
            expired = await work.uploads.remove_expired(backend, BATCH)
            for location in expired:
                await discard_object(work, location)
            if expired:
                await work.commit()
            return len(expired)

    async def _claim(self, backend: str) -> Sequence[Garbage]:
        async with self.units() as work:
            due = await work.garbage.claim(backend, BATCH, self.claim)
            if due:
                await work.commit()
            return due

    async def _delete(self, garbage: Garbage) -> BlobError | None:
        try:
            await self.stores.holding(garbage.location).delete(garbage.location.key)
        except BlobError as fault:
            return fault
        return None

    async def _note(self, deleted: Sequence[Garbage]) -> None:
        if deleted:
            async with self.units() as work:
                await work.garbage.deleted(deleted, again_after=self.again)
                await work.commit()
