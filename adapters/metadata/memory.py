"""Metadata in memory, for tests and demos. It is lost when the process ends."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

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
from domain.blob import Blob, BlobId, Draft, Location, ObjectKey
from domain.precondition import Precondition

K = TypeVar("K")
V = TypeVar("V")
Clock = Callable[[], datetime]


class _Changes(Generic[K, V]):
    """A dictionary with uncommitted changes."""

    def __init__(self, committed: dict[K, V]) -> None:
        self._committed = committed
        self._changed: dict[K, V | None] = {}

    def get(self, key: K) -> V | None:
        return self._changed[key] if key in self._changed else self._committed.get(key)

    def set(self, key: K, value: V | None) -> None:
        self._changed[key] = value

    def values(self) -> list[V]:
        merged = {**self._committed, **self._changed}
        return [value for value in merged.values() if value is not None]

    def apply(self) -> None:
        for key, value in self._changed.items():
            if value is None:
                self._committed.pop(key, None)
            else:
                self._committed[key] = value


class _Blobs(BlobRepository):
    def __init__(self, rows: _Changes[BlobId, Blob], now: Clock) -> None:
        self._rows = rows
        self._now = now

    async def find(self, blob_id: BlobId) -> Blob | None:
        blob = self._rows.get(blob_id)
        return None if blob is None else replace(blob, read_at=self._now())

    async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
        found = [
            blob for blob in self._rows.values() if start <= blob.id.value and (stop is None or blob.id.value < stop)
        ]
        return sorted(found, key=lambda blob: blob.id.value)[:limit]

    async def rolled_up(
        self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
    ) -> Sequence[Blob | str]:
        found = dict[Blob | str, None]()
        for blob in await self.between(start, stop, len(self._rows.values())):
            found[common_prefix(blob.id.value, prefix, delimiter) or blob] = None
        return [*found][:limit]

    async def by_key(self, after: ObjectKey | None, limit: int) -> Sequence[Blob]:
        found = [blob for blob in self._rows.values() if after is None or blob.location.key > after]
        return sorted(found, key=lambda blob: blob.location.key)[:limit]

    async def put(self, draft: Draft, precondition: Precondition) -> Published:
        current = self._rows.get(draft.id)
        precondition.check(draft.id, current)
        blob = draft.published(self._now(), current)
        self._rows.set(draft.id, blob)
        return Published(blob, current)

    async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
        current = await self.get(blob_id)
        precondition.check(blob_id, current)
        self._rows.set(blob_id, None)
        return current


class _Uploads(UploadRepository):
    def __init__(self, rows: _Changes[ObjectKey, tuple[Location, datetime]], now: Clock) -> None:
        self._rows = rows
        self._now = now

    async def add(self, location: Location, lease: timedelta) -> None:
        self._rows.set(location.key, (location, self._now() + lease))

    async def renew(self, key: ObjectKey, lease: timedelta) -> bool:
        row = self._rows.get(key)
        if row is not None:
            self._rows.set(key, (row[0], self._now() + lease))
        return row is not None

    async def remove(self, key: ObjectKey) -> bool:
        there = self._rows.get(key) is not None
        self._rows.set(key, None)
        return there

    async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
        rows = [row for row in self._rows.values() if row[0].backend == backend]
        expired = _due(rows, self._now(), limit)
        for location in expired:
            self._rows.set(location.key, None)
        return expired


class _Garbage(GarbageRepository):
    def __init__(self, rows: _Changes[ObjectKey, tuple["_Claimed", datetime]], now: Clock) -> None:
        self._rows = rows
        self._now = now

    async def add(self, garbage: Garbage, after: timedelta) -> None:
        self._rows.set(garbage.location.key, (_Claimed(garbage), self._now() + after))

    async def hold(self, key: ObjectKey, lease: timedelta) -> bool:
        row = self._rows.get(key)
        if row is None or row[0].claims:
            return False
        self._rows.set(key, (row[0], max(row[1], self._now() + lease)))
        return True

    async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
        rows = [row for row in self._rows.values() if row[0].garbage.location.backend == backend]
        due = _due(rows, self._now(), limit)
        for row in due:
            until = self._now() + lease * 2 ** min(row.claims, DOUBLINGS)
            self._rows.set(row.garbage.location.key, (_Claimed(row.garbage, row.claims + 1), until))
        return [row.garbage for row in due]

    async def deleted(self, garbage: Sequence[Garbage], again_after: timedelta) -> None:
        for each in garbage:
            left = Garbage(each.location, each.deletes - 1)
            row = (_Claimed(left), self._now() + again_after) if left.deletes else None
            self._rows.set(each.location.key, row)


class _Storages(StorageRepository):
    def __init__(self, rows: _Changes[str, tuple[KnownStorage, datetime]], now: Clock) -> None:
        self._rows = rows
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
    def __init__(self, objects: _Changes[ObjectKey, bytes]) -> None:
        self._objects = objects

    async def add(self, key: ObjectKey, data: bytes) -> bool:
        if self._objects.get(key) is not None:
            return False
        self._objects.set(key, data)
        return True


def _markers(known: KnownStorage) -> tuple[ObjectKey | None, ...]:
    return known.identity, known.epoch, known.next, known.former


@dataclass(frozen=True, slots=True)
class _Claimed:
    garbage: Garbage
    claims: int = 0


def _due(rows: list[tuple[V, datetime]], now: datetime, limit: int) -> list[V]:
    due = sorted((row for row in rows if row[1] <= now), key=lambda row: row[1])
    return [value for value, _ in due[:limit]]


class _MemoryUnitOfWork(UnitOfWork):
    def __init__(self, metadata: "MemoryMetadata") -> None:
        self._changes = (
            _Changes(metadata.blob_rows),
            _Changes(metadata.upload_rows),
            _Changes(metadata.garbage_rows),
            _Changes(metadata.storage_rows),
            _Changes(metadata.objects),
        )
        self.blobs = _Blobs(self._changes[0], metadata.now)
        self.uploads = _Uploads(self._changes[1], metadata.now)
        self.garbage = _Garbage(self._changes[2], metadata.now)
        self.storages = _Storages(self._changes[3], metadata.now)
        self.objects = _Objects(self._changes[4])

    async def commit(self) -> None:
        for changes in self._changes:
            changes.apply()


class MemoryMetadata(UnitOfWorkFactory):
    """The metadata in dictionaries: `blobs` for readers, and a factory of units of work, which take turns.

    `now` is the database's clock. `objects` are the bytes of small ones, for a storage in memory.
    """

    def __init__(self, now: Clock = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self.blob_rows: dict[BlobId, Blob] = {}
        self.upload_rows: dict[ObjectKey, tuple[Location, datetime]] = {}
        self.garbage_rows: dict[ObjectKey, tuple[_Claimed, datetime]] = {}
        self.storage_rows: dict[str, tuple[KnownStorage, datetime]] = {}
        self.objects: dict[ObjectKey, bytes] = {}
        self.blobs: BlobReader = _Blobs(_Changes(self.blob_rows), now)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self._turn:
            yield _MemoryUnitOfWork(self)

    async def backlog(self) -> Sequence[Backlog]:
        now = self.now()
        uploads = Counter(location.backend for location, _ in self.upload_rows.values())
        garbage = defaultdict[str, list[timedelta]](list)
        for row, due_at in self.garbage_rows.values():
            garbage[row.garbage.location.backend].append(now - due_at)
        return [_backlog(name, uploads[name], garbage[name]) for name in sorted({*uploads, *garbage})]

    async def known_storage(self, backend: str) -> KnownStorage | None:
        row = self.storage_rows.get(backend)
        return None if row is None else row[0]

    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        blobs = (blob.location for blob in self.blob_rows.values())
        uploads = (location for location, _ in self.upload_rows.values())
        garbage = (row.garbage.location for row, _ in self.garbage_rows.values())
        named = {location.key for location in (*blobs, *uploads, *garbage) if location.backend == backend}
        known = await self.known_storage(backend)
        return (named | (known.keys if known else set())) & {*keys}


def _backlog(backend: str, uploads: int, ages: Sequence[timedelta]) -> Backlog:
    due = [age for age in ages if age >= timedelta(0)]
    return Backlog(backend, uploads, len(ages), len(due), max(due, default=timedelta(0)))
