"""Mark a storage that the database does not know yet.

The markers are written as uploads, so the reaper cleans up after a start that is killed. Of several replicas that
start together one succeeds, and the others discard their markers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from application.clock import utc_now
from application.ownership.markers import EPOCH, IDENTITY, UnknownStorage, write_marker
from application.ownership.sample import sample
from application.ports.contents import ContentReader
from application.ports.metadata import (
    BlobReader,
    Garbage,
    KeySource,
    KnownStorage,
    KnownStorageReader,
    UnitOfWork,
)
from application.uploads.lifecycle import Uploads
from domain.blob import Location
from domain.errors import LeaseLost, PreconditionFailed


@dataclass(frozen=True, slots=True)
class MarkStorage:
    """Write markers and remember them. Return the markers that apply, and whether this call wrote them.

    Raises UnknownStorage if most objects of the known blobs are missing, because then it is the wrong storage.
    """

    uploads: Uploads
    blobs: BlobReader
    contents: ContentReader
    known: KnownStorageReader
    new_key: KeySource
    now: Callable[[], datetime] = utc_now

    async def __call__(self, backend: str, interval: timedelta) -> tuple[KnownStorage, bool]:
        found = await sample(self.blobs, self.contents, backend, self.uploads.stores.by_name[backend], self.new_key())
        if 2 * found.missing > found.looked:
            raise UnknownStorage(backend, f"{found.missing} of {found.looked} sampled objects are missing")
        new = KnownStorage(backend, self.new_key(), self.new_key(), interval)
        if await self.write(new, None):
            return new, True
        known = await self.known(backend)
        assert known is not None  # nothing is ever forgotten
        return known, False

    async def write(self, new: KnownStorage, old: KnownStorage | None) -> bool:
        """Write the markers of `new`, and replace `old` by it. Change nothing and return False if `old` is outdated."""
        locations = [Location(new.backend, key) for key in (new.identity, new.epoch)]
        await self.uploads.begin(*locations)
        store = self.uploads.stores.by_name[new.backend]
        try:
            async with self.uploads.discarded_on_error(*locations):
                for location, kind in zip(locations, (IDENTITY, EPOCH), strict=True):
                    await write_marker(store, location.key, kind, self.now())
                await self.uploads.publish(locations, partial(_replace, new, old), partial(self._applies, new))
        except PreconditionFailed:
            return False
        except LeaseLost as error:
            detail = "To mark the storage took longer than the lease. Try again."
            raise LeaseLost(detail, backend=new.backend) from error
        return True

    async def _applies(self, new: KnownStorage, _: UnitOfWork) -> bool:
        return await self.known(new.backend) == new


async def _replace(new: KnownStorage, old: KnownStorage | None, work: UnitOfWork) -> None:
    if not await (work.storages.add(new) if old is None else work.storages.replace(old, new)):
        raise PreconditionFailed("The markers have changed.", backend=new.backend)
    if old is not None:
        await discard_epochs(work, old)


async def discard_epochs(work: UnitOfWork, old: KnownStorage) -> None:
    """Make the epochs of `old` garbage, and its former marker."""
    for key, deletes in ((old.epoch, 1), (old.next, 2), (old.former, 1)):
        if key is not None:  # a write of the next epoch may land late
            await work.garbage.add(Garbage(Location(old.backend, key), deletes), timedelta(0))
