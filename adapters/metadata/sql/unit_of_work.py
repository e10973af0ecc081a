"""The rows in a SQL database: one statement of SQLAlchemy Core for each promise of the port, in every dialect."""

from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql import listing, references
from adapters.metadata.sql import storages as sql_storages
from adapters.metadata.sql.garbage import SqlGarbage
from adapters.metadata.sql.listing import BlobRow
from adapters.metadata.sql.storages import SqlStorages
from adapters.metadata.sql.uploads import SqlUploads
from adapters.sql.database import Database, Run, Transaction
from adapters.sql.dialects import insert_or_ignore
from adapters.sql.tables import BLOBS, MICROSECOND, DatabaseNow
from application.ports.metadata import (
    Backlog,
    BlobReader,
    BlobRepository,
    KnownStorage,
    Published,
    UnitOfWork,
    UnitOfWorkFactory,
)
from domain.blob import Blob, BlobId, Digest, Draft, Location, ObjectKey
from domain.errors import NotFound
from domain.precondition import Precondition

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SqlBlobs(BlobRepository):
    """The blobs, by way of `run`: in a transaction, or outside any for reading."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def get(self, blob_id: BlobId) -> Blob:
        return await self._run(_select_blob, blob_id)

    async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
        return await self._run(_blobs_between, start, stop, limit)

    async def rolled_up(
        self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
    ) -> Sequence[Blob | str]:
        return await self._run(_entries, start, stop, limit, prefix, delimiter)

    async def by_key(self, after: ObjectKey | None, limit: int) -> Sequence[Blob]:
        return await self._run(_select_blobs_by_key, after, limit)

    async def put(self, draft: Draft, precondition: Precondition) -> Published:
        return await self._run(_put_blob, draft, precondition)

    async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
        return await self._run(_delete_blob, blob_id, precondition)


class SqlUnitOfWork(UnitOfWork):
    """A transaction, as the port's repositories."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.blobs = SqlBlobs(transaction.run)
        self.uploads = SqlUploads(transaction.run)
        self.garbage = SqlGarbage(transaction.run)
        self.storages = SqlStorages(transaction.run)

    async def commit(self) -> None:
        await self._transaction.commit()


class SqlMetadata(UnitOfWorkFactory):
    """The metadata in a database: `blobs` for readers, and a factory of units of work. To be entered before use."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.blobs: BlobReader = SqlBlobs(database.read)

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.__aexit__(*exc)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self._database.transaction() as transaction:
            yield SqlUnitOfWork(transaction)

    async def backlog(self) -> Sequence[Backlog]:
        return await self._database.read(references.backlog)

    async def known_storage(self, backend: str) -> KnownStorage | None:
        return await self._database.read(sql_storages.known_storage, backend)

    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        return await self._database.read(references.named, backend, keys)


_BY_ID: sa.Select[*tuple[Any, ...]] = sa.select(BLOBS, DatabaseNow().label("read_at")).where(
    BLOBS.c.id == sa.bindparam("blob_id")
)
_BY_ID_FOR_UPDATE = _BY_ID.with_for_update()


_DATE = sa.select(BLOBS.c.created_at, DatabaseNow()).where(BLOBS.c.id == sa.bindparam("blob_id"))


def _select_blob(connection: Connection, blob_id: BlobId) -> Blob:
    return _found(blob_id, connection.execute(_BY_ID, {"blob_id": blob_id.value}).one_or_none())


def _blobs_between(connection: Connection, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
    return [_blob(row) for row in listing.between(connection, start, stop, limit)]


def _entries(
    connection: Connection, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
) -> Sequence[Blob | str]:
    found = listing.rolled_up(connection, start, stop, limit, prefix, delimiter)
    return [row if isinstance(row, str) else _blob(row) for row in found]


def _select_blobs_by_key(connection: Connection, after: ObjectKey | None, limit: int) -> Sequence[Blob]:
    found = sa.select(BLOBS).order_by(BLOBS.c.object_key).limit(limit)
    if after is not None:
        found = found.where(BLOBS.c.object_key > after.value)
    return [_blob(row) for row in connection.execute(found)]


def _put_blob(connection: Connection, draft: Draft, precondition: Precondition) -> Published:
    while True:
        row = connection.execute(_BY_ID_FOR_UPDATE, {"blob_id": draft.id.value}).one_or_none()
        current = None if row is None else _blob_read(row)
        precondition.check(draft.id, current)
        if current is not None:
            return _replace_blob(connection, draft, current)
        if insert_or_ignore(connection, BLOBS, _values(draft) | {"sole": True}):
            return Published(draft.published(_date_of_insert(connection, draft.id)), None)
        # Somebody else's insert was first, and is committed now: look at that row.


def _replace_blob(connection: Connection, draft: Draft, current: Blob) -> Published:
    assert current.read_at is not None
    blob = draft.published(current.read_at, current)
    values = _values(blob) | {"created_at": _microseconds(blob.created_at), "sole": blob.sole}
    connection.execute(sa.update(BLOBS).where(BLOBS.c.id == blob.id.value), values)
    return Published(blob, current)


def _date_of_insert(connection: Connection, blob_id: BlobId) -> datetime:
    """The time of the database when a row was inserted: after a version before it was deleted, if there was one.

    The insert took its time before it waited for that delete. Within one second it does not matter.
    """
    inserted, now = (_time(each) for each in connection.execute(_DATE, {"blob_id": blob_id.value}).one())
    if inserted.replace(microsecond=0) == now.replace(microsecond=0):
        return inserted
    connection.execute(sa.update(BLOBS).where(BLOBS.c.id == blob_id.value), {"created_at": _microseconds(now)})
    return now


def _delete_blob(connection: Connection, blob_id: BlobId, precondition: Precondition) -> Blob:
    current = _found(blob_id, connection.execute(_BY_ID_FOR_UPDATE, {"blob_id": blob_id.value}).one_or_none())
    precondition.check(blob_id, current)
    connection.execute(sa.delete(BLOBS).where(BLOBS.c.id == blob_id.value))
    return current


def _found(blob_id: BlobId, row: BlobRow | None) -> Blob:
    if row is None:
        raise NotFound(subject=blob_id)
    return _blob_read(row)


def _values(draft: Draft) -> dict[str, Any]:
    return {
        "id": draft.id.value,
        "backend": draft.location.backend,
        "object_key": draft.location.key.value,
        "size": draft.size,
        "sha256": draft.digest.sha256,
        "content_type": draft.content_type,
        "content_encoding": draft.content_encoding or None,
    }


def _blob_read(row: BlobRow) -> Blob:
    return _blob(row, _time(row.read_at))


def _blob(row: BlobRow, read_at: datetime | None = None) -> Blob:
    blob_id, backend, key, size, sha256, content_type, created_at, sole, content_encoding, *_ = row
    return Blob(
        BlobId(blob_id),
        Location(backend, ObjectKey(key)),
        size,
        Digest(bytes(sha256)),
        content_type,
        _time(created_at),
        bool(sole),
        read_at,
        content_encoding=content_encoding or "",
    )


def _time(microseconds: int) -> datetime:
    return EPOCH + microseconds * MICROSECOND


def _microseconds(time: datetime) -> int:
    return (time - EPOCH) // MICROSECOND
