"""Store a blob: reserve, write, publish.

The transaction that publishes is the one commit point. Before it nothing can be seen of the new version, after it the
version is whole and durable; a crash at any moment leaves at most an upload whose lease runs out.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from application.maintenance.reap import give_up
from application.ports.blob_store import Stored
from application.ports.metadata import Garbage, KeySource, Published, UnitOfWork, UnitOfWorkFactory
from application.renewals import Renewals
from application.repeat import repeated
from application.stores import Stores
from application.uploads.intake import Intake
from application.uploads.replay import KEPT, ReplayableBody
from application.uploads.retry import ONCE, Retry
from application.uploads.unknown_commit import WAITS, settle
from domain.blob import DEFAULT_CONTENT_TYPE, Blob, BlobId, Digest, Draft, Location
from domain.errors import AlreadyExists, BlobError, CommitUnknown, IntegrityError, LeaseLost, NotFound, Unavailable
from domain.precondition import ANY, Precondition

LEASE = timedelta(minutes=10)  # at least
# A reader that opened the old version just before it was replaced has this long to finish.
GRACE = timedelta(minutes=10)


def lease_for(standstill: timedelta) -> timedelta:
    """A lease for uploads whose bytes may stand still for `standstill`.

    A third of it may have passed before they do, because it is renewed no sooner. Another third is to spare.
    """
    return max(LEASE, 3 * standstill)


@dataclass(frozen=True, slots=True)
class NewBlob:
    """What to store. `size` in bytes and `digest` are what the sender declared, if it did.

    Where the id comes behind the bytes, `id` is a function that tells it once all chunks were read.
    """

    id: BlobId | Callable[[], BlobId]
    chunks: AsyncIterable[bytes]
    content_type: str = DEFAULT_CONTENT_TYPE
    precondition: Precondition = ANY
    size: int | None = None
    digest: Digest | None = None
    content_encoding: str = ""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob that was stored, and whether it `replaced` another version."""

    blob: Blob
    replaced: bool


@dataclass(frozen=True, slots=True)
class StoreBlob:
    """Store bytes under an id, and return the blob once it is durable and visible.

    A write to a storage that is UNAVAILABLE is repeated as `retry` says, while the body is short enough to be kept. If
    anything fails, a cancellation included, what was there before is still there. Raises what the ports raise, the
    precondition's errors, TOO_LARGE beyond `max_bytes`, SIZE_MISMATCH, DIGEST_MISMATCH, and LEASE_LOST if the bytes
    stood still for longer than `lease`.
    """

    units: UnitOfWorkFactory
    stores: Stores
    new_key: KeySource
    max_bytes: int
    monotonic: Callable[[], float] = time.monotonic
    lease: timedelta = LEASE
    grace: timedelta = GRACE
    waits: Sequence[float] = WAITS
    retry: Retry = ONCE

    async def __call__(self, new: NewBlob) -> StoredBlob:
        draft = await self._write_with_retries(new)
        async with self._abandoned_if_it_fails(draft.location):
            return await repeated(lambda: self._publish(draft, new.precondition))

    async def _write_with_retries(self, new: NewBlob) -> Draft:
        """Reserve and write until an attempt succeeds, each time under a new key.

        What a failed attempt has sent, a write or the clean-up of one, may reach the storage at any time later. Nothing
        of that concerns the key of another attempt.
        """
        body = ReplayableBody(new.chunks, KEPT if self.retry.attempts > 1 else 0)
        waits = self.retry.waits()
        while True:
            location = await self._reserve(new)
            try:
                async with self._abandoned_if_it_fails(location):
                    return await self._write(location, new, body)
            except Unavailable as error:
                wait = next(waits, None)
                if wait is None or not body.can_replay:
                    raise
                self.retry.report(location.backend, error, wait)
            await asyncio.sleep(wait)

    @asynccontextmanager
    async def _abandoned_if_it_fails(self, location: Location) -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            # A fault here loses nothing: the upload's lease runs out, and the reaper does the same.
            with suppress(BlobError):
                if not await abandon(self.units, location) and isinstance(error, LeaseLost):
                    # The reaper may have deleted for the last time before this object was written.
                    await self.stores.holding(location).delete(location.key)
            raise

    async def _reserve(self, new: NewBlob) -> Location:
        location = Location(self.stores.active, self.new_key())
        async with self.units() as work:
            # Only a courtesy to those who would send their bytes in vain: publishing decides.
            if isinstance(new.id, BlobId):
                new.precondition.check(new.id, await current_version(work, new.id))
            await work.uploads.add(location, self.lease)
            await _commit_unseen(work)
        return location

    async def _write(self, location: Location, new: NewBlob, body: ReplayableBody) -> Draft:
        async with aclosing(body.replay()) as replayed:
            intake = Intake(replayed, self.max_bytes, new.size, new.digest)
            async with (
                Renewals(partial(self._renew, location), self.lease / 3) as renewals,
                aclosing(self._renewing(location, intake, renewals)) as chunks,
            ):
                stored = await self._put(location, chunks)
        if stored.size != intake.size:
            detail = f"The storage keeps {stored.size:,} bytes of the {intake.size:,} that it was given."
            raise IntegrityError(detail, backend=location.backend, subject=location.key)
        blob_id = new.id if isinstance(new.id, BlobId) else new.id()
        return Draft(
            blob_id,
            location,
            intake.size,
            intake.digest,
            new.content_type,
            content_encoding=new.content_encoding,
        )

    async def _put(self, location: Location, chunks: AsyncIterable[bytes]) -> Stored:
        try:
            return await self.stores.holding(location).put(location.key, chunks)
        except AlreadyExists as error:
            # Keys are never used twice: this is a request to the backend whose answer was lost, and that was repeated.
            detail = "The storage holds this object already. Store the blob again."
            raise Unavailable(detail, operation="put", backend=location.backend, subject=location.key) from error

    async def _renewing(self, location: Location, intake: Intake, renewals: Renewals) -> AsyncGenerator[bytes]:
        """Pass the chunks on, and renew the lease now and then, also while the storage is busy with what it has."""
        renewed = self.monotonic()
        async with aclosing(aiter(intake)) as chunks:
            async for chunk in chunks:
                if self.monotonic() - renewed > self.lease.total_seconds() / 3:
                    await self._renew(location)
                    renewed = self.monotonic()
                renewals.start()
                yield chunk
                await renewals.stop()
        renewals.start()

    async def _renew(self, location: Location) -> None:
        async with self.units() as work:
            if not await work.uploads.renew(location.key, self.lease):
                raise lease_lost(location)
            await _commit_unseen(work)

    async def _publish(self, draft: Draft, precondition: Precondition) -> StoredBlob:
        published: Published | None = None
        try:
            async with self.units() as work:
                if not await work.uploads.remove(draft.location.key):
                    raise lease_lost(draft.location)
                published = await work.blobs.put(draft, precondition)
                if published.replaced is not None:
                    await work.garbage.add(Garbage(published.replaced.location), after=self.grace)
                await work.commit()
        except CommitUnknown as error:
            if published is None:
                raise
            await self._find_published(draft, error)
        return StoredBlob(published.blob, published.replaced is not None)

    async def _find_published(self, draft: Draft, lost: BlobError) -> None:
        """See whether the commit whose answer was `lost` has happened. Raises UNAVAILABLE if not, `lost` if none tells.

        The fence tells. It waits for that commit, and either finds the upload, which then can't be published any more,
        or does not; then the blob is there, or was there and is replaced already.
        """
        if await settle(lambda: abandon(self.units, draft.location), lost, self.waits):
            detail = "The connection to the database was lost, and nothing was stored. Store the blob again."
            raise Unavailable(detail, backend=lost.backend, subject=draft.id) from lost
        current = await settle(lambda: self._current(draft.id), lost, self.waits)
        if current is None or current.location != draft.location:
            raise lost

    async def _current(self, blob_id: BlobId) -> Blob | None:
        async with self.units() as work:
            return await current_version(work, blob_id)


async def _commit_unseen(work: UnitOfWork) -> None:
    """Commit what is no blob yet, so that nothing is unknown to the client: none was stored."""
    try:
        await work.commit()
    except CommitUnknown as error:
        raise Unavailable(error.detail, backend=error.backend) from error


async def abandon(units: UnitOfWorkFactory, location: Location) -> bool:
    """Turn an upload into garbage, if it is there; say whether it was."""
    async with units() as work:
        if not await work.uploads.remove(location.key):
            return False
        await give_up(work, location)
        await work.commit()
        return True


async def current_version(work: UnitOfWork, blob_id: BlobId) -> Blob | None:
    try:
        return await work.blobs.get(blob_id)
    except NotFound:
        return None


def lease_lost(location: Location) -> BlobError:
    return LeaseLost(backend=location.backend, subject=location.key)
