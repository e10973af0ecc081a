"""Metadata adapters that count names of objects wrongly on purpose, each with the case that catches it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from adapters.metadata.memory.contents import MemoryContents, MemoryMultipart, MemoryTrash
from application.ports.contents import Part
from application.ports.metadata import UnitOfWork
from domain.blob import Blob, Content, Location, ObjectKey, Segment
from domain.errors import RolledBack
from tests.contracts.broken_contents import Tampered, WithoutTurns
from tests.contracts.proof import caught_by
from tests.contracts.shared_objects import SharedObjectsContract

DEADLOCK = 0.1  # seconds after which a unit takes a lock for a deadlock


@caught_by(SharedObjectsContract.test_what_is_shared_is_read_as_shared)
class ForgetsThatPartsAreShared(Tampered):
    class Multipart(MemoryMultipart):
        async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
            return await super().put_part(key, replace(part, is_shared=False))


@caught_by(SharedObjectsContract.test_what_is_shared_is_read_as_shared)
class ForgetsThatSegmentsAreShared(Tampered):
    class Contents(MemoryContents):
        async def add(self, content: ObjectKey, segments: Sequence[Segment]) -> None:
            await super().add(content, [replace(each, is_shared=False) for each in segments])


@caught_by(SharedObjectsContract.test_what_is_shared_is_read_as_shared)
class MarksNoSource(Tampered):
    class Contents(MemoryContents):
        async def share_segment(self, content: ObjectKey, start: int) -> Segment:
            before = self._rows.segments.get(content)
            shared = await super().share_segment(content, start)
            self._rows.segments.set(content, before)
            return shared


@caught_by(SharedObjectsContract.test_an_object_is_garbage_after_its_last_name)
class FreesSharedSegments(Tampered):
    class Trash(MemoryTrash):
        async def release(self, limit: int) -> int:
            for key, segments in self._rows.segments.items():
                self._rows.segments.set(key, tuple(replace(each, is_shared=False) for each in segments))
            return await super().release(limit)


@caught_by(SharedObjectsContract.test_an_object_is_garbage_after_its_last_name)
class FreesSharedParts(Tampered):
    class Multipart(MemoryMultipart):
        async def discard(self, key: ObjectKey) -> bool:
            for part in self._parts(key):
                self._rows.parts.set((key, part.number), replace(part, is_shared=False))
            return await super().discard(key)


@caught_by(SharedObjectsContract.test_an_object_is_garbage_after_its_last_name)
class LeaksSharedParts(Tampered):
    class Multipart(MemoryMultipart):
        async def discard(self, key: ObjectKey) -> bool:
            for part in self._parts(key):
                self._rows.parts.set((key, part.number), None if part.is_shared else part)
            return await super().discard(key)


@caught_by(SharedObjectsContract.test_an_object_counts_for_each_of_its_names)
class CountsASegmentOnce(Tampered):
    """A set of keys, where each segment counts."""

    class Trash(MemoryTrash):
        async def release(self, limit: int) -> int:
            for key, segments in self._rows.segments.items():
                self._rows.segments.set(key, tuple({each.location: each for each in segments}.values()))
            return await super().release(limit)


@caught_by(SharedObjectsContract.test_names_are_released_together)
class ReleasesListsWithTheirFirstVersion(Tampered):
    class Trash(MemoryTrash):
        async def release(self, limit: int) -> int:
            for row in self._rows.trash.values():
                if row.version.blob.content.segments:
                    self._rows.shared.set(row.version.blob.content.key, 1)
            return await super().release(limit)


@caught_by(SharedObjectsContract.test_a_replaced_part_has_its_object_no_more)
class CountsNoRelease(Tampered):
    class Contents(MemoryContents):
        async def release(self, objects: Sequence[Location]) -> None:
            pass


@caught_by(SharedObjectsContract.test_a_replaced_part_has_its_object_no_more)
class KeepsTheMarkOfReplacedParts(Tampered):
    """An update of the columns that an older table had."""

    class Multipart(MemoryMultipart):
        async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
            former = self._rows.parts.get((key, part.number))
            kept = former is not None and former.is_shared
            return await super().put_part(key, replace(part, is_shared=part.is_shared or kept))


@caught_by(SharedObjectsContract.test_expired_uploads_release_what_they_share)
class FreesSharedPartsOfExpired(Tampered):
    class Multipart(MemoryMultipart):
        async def discard_expired(self, limit: int) -> int:
            for key, part in self._rows.parts.items():
                self._rows.parts.set(key, replace(part, is_shared=False))
            return await super().discard_expired(limit)


@caught_by(SharedObjectsContract.test_shared_objects_are_named_by_each)
class NamesOwnPartsOnly(Tampered):
    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> set[ObjectKey]:
        shared = {part.location.key for part in self.rows.parts.values() if part.is_shared}
        return {*await super().named(backend, keys)} - shared


@caught_by(SharedObjectsContract.test_a_thousand_shared_segments_are_released)
class ReleasesAPageOfSegments(Tampered):
    class Trash(MemoryTrash):
        async def release(self, limit: int) -> int:
            for key, segments in self._rows.segments.items():
                self._rows.segments.set(key, segments[:1000])
            return await super().release(limit)


class _Pausing(MemoryContents):
    """Lets other units have their turn between what is read and what is written."""

    async def share(self, blob: Blob) -> Content:
        shared = await super().share(blob)
        await asyncio.sleep(0)
        return shared

    async def share_segment(self, content: ObjectKey, start: int) -> Segment:
        shared = await super().share_segment(content, start)
        await asyncio.sleep(0)
        return shared


@caught_by(SharedObjectsContract.test_a_segment_of_a_shared_list_is_shared_by_racing_units)
class LocksVersionsOnly(WithoutTurns):
    class Contents(_Pausing): ...


@caught_by(SharedObjectsContract.test_a_source_is_shared_or_deleted_first)
class SharesWithoutALock(WithoutTurns):
    """The source is deleted between the look and the count."""

    class Contents(_Pausing): ...


class _Locks:
    """Locks of keys, each held until its unit ends. Who waits for long is rolled back."""

    def __init__(self) -> None:
        self.of_key = defaultdict[ObjectKey, asyncio.Lock](asyncio.Lock)

    async def take(self, key: ObjectKey, held: set[ObjectKey]) -> None:
        if key in held:
            return
        try:
            async with asyncio.timeout(DEADLOCK):
                await self.of_key[key].acquire()
        except TimeoutError:
            raise RolledBack("a deadlock") from None
        held.add(key)


@caught_by(SharedObjectsContract.test_units_that_count_many_objects_do_not_deadlock)
class LocksInTheOrderOfTheParts(Tampered):
    """Each count is locked as it comes, and not in the order of the keys."""

    class Multipart(MemoryMultipart):
        lock_key: Callable[[ObjectKey], Awaitable[None]]

        async def discard(self, key: ObjectKey) -> bool:
            for part in self._parts(key):
                await self.lock_key(part.location.key)
                await asyncio.sleep(0)
            return await super().discard(key)

    def __init__(self) -> None:
        super().__init__()
        self._locks = _Locks()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        held = set[ObjectKey]()
        work = self.begin()
        assert isinstance(work.multipart, self.Multipart)
        work.multipart.lock_key = lambda key: self._locks.take(key, held)
        try:
            yield work
        finally:
            for key in held:
                self._locks.of_key[key].release()


@caught_by(SharedObjectsContract.test_of_racing_changes_each_object_is_freed_once_it_is_not_named)
class FreesWhatOnlyUploadsName(Tampered):
    """A source that is deleted takes its objects along."""

    class Trash(MemoryTrash):
        async def release(self, limit: int) -> int:
            for key, count in self._rows.shared.items():
                parts = [part for part in self._rows.parts.values() if part.location.key == key]
                self._rows.shared.set(key, max(count - len(parts), 1))
            return await super().release(limit)
