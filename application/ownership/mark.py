"""Mark a storage that the database does not know yet.

The markers go the way of uploads, so nothing is left of a start that is killed. Of several replicas that
start together, one succeeds, and the others remove what they have written.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from application.blobs.store import abandon
from application.clock import utc_now
from application.ownership.markers import EPOCH, IDENTITY, UnknownStorage, write_marker
from application.ownership.sample import sample
from application.ports.metadata import (
    BlobReader,
    Garbage,
    KeySource,
    KnownStorage,
    KnownStorageReader,
    UnitOfWork,
    UnitOfWorkFactory,
)
from application.stores import Stores
from domain.blob import Location
from domain.errors import BlobError, LeaseLost

LEASE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class MarkStorage:
    """Write markers, and remember them. Return the markers that apply, and whether this call wrote them.

    Raises UnknownStorage if most blobs that should be there are not: then it is no place to mark.
    """

    units: UnitOfWorkFactory
    blobs: BlobReader
    known: KnownStorageReader
    stores: Stores
    new_key: KeySource
    now: Callable[[], datetime] = utc_now

    async def __call__(self, backend: str, interval: timedelta) -> tuple[KnownStorage, bool]:
        found = await sample(self.blobs, backend, self.stores.by_name[backend], self.new_key())
        if 2 * found.missing > found.looked:
            raise UnknownStorage(backend, f"{found.missing} of {found.looked} sampled objects are missing")
        new = KnownStorage(backend, self.new_key(), self.new_key(), interval)
        if await self.write(new, None):
            return new, True
        known = await self.known(backend)
        assert known is not None  # nothing is ever forgotten
        return known, False

    async def write(self, new: KnownStorage, old: KnownStorage | None) -> bool:
        """Write the markers of `new`, and put it in the place of `old`. False, and nothing, if `old` does not apply."""
        locations = [Location(new.backend, key) for key in (new.identity, new.epoch)]
        async with self.units() as work:
            for location in locations:
                await work.uploads.add(location, LEASE)
            await work.commit()
        try:
            store = self.stores.by_name[new.backend]
            for location, kind in zip(locations, (IDENTITY, EPOCH), strict=True):
                await write_marker(store, location.key, kind, self.now())
            if await self._publish(new, old):
                return True
        except BaseException:
            await self._abandon(locations)
            raise
        await self._abandon(locations)
        return False

    async def _publish(self, new: KnownStorage, old: KnownStorage | None) -> bool:
        async with self.units() as work:
            for key in (new.identity, new.epoch):
                if not await work.uploads.remove(key):
                    detail = "To mark the storage took longer than the lease. Try again."
                    raise LeaseLost(detail, backend=new.backend)
            if not await (work.storages.add(new) if old is None else work.storages.replace(old, new)):
                return False
            if old is not None:
                await discard_epochs(work, old)
            await work.commit()
            return True

    async def _abandon(self, locations: list[Location]) -> None:
        for location in locations:
            with suppress(BlobError):  # the lease runs out, and the reaper does the same
                await abandon(self.units, location)


async def discard_epochs(work: UnitOfWork, old: KnownStorage) -> None:
    """Let the epochs of `old` be deleted, and whatever else of it waits for that."""
    for key, deletes in ((old.epoch, 1), (old.next, 2), (old.former, 1)):
        if key is not None:  # what was still being written can land late
            await work.garbage.add(Garbage(Location(old.backend, key), deletes), timedelta(0))
