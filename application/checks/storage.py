"""Check that a storage does everything that blobs need, with a probe object that is deleted afterwards.

The probe is an upload that is never published. So if the check is killed, or can't delete it, a reaper does.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from application.checks.checklist import Checklist, Step, require
from application.checks.listed import is_listed
from application.ports.blob_store import BlobStore
from application.ports.metadata import KeySource
from application.stores import any_storage
from application.uploads.lifecycle import Uploads
from domain.blob import ByteRange, Location, ObjectKey
from domain.errors import BlobError, NotFound

PROBE = bytes(range(256)) * 400  # every possible byte: some servers convert text
PART = ByteRange(1000, 2001)


@dataclass(frozen=True, slots=True)
class CheckStorage:
    """Take one step after the other until one fails, and return the steps taken.

    Without `write` there is one step, `reach`, and no probe: for a database that can't hold its upload. `recognise`
    raises if the storage is not the one that the database knows. A server that is `read_only` writes no probe either.
    """

    uploads: Uploads
    new_key: KeySource
    recognise: Callable[[str], Awaitable[object]] = any_storage

    async def __call__(self, backend: str, *, write: bool = True, read_only: bool = False) -> Sequence[Step]:
        steps = Checklist(backend)
        location = Location(backend, self.new_key())
        store = self.uploads.stores.by_name[backend]
        with suppress(BlobError):  # the steps have it
            with steps.taking("reach"):
                if write:
                    await self.recognise(backend)  # before the check, which creates a missing folder
                await store.check()
            if write and not read_only:
                await self._probe(steps, store, location)
        return steps.taken

    async def _probe(self, steps: Checklist, store: BlobStore, location: Location) -> None:
        try:
            with steps.taking("note"):
                await self.uploads.begin(location)
            await _try_out(steps, store, location.key)
            with steps.taking("forget"):
                await self.uploads.release(location)
        except BaseException as error:
            with suppress(BlobError):  # otherwise the reaper does it
                await self._clear_up(store, location, failed=isinstance(error, BlobError))
            raise

    async def _clear_up(self, store: BlobStore, location: Location, *, failed: bool) -> None:
        """Delete the probe. A write can only land late if a step has `failed`; an interrupted one was stopped."""
        try:
            await store.delete(location.key)
        except BlobError:
            failed = True
        await (self.uploads.discard(location) if failed else self.uploads.release(location))


async def _try_out(steps: Checklist, store: BlobStore, key: ObjectKey) -> None:
    """Write, read and delete an object."""
    with steps.taking("write"):
        stored = await store.put(key, _chunks())
        require(stored.size == len(PROBE), f"It keeps {stored.size:,} bytes of the {len(PROBE):,} that it received.")
    with steps.taking("read"):
        require(await _read(store, key, None) == PROBE, "It returns other bytes than it received.")
    with steps.taking("range"):
        part = PROBE[PART.start : PART.stop]
        require(await _read(store, key, PART) == part, "It returns other bytes of a range than it received.")
    with steps.taking("stat"):
        size = (await store.stat(key)).size
        require(size == len(PROBE), f"It reports {size:,} bytes, and received {len(PROBE):,}.")
    with steps.taking("list"):
        require(await is_listed(store, key), "It does not list an object that it received.")
    with steps.taking("delete"):
        await store.delete(key)
        require(await _is_gone(store, key), "It keeps an object that was deleted.")


async def _chunks() -> AsyncIterator[bytes]:
    for start in range(0, len(PROBE), 40_000):
        yield PROBE[start : start + 40_000]


async def _read(store: BlobStore, key: ObjectKey, part: ByteRange | None) -> bytes:
    async with store.read(key, part) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _is_gone(store: BlobStore, key: ObjectKey) -> bool:
    try:
        await store.stat(key)
    except NotFound:
        return True
    return False
