"""Reap: delete the objects that no blob names.

Expired uploads become garbage, and garbage that is due is deleted. Any number of replicas may reap concurrently: one of
them at a time claims a row, and the others get it if that one dies. No transaction is open while a storage works.
Deleting a missing object succeeds, so each step may be done twice.

Objects are deleted only in a storage that this database owns, see ownership.py: on an unmounted disk every delete would
succeed, and a copy of the database has garbage rows for objects that are in use elsewhere.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.maintenance.expire import Expire
from application.ports.metadata import Garbage, UnitOfWorkFactory
from application.stores import Stores
from application.uploads.lifecycle import discard_object
from domain.errors import BlobError

BATCH = 100
AT_ONCE = 4
CLAIM = timedelta(minutes=1)
# A write may land after the first delete of a discarded upload. After this time it has landed, or never will.
AGAIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Reaped:
    """The result of a round: `deleted` objects, whether `more` is due now, and the errors of failed deletes.

    `expiry`: the error, if rows that have expired could not be removed.
    """

    deleted: int
    more: bool
    errors: tuple[BlobError, ...]
    expiry: BlobError | None = None


NOTHING = Reaped(0, more=False, errors=())


async def always(_: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Reap:
    """Delete up to a batch of the due objects on one backend, a few concurrently, if `may_delete` there.

    First, `expire` removes rows that have expired, see expire.py. If that fails, objects are deleted all the same.

    If all objects that are deleted concurrently fail, the backend may be down, so the round ends. The objects that were
    not tried are due again at once: only an object that can't be deleted is tried less and less often.
    """

    units: UnitOfWorkFactory
    stores: Stores
    may_delete: Callable[[str], Awaitable[bool]] = always
    claim: timedelta = CLAIM
    again: timedelta = AGAIN
    expire: Callable[[], Awaitable[bool]] | None = None

    async def __call__(self, backend: str) -> Reaped:
        if not await self.may_delete(backend):
            return NOTHING
        more, expiry = False, None
        try:
            more = await (self.expire or Expire(self.units))()
        except BlobError as error:
            expiry = error
        expired = await self._discard_expired_uploads(backend)
        due = await self._claim(backend)
        deleted: list[Garbage] = []
        errors: list[BlobError] = []
        tried, is_down = 0, False
        while tried < len(due) and not is_down:
            some = due[tried : tried + AT_ONCE]
            tried += len(some)
            outcomes = await asyncio.gather(*map(self._delete, some))
            deleted += [garbage for garbage, error in zip(some, outcomes, strict=True) if error is None]
            errors += [error for error in outcomes if error is not None]
            is_down = None not in outcomes
        if deleted and not await self.may_delete(backend):  # they may still be in the right storage
            return Reaped(0, False, tuple(errors), expiry)
        await self._record(deleted, untried=due[tried:])
        return Reaped(len(deleted), not is_down and (more or BATCH in (expired, len(due))), tuple(errors), expiry)

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
        except BlobError as error:
            return error
        return None

    async def _record(self, deleted: Sequence[Garbage], untried: Sequence[Garbage]) -> None:
        if deleted or untried:
            async with self.units() as work:
                await work.garbage.deleted(deleted, again_after=self.again)
                await work.garbage.unclaim(untried)
                await work.commit()
