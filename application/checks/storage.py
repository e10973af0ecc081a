"""Find out whether a storage does all that blobs need of it, with a probe that is gone afterwards.

The probe goes the way of an upload that is given up. So if the check is killed, or can't delete it, a reaper does.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from application.blobs.store import abandon
from application.checks.checklist import Checklist, Step, require
from application.checks.listed import is_listed
from application.checks.readiness import any_storage
from application.ports.blob_store import BlobStore
from application.ports.metadata import KeySource, UnitOfWorkFactory
from application.repeat import repeated
from application.stores import Stores
from domain.blob import ByteRange, Location, ObjectKey
from domain.errors import BlobError, NotFound

PROBE = bytes(range(256)) * 400  # each byte there is, for servers that would rather have text
PART = ByteRange(1000, 2001)
LEASE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class CheckStorage:
    """Take one step after the other until one fails. Returns those that were taken.

    Where no row can note the probe (`write=False`) none is written: then there is one step, `reach`. `recognise` raises
    if the storage is not the one that the database knows.
    """

    units: UnitOfWorkFactory
    stores: Stores
    new_key: KeySource
    recognise: Callable[[str], Awaitable[object]] = any_storage

    async def __call__(self, backend: str, *, write: bool = True) -> Sequence[Step]:
        steps = Checklist(backend)
        location = Location(backend, self.new_key())
        store = self.stores.by_name[backend]
        with suppress(BlobError):  # it is in the steps
            with steps.taking("reach"):
                if write:
                    await self.recognise(backend)  # before the check, which makes a folder that is missing
                await store.check()
            if write:
                await self._probe(steps, store, location)
        return steps.taken

    async def _probe(self, steps: Checklist, store: BlobStore, location: Location) -> None:
        try:
            with steps.taking("note"):
                await repeated(lambda: self._note(location))
            await _live(steps, store, location.key)
            with steps.taking("forget"):
                await repeated(lambda: self._forget(location))
        except BaseException as error:
            with suppress(BlobError):  # what can't be cleared up now, the reaper finds
                await self._clear_up(store, location, failed=isinstance(error, BlobError))
            raise

    async def _clear_up(self, store: BlobStore, location: Location, *, failed: bool) -> None:
        """After a step that `failed`, or that was interrupted: then nothing can land late."""
        try:
            await store.delete(location.key)
        except BlobError:
            failed = True
        await (abandon(self.units, location) if failed else self._forget(location))

    async def _note(self, location: Location) -> None:
        async with self.units() as work:
            await work.uploads.add(location, LEASE)
            await work.commit()

    async def _forget(self, location: Location) -> None:
        async with self.units() as work:
            await work.uploads.remove(location.key)
            await work.commit()


async def _live(steps: Checklist, store: BlobStore, key: ObjectKey) -> None:
    """An object's life."""
    with steps.taking("write"):
        stored = await store.put(key, _chunks())
        require(stored.size == len(PROBE), f"It keeps {stored.size:,} bytes of the {len(PROBE):,} that it was given.")
    with steps.taking("read"):
        require(await _read(store, key, None) == PROBE, "It returns other bytes than it was given.")
    with steps.taking("range"):
        part = PROBE[PART.start : PART.stop]
        require(await _read(store, key, PART) == part, "It returns other bytes of a range than it was given.")
    with steps.taking("stat"):
        size = (await store.stat(key)).size
        require(size == len(PROBE), f"It tells of {size:,} bytes, and was given {len(PROBE):,}.")
    with steps.taking("list"):
        require(await is_listed(store, key), "It does not list an object that it was given.")
    with steps.taking("delete"):
        await store.delete(key)
        require(await _is_gone(store, key), "It keeps an object that was deleted.")


async def _chunks() -> AsyncIterator[bytes]:
    for start in range(0, len(PROBE), 40_000):
        yield PROBE[start : start + 40_000]


async def _read(store: BlobStore, key: ObjectKey, part: ByteRange | None) -> bytes:
    async with store.open(key, part) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _is_gone(store: BlobStore, key: ObjectKey) -> bool:
    try:
        await store.stat(key)
    except NotFound:
        return True
    return False
