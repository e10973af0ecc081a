"""The life of an upload: begin, append, publish or discard.

An upload is an object that no blob names yet, and the row that says so. The row has a lease, which expires by the
database's clock and is renewed while bytes flow.

The row is also the fence. Publishing removes it, and the reaper removes it before it deletes the object. Only one of
them finds it, so no blob ever names an object that is being deleted. A writer that dies leaves a lease that expires.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

from application.ports.blob_store import Stored
from application.ports.metadata import Garbage, UnitOfWork, UnitOfWorkFactory
from application.renewals import Renewals
from application.repeat import repeated
from application.stores import Stores
from application.uploads.intake import Intake
from application.uploads.unknown_commit import WAITS, require_published
from domain.blob import Digest, Location
from domain.errors import (
    AlreadyExists,
    BlobError,
    CommitUnknown,
    IntegrityError,
    LeaseLost,
    RolledBack,
    TimedOut,
    Unavailable,
)

T = TypeVar("T")
Change = Callable[[UnitOfWork], Awaitable[T]]

LEASE = timedelta(minutes=10)  # at least


def lease_for(standstill: timedelta) -> timedelta:
    """Return a lease for uploads whose bytes may pause for `standstill`.

    It is renewed once a third of it has passed, so a pause may begin then. Another third is a reserve.
    """
    return max(LEASE, 3 * standstill)


@dataclass(frozen=True, slots=True)
class WrittenObject:
    """An object that is whole and durable. `size` is in bytes."""

    location: Location
    size: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Uploads:
    """Uploads to the storages, each with a `lease` from now on.

    Begin an upload before anything is written under its key. End it with `publish`, or with `discard` if an object may
    be there, or with `release` if none is. Transactions that are rolled back are repeated. Every method raises what the
    ports raise.
    """

    units: UnitOfWorkFactory
    stores: Stores
    lease: timedelta = LEASE
    waits: Sequence[float] = WAITS
    monotonic: Callable[[], float] = time.monotonic

    async def begin(self, *locations: Location, check: Change[None] | None = None) -> None:
        """Add an upload for each location in one transaction, unless `check` raises in it."""

        async def add(work: UnitOfWork) -> None:
            if check is not None:
                await check(work)
            for location in locations:
                await work.uploads.add(location, self.lease)

        await self.commit(add)

    async def append(self, location: Location, source: Intake) -> WrittenObject:
        """Write the bytes of `source` to the object, and renew the lease while they flow.

        Raises what `source` raises, LEASE_LOST if the bytes paused for longer than the lease, and INTEGRITY if the
        storage keeps another number of bytes. Append each further part of a blob as an upload of its own.
        """
        async with (
            Renewals(partial(self.renew, location), self.lease / 3) as renewals,
            aclosing(self._renewing(location, source, renewals)) as chunks,
        ):
            try:
                stored = await self._put(location, chunks)
            except (Unavailable, TimedOut) as error:
                if await self._has_ended(location):  # then the reaper has deleted the object during the put
                    raise lease_lost(location) from error
                raise
        if stored.size != source.size:
            detail = f"The storage keeps {stored.size:,} bytes of the {source.size:,} that it received."
            raise IntegrityError(detail, backend=location.backend, subject=location.key)
        return WrittenObject(location, source.size, source.digest)

    async def renew(self, location: Location) -> bool:
        """Let the lease expire `lease` from now. Return False if the upload has ended."""
        return await self.commit(lambda work: work.uploads.renew(location.key, self.lease))

    async def publish(self, locations: Sequence[Location], change: Change[T], is_published: Change[bool]) -> T:
        """End the uploads and make `change`, which names their objects, in one transaction. Return its result.

        Raises what `change` raises, and LEASE_LOST if the reaper or another writer has ended an upload. If the
        connection is lost during the commit, the database is asked for the outcome: UNAVAILABLE means that nothing was
        changed. Otherwise `is_published` decides whether the change is there, and COMMIT_UNKNOWN is raised if it is
        not.
        """
        return await repeated(lambda: self._publish(locations, change, is_published))

    async def discard(self, *locations: Location) -> Sequence[Location]:
        """End uploads that will not be published, and make their objects garbage. Return those that had not ended."""

        async def remove(work: UnitOfWork) -> Sequence[Location]:
            removed = [location for location in locations if await work.uploads.remove(location.key)]
            for location in removed:
                await discard_object(work, location)
            return removed

        return await self.commit(remove)

    async def release(self, location: Location) -> bool:
        """End an upload that has no object. Return False if it had ended."""
        return await self.commit(lambda work: work.uploads.remove(location.key))

    def discarded_on_error(self, *locations: Location) -> AbstractAsyncContextManager[None]:
        """Discard the uploads if the body raises, a cancellation included."""
        return _DiscardedOnError(self, locations)

    async def commit(self, change: Change[T]) -> T:
        """Make a `change` that publishes nothing. So an unknown outcome is UNAVAILABLE to the client."""

        async def unit() -> T:
            async with self.units() as work:
                result = await change(work)
                await work.commit()
                return result

        try:
            return await repeated(unit)
        except CommitUnknown as error:
            raise Unavailable(error.detail, backend=error.backend) from error

    async def _has_ended(self, location: Location) -> bool:
        try:
            return not await self.renew(location)
        except BlobError:
            return False

    async def _put(self, location: Location, chunks: AsyncIterable[bytes]) -> Stored:
        try:
            return await self.stores.holding(location).put(location.key, chunks)
        except AlreadyExists as error:
            # No key is used twice: an earlier request was carried out and repeated, because its response was lost.
            detail = "The storage holds this object already. Store the blob again."
            raise Unavailable(detail, operation="put", backend=location.backend, subject=location.key) from error

    async def _renewing(self, location: Location, source: Intake, renewals: Renewals) -> AsyncGenerator[bytes]:
        """Pass the chunks on, and renew the lease regularly, also while the storage is busy with a chunk.

        A renewal that fails temporarily is tried again soon. Its error is raised once a third of the lease is left.
        """
        third = self.lease.total_seconds() / 3
        renewed = self.monotonic()
        due = renewed + third
        async with aclosing(aiter(source)) as chunks:
            async for chunk in chunks:
                if self.monotonic() > due:
                    try:
                        if not await self.renew(location):
                            raise lease_lost(location)
                        renewed = self.monotonic()
                        due = renewed + third
                    except (Unavailable, TimedOut, RolledBack):  # such as while the database restarts
                        due = self.monotonic() + third / 10
                        if due > renewed + 2 * third:
                            raise
                renewals.start()
                yield chunk
                await renewals.stop()
        renewals.start()

    async def _publish(self, locations: Sequence[Location], change: Change[T], is_published: Change[bool]) -> T:
        try:
            async with self.units() as work:
                for location in locations:
                    if not await work.uploads.remove(location.key):
                        raise lease_lost(location)
                result = await change(work)
                await work.commit()
        except CommitUnknown as error:
            prevent = partial(self._prevent, locations)
            await require_published(self.units, prevent, is_published, error, self.waits, locations[0].key)
        return result

    async def _prevent(self, locations: Sequence[Location]) -> bool:
        """Wait for the commit that publishes the uploads. Return whether it has failed, and can't happen any more.

        If the uploads are found, they are discarded. If not, either the commit has removed them or the reaper.
        """
        return bool(await self.discard(*locations))


@dataclass(frozen=True, slots=True)
class _DiscardedOnError(AbstractAsyncContextManager[None]):
    """The context of `Uploads.discarded_on_error`. Not a generator: every request uses it."""

    uploads: Uploads
    locations: Sequence[Location]

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        with suppress(BlobError):  # then the lease expires, and the reaper does the same
            discarded = await self.uploads.discard(*self.locations)
            for location in self.locations:
                if isinstance(error, LeaseLost) and location not in discarded:
                    # The reaper may have deleted for the last time before this object was written.
                    await self.uploads.stores.holding(location).delete(location.key)


async def discard_object(work: UnitOfWork, location: Location) -> None:
    """Make an object that was never published garbage: to be deleted now, and again later, as a write may land late."""
    await work.garbage.add(_never_published(location), after=timedelta(0))


async def discard_objects(work: UnitOfWork, locations: Sequence[Location]) -> None:
    """Do the same for many objects at once."""
    await work.garbage.add_each([_never_published(each) for each in locations], after=timedelta(0))


def _never_published(location: Location) -> Garbage:
    return Garbage(location, deletes=2)


def lease_lost(location: Location) -> BlobError:
    return LeaseLost(backend=location.backend, subject=location.key)
