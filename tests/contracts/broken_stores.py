"""Stores that are broken on purpose, each in one way in which real ones have been, with the case that catches it."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.storage.memory import MemoryBlobStore
from application.ports.blob_store import Stored
from domain.blob import OBJECT_KEY, ByteRange, ObjectKey
from domain.errors import BlobError, NotFound, RangeNotSatisfiable, TimedOut, Unavailable
from tests.contracts.blob_store import STREAMS, BlobStoreContract, each, never
from tests.contracts.proof import caught_by

Chunks = AsyncIterable[bytes]

# Bytes


@caught_by(BlobStoreContract.test_what_was_put_is_read)
class DropsTheLastByte(MemoryBlobStore):
    """A buffer is written out without its last byte."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        stored = await super().put(key, chunks)
        self._objects[key] = self._objects[key][:-1]
        return stored


@caught_by(BlobStoreContract.test_what_was_put_is_read)
class DropsEmptyObjects(MemoryBlobStore):
    """No bytes, no write, no object."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        stored = await super().put(key, chunks)
        if stored.size == 0:
            del self._objects[key]
        return stored


@caught_by(BlobStoreContract.test_what_was_put_is_read)
class ReturnsTooEarly(MemoryBlobStore):
    """The write is queued, and acknowledged."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        data = b"".join([chunk async for chunk in chunks])
        asyncio.get_running_loop().call_later(0.01, self._objects.__setitem__, key, data)
        return Stored(len(data))


@caught_by(BlobStoreContract.test_what_was_put_is_read)
class CountsBlocks(MemoryBlobStore):
    """`stat` returns what the object takes up, in blocks of the disk."""

    async def stat(self, key: ObjectKey) -> Stored:
        found = await super().stat(key)
        return Stored(-(-found.size // 4096) * 4096)


@caught_by(BlobStoreContract.test_every_byte_at_every_place_of_a_line)
class IsInTextMode(MemoryBlobStore):
    """The ends of lines are translated, as FTP's ASCII mode does."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        stored = await super().put(key, chunks)
        self._objects[key] = self._objects[key].replace(b"\r\n", b"\n")
        return stored


@caught_by(BlobStoreContract.test_chunks_of_any_sizes)
class TakesAnEmptyChunkForTheEnd(MemoryBlobStore):
    """Empty means end, as with `read` of a file."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        taken = []
        async for chunk in chunks:
            if not chunk:
                break
            taken.append(chunk)
        return await super().put(key, each(taken))


@caught_by(BlobStoreContract.test_what_was_put_is_read)
class ReadsEmptyChunks(MemoryBlobStore):
    """An empty chunk marks the end, which HTTP takes for the end of a chunked body, and others for nothing."""

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async with super().read(key, byte_range) as chunks:
            yield each([*[chunk async for chunk in chunks], b""])


@caught_by(BlobStoreContract.test_what_was_put_is_read)
class SharesItsBuffer(MemoryBlobStore):
    """Each chunk is the one buffer, filled again."""

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async def refilled(data: bytes) -> AsyncIterator[Any]:
            buffer = bytearray()
            for start in range(0, len(data), 65_536):
                buffer[:] = data[start : start + 65_536]
                yield buffer

        async with super().read(key, byte_range) as chunks:
            yield refilled(b"".join([chunk async for chunk in chunks]))


@caught_by(BlobStoreContract.test_stat_returns_the_time_of_the_write_or_none)
class TellsLocalTime(MemoryBlobStore):
    """The time of another zone, taken for UTC."""

    async def stat(self, key: ObjectKey) -> Stored:
        found = await super().stat(key)
        return Stored(found.size, self._written[key] + timedelta(hours=1))


@caught_by(BlobStoreContract.test_stat_returns_the_time_of_the_write_or_none)
class TellsAccessTimes(MemoryBlobStore):
    """When it was looked at last."""

    async def stat(self, key: ObjectKey) -> Stored:
        return Stored((await super().stat(key)).size, self._now())


@caught_by(BlobStoreContract.test_an_object_is_never_changed)
class Overwrites(MemoryBlobStore):
    """A rename into place, where an exclusive create should be."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        self._objects[key] = b"".join([chunk async for chunk in chunks])
        return Stored(len(self._objects[key]))


@caught_by(BlobStoreContract.test_many_objects_at_once)
class StagesInOnePlace(MemoryBlobStore):
    """Two puts at once share what they gather in."""

    staged: bytes = b""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        self.staged = b""
        async for chunk in chunks:
            self.staged += chunk
        return await super().put(key, each([self.staged]))


# Failure


@caught_by(BlobStoreContract.test_a_source_that_fails_leaves_nothing)
class ShowsAPrefixOfAPutThatFails(MemoryBlobStore):
    """What came before the fault is kept, and can be read."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        taken = []
        try:
            async for chunk in chunks:
                taken.append(chunk)  # noqa: PERF401 - what came before the fault counts
        finally:
            stored = await super().put(key, each(taken))
        return stored


@caught_by(BlobStoreContract.test_a_cancelled_put_leaves_nothing)
class ClearsUpAfterExceptionsAlone(MemoryBlobStore):
    """`except Exception` does not see a cancellation."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        self._objects[key] = b""
        try:
            async for chunk in chunks:
                self._objects[key] += chunk
        except Exception:
            del self._objects[key]
            raise
        return Stored(len(self._objects[key]))


@caught_by(BlobStoreContract.test_a_key_is_free_after_a_put_that_failed)
class KeepsTheTailOfAPutThatFailed(MemoryBlobStore):
    """A file is opened again and not truncated: behind the new bytes lie the old."""

    tail: bytes = b""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        taken = b""
        try:
            async for chunk in chunks:
                taken += chunk
        except BaseException:
            self.tail = taken
            raise
        return await super().put(key, each([taken + self.tail[len(taken) :]]))


@caught_by(BlobStoreContract.test_a_source_that_fails_leaves_nothing)
class LeavesATemporaryFile(FilesystemBlobStore):
    """What a put that failed had written stays beside the objects, where nobody looks."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        temporary = Path(self.base, f"{key}.tmp")
        await asyncio.to_thread(temporary.touch)
        stored = await super().put(key, chunks)
        await asyncio.to_thread(temporary.unlink)
        return stored


@caught_by(BlobStoreContract.test_the_fault_of_a_source_goes_to_the_caller)
class TellsTheSourcesFaultAsItsOwn(MemoryBlobStore):
    """Whatever is raised in `put` must be the backend's doing."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        try:
            return await super().put(key, chunks)
        except Exception as error:
            raise Unavailable("The storage can't be used.") from error


@caught_by(BlobStoreContract.test_a_cancelled_put_leaves_nothing)
class SwallowsCancellation(MemoryBlobStore):
    """A bare `except` clears up, and goes on."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        try:
            return await super().put(key, chunks)
        except asyncio.CancelledError:
            return Stored(0)


@caught_by(BlobStoreContract.test_a_cancelled_put_leaves_nothing)
class WritesOnAfterACancellation(MemoryBlobStore):
    """The caller is let go, and the write is under way still."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        self.writing = asyncio.create_task(super().put(key, chunks))
        return await asyncio.shield(self.writing)


@caught_by(BlobStoreContract.test_a_put_that_is_cancelled_at_its_end_is_whole_or_nothing)
class IsCancelledWithItsObjectThere(MemoryBlobStore):
    """A cancellation between the last write and the return is raised, and nothing is cleared up."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        stored = await super().put(key, chunks)
        await asyncio.sleep(0)
        return stored


@caught_by(BlobStoreContract.test_a_put_that_is_cancelled_at_any_moment_is_whole_or_nothing)
class ClearsUpFromTheFirstByteOn(MemoryBlobStore):
    """The name is made before the `try`."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        self._objects[key] = b""
        await asyncio.sleep(0.05)
        del self._objects[key]
        return await super().put(key, chunks)


@caught_by(BlobStoreContract.test_of_many_puts_at_once_those_that_fail_leave_the_others_alone)
class RollsBackForAll(MemoryBlobStore):
    """Several puts share a transaction, and one of them rolls it back."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        try:
            return await super().put(key, chunks)
        except Exception:
            self._objects.clear()
            raise


# Absence


@caught_by(BlobStoreContract.test_deleting_what_is_not_there_succeeds)
class FailsToDeleteNothing(MemoryBlobStore):
    """A second delete is refused, so a reaper that was interrupted never gets on."""

    async def delete(self, key: ObjectKey) -> None:
        self._get(key)
        await super().delete(key)


@caught_by(BlobStoreContract.test_a_delete_takes_one_object)
class DeletesByPrefix(MemoryBlobStore):
    """A delete takes what is near, too."""

    async def delete(self, key: ObjectKey) -> None:
        for near in [near for near in self._objects if near.value[:31] == key.value[:31]]:
            del self._objects[near]


@caught_by(BlobStoreContract.test_a_delete_takes_one_object)
class CachesStat(MemoryBlobStore):
    """What was once found is always there."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[ObjectKey, Stored] = {}

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        stored = await super().put(key, chunks)
        self.found[key] = stored
        return stored

    async def stat(self, key: ObjectKey) -> Stored:
        return self.found.get(key) or await super().stat(key)


@caught_by(BlobStoreContract.test_an_object_is_never_changed)
class CallsEveryFaultAbsence(MemoryBlobStore):
    """One kind of error for all."""

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        try:
            return await super().put(key, chunks)
        except BlobError as error:
            raise NotFound(error.detail, subject=key) from error


@caught_by(BlobStoreContract.test_an_absent_object_is_not_found)
class CannotTellAbsentFromUnavailable(MemoryBlobStore):
    """As a store that takes each refusal of its server for an outage."""

    def _get(self, key: ObjectKey) -> bytes:
        try:
            return super()._get(key)
        except NotFound as error:
            raise Unavailable(error.detail) from error


@caught_by(BlobStoreContract.test_a_delete_that_comes_before_its_put_takes_nothing)
class DeletesInAdvance(MemoryBlobStore):
    """A mark of a delete hides what is written later."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: set[ObjectKey] = set()

    async def delete(self, key: ObjectKey) -> None:
        await super().delete(key)
        self.marks.add(key)

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        stored = await super().put(key, chunks)
        if key in self.marks:
            del self._objects[key]
        return stored


@caught_by(BlobStoreContract.test_a_delete_during_a_put_and_one_after_it_leave_nothing)
class RemembersWhatItDeleted(MemoryBlobStore):
    """What was deleted once is not deleted again, whatever landed meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: set[ObjectKey] = set()

    async def delete(self, key: ObjectKey) -> None:
        if key not in self.gone:
            self.gone.add(key)
            await super().delete(key)


# Ranges


@caught_by(BlobStoreContract.test_ranges)
class TakesTheEndForTheLastByte(MemoryBlobStore):
    """A range's end is off by one."""

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        wider = byte_range and ByteRange(byte_range.start, byte_range.stop + 1)
        async with super().read(key, wider) as chunks:
            yield chunks


@caught_by(BlobStoreContract.test_a_range_is_cut_at_the_end)
class RefusesToCutARange(MemoryBlobStore):
    """A range with an end past the end is an error."""

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        if byte_range is not None and byte_range.stop > len(self._get(key)):
            raise RangeNotSatisfiable("The range ends behind the object's end.")
        async with super().read(key, byte_range) as chunks:
            yield chunks


@caught_by(BlobStoreContract.test_a_range_behind_the_end_is_refused)
class ReadsNothingBehindTheEnd(MemoryBlobStore):
    """A range behind the end is an empty answer, as it is for a slice."""

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        data = self._get(key)
        part = byte_range or ByteRange(0, len(data) or 1)
        yield each([piece] if (piece := data[part.start : part.stop]) else [])


# Readings


@caught_by(BlobStoreContract.test_readings_that_are_left_early_free_what_they_hold)
class LeavesFilesOpen(FilesystemBlobStore):
    """A file is closed at its end, and nowhere else."""

    @asynccontextmanager
    async def read(  # type: ignore[override]  # any context manager will do
        self, key: ObjectKey, byte_range: ByteRange | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        reading = await super().read(key, byte_range).__aenter__()
        self.readings = [*getattr(self, "readings", ()), reading]
        yield reading

    async def __aexit__(self, *exc: Any) -> None:
        for reading in getattr(self, "readings", ()):  # the proof itself leaves nothing
            await reading.__aexit__()
        await super().__aexit__(*exc)


@caught_by(BlobStoreContract.test_readings_that_are_left_early_free_what_they_hold)
class KeepsThePlacesOfItsReadings(MemoryBlobStore):
    """A connection goes back into the pool at the end of the bytes, and nowhere else."""

    free: int = STREAMS

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        if not self.free:
            raise TimedOut("Too many objects are being read.")
        self.free -= 1
        async with super().read(key, byte_range) as chunks:
            yield self.given_back_at_the_end(chunks)

    async def given_back_at_the_end(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk
        self.free += 1


@caught_by(BlobStoreContract.test_readings_that_are_left_early_free_what_they_hold)
class LeavesATaskThatReadsAhead(MemoryBlobStore):
    """The task that reads ahead ends with the bytes, and not with the reading."""

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        self.ahead = asyncio.create_task(never())
        async with super().read(key, byte_range) as chunks:
            yield chunks
        self.ahead.cancel()


@caught_by(BlobStoreContract.test_many_readers_of_one_object)
class SharesItsPosition(MemoryBlobStore):
    """One open file for all, and seek before read."""

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        data = self._get(key)
        part = byte_range or ByteRange(0, len(data))
        self.position = part.start

        async def pieces() -> AsyncIterator[bytes]:
            while piece := data[self.position : min(self.position + 65_536, part.stop)]:
                self.position += len(piece)
                await asyncio.sleep(0)
                yield piece

        yield pieces()


@caught_by(BlobStoreContract.test_streams_in_both_directions_at_once)
class HasOneConnection(MemoryBlobStore):
    """While a transfer is under way the connection takes no other command, as with FTP."""

    writing: int = 0

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        self.writing += 1
        try:
            return await super().put(key, chunks)
        finally:
            self.writing -= 1

    def _get(self, key: ObjectKey) -> bytes:
        if self.writing:
            raise Unavailable("A transfer is under way.")
        return super()._get(key)


# Lists


@caught_by(BlobStoreContract.test_keys_are_listed_in_order)
class ListsInTheOrderOfTheDisk(MemoryBlobStore):
    """Keys come as the folder has them."""

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        for key in sorted(self._objects, key=lambda key: key.value[::-1]):
            if after is None or key > after:
                yield key


@caught_by(BlobStoreContract.test_keys_are_listed_in_order)
class ListsTheCursorAgain(MemoryBlobStore):
    """`after` is taken for "from"."""

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        for key in sorted(self._objects):
            if after is None or key >= after:
                yield key


@caught_by(BlobStoreContract.test_what_does_not_change_is_listed_once_while_the_rest_does)
class PagesByOffset(MemoryBlobStore):
    """OFFSET counts what is there now: after a delete the next page begins too late."""

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        offset = 0
        while page := [key for key in sorted(self._objects) if after is None or key > after][offset : offset + 10]:
            for key in page:
                yield key
            offset += 10


@caught_by(BlobStoreContract.test_a_list_can_be_left_early)
class KeepsThePlacesOfItsLists(MemoryBlobStore):
    """The cursor is closed behind its last page, and nowhere else."""

    free: int = STREAMS

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        if not self.free:
            raise TimedOut("Too many lists are under way.")
        self.free -= 1
        async for key in super().list(after):
            yield key
        self.free += 1


@caught_by(BlobStoreContract.test_keys_with_a_common_prefix_are_distinct)
class CutsNamesShort(MemoryBlobStore):
    """A column, or a disk, that keeps half of a name: keys at random differ in it."""

    def _cut(self, key: ObjectKey) -> ObjectKey:
        return ObjectKey(key.value[:16] + "0" * 16)

    async def put(self, key: ObjectKey, chunks: Chunks) -> Stored:
        return await super().put(self._cut(key), chunks)

    def _get(self, key: ObjectKey) -> bytes:
        return super()._get(self._cut(key))

    async def delete(self, key: ObjectKey) -> None:
        await super().delete(self._cut(key))


@caught_by(BlobStoreContract.test_keys_with_a_common_prefix_are_distinct)
class SwapsFolders(FilesystemBlobStore):
    """Objects of two folders lie in each other's: they can be read, but the list is out of order."""

    def path(self, key: ObjectKey) -> str:
        shard, name = super().path(key)[-36:-33], key.value
        return str(self.base / {"abc": "abd", "abd": "abc"}.get(shard, shard) / name)


class _WithLists(FilesystemBlobStore):
    """Lists over the folders that there are."""

    def listed(self) -> list[tuple[str, str]]:
        """The folders and the names in them."""
        found = [(shard.name, path.name) for shard in sorted(self.base.iterdir()) for path in sorted(shard.iterdir())]
        return [(shard, name) for shard, name in found if OBJECT_KEY.fullmatch(name)]


@caught_by(BlobStoreContract.test_a_list_goes_on_inside_a_folder)
class SkipsTheRestOfAFolder(_WithLists):
    """A list goes on in the folder behind that of its cursor."""

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        for shard, name in self.listed():
            if after is None or shard > after.value[:3]:
                yield ObjectKey(name)


@caught_by(BlobStoreContract.test_a_list_goes_on_inside_a_folder)
class ListsAFolderAgain(_WithLists):
    """A list goes on with the folder of its cursor, from the first name but the cursor."""

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        for shard, name in self.listed():
            if after is None or (shard >= after.value[:3] and name != after.value):
                yield ObjectKey(name)


# The check


@caught_by(BlobStoreContract.test_a_check_leaves_nothing)
class LeavesItsProbe(MemoryBlobStore):
    """The object that the check wrote to see whether it can stays."""

    async def check(self) -> None:
        self._objects[ObjectKey.random()] = b"Does this take a write?"


@caught_by(BlobStoreContract.test_a_check_leaves_objects_alone)
class SetsUpAnew(MemoryBlobStore):
    """Each start finds an empty folder, because it makes one."""

    async def check(self) -> None:
        self._objects.clear()
