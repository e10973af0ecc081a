"""The unit of work in memory, and the repositories of blobs, uploads and garbage."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from adapters.metadata.memory.buckets import MemoryBuckets
from adapters.metadata.memory.changes import Clock, due
from adapters.metadata.memory.contents import MemoryCommits, MemoryContents, MemoryMultipart, MemoryTrash
from adapters.metadata.memory.keys import MemoryKeys
from adapters.metadata.memory.moves import MemoryMoves
from adapters.metadata.memory.rows import Claimed, Rows, Tables, Writing
from adapters.metadata.memory.shares import MemoryShares
from adapters.metadata.memory.verifications import MemoryVerifications
from application.ports.buckets import BucketReader
from application.ports.contents import ContentReader, MultipartReader, TrashReader
from application.ports.keys import KeyReader
from application.ports.metadata import (
    DOUBLINGS,
    Backlog,
    BlobReader,
    BlobRepository,
    Garbage,
    GarbageRepository,
    KnownStorage,
    ObjectRepository,
    Published,
    StorageRepository,
    UnitOfWork,
    UnitOfWorkFactory,
    UploadRepository,
    common_prefix,
)
from application.ports.moves import MoveReader
from application.ports.shares import ShareReader
from application.ports.verifications import VerificationReader
from domain.blob import Blob, BlobId, Draft, Location, ObjectKey
from domain.errors import RolledBack
from domain.precondition import CREATE_ONLY, Precondition


class _Blobs(BlobRepository):
    def __init__(self, tables: Tables, now: Clock) -> None:
        self._rows = tables.blobs
        self._now = now

    async def find(self, blob_id: BlobId) -> Blob | None:
        blob = self._stored(blob_id)
        return None if blob is None or blob.has_expired else blob

    async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
        found = [blob for blob in self._between(start, stop) if not blob.has_expired]
        return [replace(blob, read_at=None) for blob in found][:limit]

    async def rolled_up(
        self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
    ) -> Sequence[Blob | str]:
        found = dict[Blob | str, None]()
        for blob in await self.between(start, stop, len(self._rows.values())):
            found[common_prefix(blob.id.value, prefix, delimiter) or blob] = None
        return [*found][:limit]

    async def by_content(self, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
        found = sorted(self._rows.values(), key=_by_content)
        return [blob for blob in found if after is None or _by_content(blob) > after][:limit]

    async def put(self, draft: Draft, precondition: Precondition) -> Published:
        former = self._stored(draft.id)
        precondition.check(draft.id, None if former is None or former.has_expired else former)
        blob = draft.published(self._now(), former)
        self._rows.set(draft.id, blob)
        return Published(blob, former)

    async def lock(self, blob_id: BlobId, precondition: Precondition) -> Blob:
        current = await self.get(blob_id)
        precondition.check(blob_id, current)
        return current

    async def lock_each(self, ids: Sequence[BlobId]) -> Sequence[Blob]:
        found = [await self.find(blob_id) for blob_id in sorted({*ids}, key=lambda blob_id: blob_id.value)]
        return [blob for blob in found if blob is not None]

    async def lock_between(self, start: str, stop: str | None, limit: int) -> Sequence[BlobId]:
        return [blob.id for blob in await self.between(start, stop, limit)]

    async def lock_expired_targets(
        self, start: str, stop: str | None, from_prefix: str, to_prefix: str
    ) -> Sequence[BlobId]:
        moved = await self.between(start, stop, len(self._rows.values()))
        targets = {to_prefix + blob.id.value.removeprefix(from_prefix) for blob in moved}
        return [each.id for each in self._between("", None) if each.has_expired and each.id.value in targets]

    async def move_between(self, start: str, stop: str | None, from_prefix: str, to_prefix: str) -> int:
        moved = await self.between(start, stop, len(self._rows.values()))
        drafts = [replace(blob.draft(), id=_renamed(blob.id, from_prefix, to_prefix)) for blob in moved]
        staying = {blob.id for blob in self._rows.values()} - {blob.id for blob in moved}
        for draft in drafts:
            if draft.id in staying:
                CREATE_ONLY.check(draft.id, await self.find(draft.id))
                raise RolledBack("A blob with one of the new ids has just expired.")
        for blob in moved:
            self._rows.set(blob.id, None)
        former = {blob.id: blob for blob in moved}
        for draft in drafts:
            self._rows.set(draft.id, draft.published(self._now(), former.get(draft.id)))
        return len(moved)

    async def count(self, start: str, stop: str | None, limit: int) -> int:
        return len(await self.between(start, stop, limit))

    async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
        current = await self.lock(blob_id, precondition)
        self._rows.set(blob_id, None)
        return current

    def _stored(self, blob_id: BlobId) -> Blob | None:
        blob = self._rows.get(blob_id)
        return None if blob is None else replace(blob, read_at=self._now())

    def _between(self, start: str, stop: str | None) -> list[Blob]:
        now = self._now()
        found = [each for each in self._rows.values() if start <= each.id.value and (not stop or each.id.value < stop)]
        return [replace(blob, read_at=now) for blob in sorted(found, key=lambda blob: blob.id.value)]


def _renamed(blob_id: BlobId, from_prefix: str, to_prefix: str) -> BlobId:
    return BlobId(to_prefix + blob_id.value.removeprefix(from_prefix))


def _by_content(blob: Blob) -> tuple[ObjectKey, str]:
    return blob.content.key, blob.id.value


class _Uploads(UploadRepository):
    def __init__(self, tables: Tables, now: Clock) -> None:
        self._rows = tables.uploads
        self._now = now

    async def add(self, location: Location, lease: timedelta) -> None:
        self._rows.set(location.key, Writing(location, self._now() + lease))

    async def renew(self, key: ObjectKey, lease: timedelta) -> bool:
        row = self._rows.get(key)
        if row is not None:
            self._rows.set(key, replace(row, expires_at=self._now() + lease))
        return row is not None

    async def remove(self, key: ObjectKey) -> bool:
        there = self._rows.get(key) is not None
        self._rows.set(key, None)
        return there

    async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
        rows = [(row.location, row.expires_at) for row in self._rows.values() if row.location.backend == backend]
        expired = due(rows, self._now(), limit)
        for location in expired:
            self._rows.set(location.key, None)
        return expired


class _Garbage(GarbageRepository):
    def __init__(self, tables: Tables, now: Clock) -> None:
        self._rows = tables.garbage
        self._now = now

    async def add(self, garbage: Garbage, after: timedelta) -> None:
        self._rows.set(garbage.location.key, Claimed(garbage, self._now() + after))

    async def add_each(self, garbage: Sequence[Garbage], after: timedelta) -> None:
        for each in garbage:
            await self.add(each, after)

    async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
        rows = [(row, row.due_at) for row in self._rows.values() if row.garbage.location.backend == backend]
        claimed = due(rows, self._now(), limit)
        for row in claimed:
            until = self._now() + lease * 2 ** min(row.claims, DOUBLINGS)
            self._rows.set(row.garbage.location.key, Claimed(row.garbage, until, row.claims + 1))
        return [row.garbage for row in claimed]

    async def deleted(self, garbage: Sequence[Garbage], again_after: timedelta) -> None:
        for each in garbage:
            left = Garbage(each.location, each.deletes - 1)
            row = Claimed(left, self._now() + again_after) if left.deletes else None
            self._rows.set(each.location.key, row)

    async def unclaim(self, garbage: Sequence[Garbage]) -> None:
        for each in garbage:
            row = self._rows.get(each.location.key)
            if row is not None and row.garbage == each and row.claims:
                self._rows.set(each.location.key, Claimed(each, self._now(), row.claims - 1))


class _Storages(StorageRepository):
    def __init__(self, tables: Tables, now: Clock) -> None:
        self._rows = tables.storages
        self._now = now

    async def add(self, known: KnownStorage) -> bool:
        if self._rows.get(known.backend) is not None:
            return False
        self._rows.set(known.backend, (known, self._now()))
        return True

    async def replace(self, known: KnownStorage, new: KnownStorage) -> bool:
        row = self._rows.get(known.backend)
        if row is None or _markers(row[0]) != _markers(known):
            return False
        self._rows.set(known.backend, (new, row[1]))
        return True

    async def replace_if_due(self, known: KnownStorage, new: KnownStorage) -> bool:
        row = self._rows.get(known.backend)
        if row is None or timedelta(0) <= self._now() - row[1] < row[0].interval:
            return False
        if not await self.replace(known, new):
            return False
        self._rows.set(known.backend, (new, self._now()))
        return True


class _Objects(ObjectRepository):
    def __init__(self, tables: Tables) -> None:
        self._objects = tables.objects

    async def add(self, key: ObjectKey, data: bytes) -> bool:
        if self._objects.get(key) is not None:
            return False
        self._objects.set(key, data)
        return True


def _markers(known: KnownStorage) -> tuple[ObjectKey | None, ...]:
    return known.identity, known.epoch, known.next, known.former


class MemoryUnitOfWork(UnitOfWork):
    def __init__(self, tables: Tables, now: Clock) -> None:
        self._tables = tables
        self.blobs = _Blobs(tables, now)
        self.uploads = _Uploads(tables, now)
        self.garbage = _Garbage(tables, now)
        self.storages = _Storages(tables, now)
        self.objects = _Objects(tables)
        self.trash = MemoryTrash(tables, now)
        self.contents = MemoryContents(tables, now)
        self.multipart = MemoryMultipart(tables, now)
        self.moves = MemoryMoves(tables, now)
        self.commits = MemoryCommits(tables, now)
        self.keys = MemoryKeys(tables)
        self.shares = MemoryShares(tables)
        self.buckets = MemoryBuckets(tables, now)
        self.verifications = MemoryVerifications(tables)

    async def commit(self) -> None:
        self._tables.apply()


class MemoryMetadata(UnitOfWorkFactory):
    """The metadata in dictionaries: readers, and a factory of units of work, which take turns.

    `now` is the database's clock. `rows.objects` are the bytes of small ones, for a storage in memory.
    """

    def __init__(self, now: Clock = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self.rows = Rows()
        committed = Tables(self.rows)
        self.blobs: BlobReader = _Blobs(committed, now)
        self.trash: TrashReader = MemoryTrash(committed, now)
        self.contents: ContentReader = MemoryContents(committed, now)
        self.multipart: MultipartReader = MemoryMultipart(committed, now)
        self.moves: MoveReader = MemoryMoves(committed, now)
        self.keys: KeyReader = MemoryKeys(committed)
        self.shares: ShareReader = MemoryShares(committed)
        self.buckets: BucketReader = MemoryBuckets(committed, now)
        self.verifications: VerificationReader = MemoryVerifications(committed)
        self.large_units: UnitOfWorkFactory = self
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self._turn:
            yield MemoryUnitOfWork(Tables(self.rows), self.now)

    async def backlog(self) -> Sequence[Backlog]:
        now = self.now()
        uploads = Counter(row.location.backend for row in self.rows.uploads.values())
        garbage = defaultdict[str, list[timedelta]](list)
        for row in self.rows.garbage.values():
            garbage[row.garbage.location.backend].append(now - row.due_at)
        for version in self.rows.trash.values():
            garbage[version.version.blob.location.backend].append(now - version.due_at)
        return [_backlog(name, uploads[name], garbage[name]) for name in sorted({*uploads, *garbage})]

    async def undigested(self) -> int:
        return sum(job.digest is None for job, _ in self.rows.digests.values())

    async def known_storage(self, backend: str) -> KnownStorage | None:
        row = self.rows.storages.get(backend)
        return None if row is None else row[0]

    async def has_expired(self, marks: timedelta) -> bool:
        now, rows = self.now(), self.rows
        times = [
            *(blob.expires_at for blob in rows.blobs.values() if blob.expires_at),
            *(version.due_at for version in rows.trash.values()),
            *(upload.expires_at for upload in rows.multipart.values()),
            *(committed_at + marks for committed_at in rows.commits.values()),
        ]
        return any(time <= now for time in times)

    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        named = {location.key for location in self._locations() if location.backend == backend}
        known = await self.known_storage(backend)
        return (named | (known.keys if known else set())) & {*keys}

    def _locations(self) -> Iterator[Location]:
        rows = self.rows
        yield from (blob.location for blob in rows.blobs.values())
        yield from (row.version.blob.location for row in rows.trash.values())
        yield from (segment.location for segments in rows.segments.values() for segment in segments)
        yield from (part.location for part in rows.parts.values())
        yield from (row.location for row in rows.uploads.values())
        yield from (row.garbage.location for row in rows.garbage.values())


def _backlog(backend: str, uploads: int, ages: Sequence[timedelta]) -> Backlog:
    due_ages = [age for age in ages if age >= timedelta(0)]
    return Backlog(backend, uploads, len(ages), len(due_ages), max(due_ages, default=timedelta(0)))
