"""The rows in a SQL database: one statement of SQLAlchemy Core for each promise of the port, in every dialect."""

from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata import sql_lists
from adapters.metadata.sql_lists import BlobRow
from adapters.sql.database import Database, Run, Transaction
from adapters.sql.dialects import insert_or_ignore
from adapters.sql.tables import BLOBS, GARBAGE, UPLOADS, DatabaseNow
from application.ports.metadata import (
    DOUBLINGS,
    Backlog,
    BlobReader,
    BlobRepository,
    Garbage,
    GarbageRepository,
    UnitOfWork,
    UnitOfWorkFactory,
    UploadRepository,
)
from domain.blob import Blob, BlobId, Digest, Location, ObjectKey
from domain.errors import DriveError, Kind
from domain.precondition import Precondition

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class SqlBlobs(BlobRepository):
    """The blobs, by way of `run`: in a transaction, or outside any for reading."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def get(self, blob_id: BlobId) -> Blob:
        return _found(blob_id, await self._run(_select_blob, blob_id))

    async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
        return await self._run(_blobs_between, start, stop, limit)

    async def rolled_up(
        self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
    ) -> Sequence[Blob | str]:
        return await self._run(_entries, start, stop, limit, prefix, delimiter)

    async def by_key(self, after: ObjectKey | None, limit: int) -> Sequence[Blob]:
        return await self._run(_select_blobs_by_key, after, limit)

    async def put(self, blob: Blob, precondition: Precondition) -> Blob | None:
        return await self._run(_put_blob, blob, precondition)

    async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
        return await self._run(_delete_blob, blob_id, precondition)


class SqlUploads(UploadRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def add(self, location: Location, lease: timedelta) -> None:
        await self._run(_insert_upload, location, lease)

    async def renew(self, key: ObjectKey, lease: timedelta) -> bool:
        renewed = sa.update(UPLOADS).where(UPLOADS.c.object_key == key.value).values(expires_at=_from_now(lease))
        return await self._run(_changes_a_row, renewed)

    async def remove(self, key: ObjectKey) -> bool:
        return await self._run(_changes_a_row, sa.delete(UPLOADS).where(UPLOADS.c.object_key == key.value))

    async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
        return await self._run(_delete_expired_uploads, backend, limit)


class SqlGarbage(GarbageRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def add(self, garbage: Garbage, after: timedelta) -> None:
        await self._run(_insert_garbage, garbage, after)

    async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
        return await self._run(_claim_garbage, backend, limit, lease)

    async def deleted(self, garbage: Sequence[Garbage], again_after: timedelta) -> None:
        await self._run(_note_deletes, garbage, again_after)


class SqlUnitOfWork(UnitOfWork):
    """A transaction, as the port's repositories."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.blobs = SqlBlobs(transaction.run)
        self.uploads = SqlUploads(transaction.run)
        self.garbage = SqlGarbage(transaction.run)

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
        return await self._database.read(_select_backlog)

    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        return await self._database.read(_select_named, backend, keys)


_BY_ID: sa.Select[*tuple[Any, ...]] = sa.select(BLOBS).where(BLOBS.c.id == sa.bindparam("blob_id"))
_BY_ID_FOR_UPDATE = _BY_ID.with_for_update()


def _select_blob(connection: Connection, blob_id: BlobId) -> BlobRow | None:
    return connection.execute(_BY_ID, {"blob_id": blob_id.value}).one_or_none()


def _blobs_between(connection: Connection, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
    return [_blob(row) for row in sql_lists.between(connection, start, stop, limit)]


def _entries(
    connection: Connection, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
) -> Sequence[Blob | str]:
    found = sql_lists.rolled_up(connection, start, stop, limit, prefix, delimiter)
    return [row if isinstance(row, str) else _blob(row) for row in found]


def _select_blobs_by_key(connection: Connection, after: ObjectKey | None, limit: int) -> Sequence[Blob]:
    found = sa.select(BLOBS).order_by(BLOBS.c.object_key).limit(limit)
    if after is not None:
        found = found.where(BLOBS.c.object_key > after.value)
    return [_blob(row) for row in connection.execute(found)]


def _put_blob(connection: Connection, blob: Blob, precondition: Precondition) -> Blob | None:
    values = _values(blob)
    while True:
        row = connection.execute(_BY_ID_FOR_UPDATE, {"blob_id": blob.id.value}).one_or_none()
        current = None if row is None else _blob(row)
        precondition.check(blob.id, current)
        if current is not None:
            connection.execute(sa.update(BLOBS).where(BLOBS.c.id == blob.id.value), values)
            return current
        if insert_or_ignore(connection, BLOBS, values):
            return None
        # Somebody else's insert was first, and is committed now: look at that row.


def _delete_blob(connection: Connection, blob_id: BlobId, precondition: Precondition) -> Blob:
    current = _found(blob_id, connection.execute(_BY_ID_FOR_UPDATE, {"blob_id": blob_id.value}).one_or_none())
    precondition.check(blob_id, current)
    connection.execute(sa.delete(BLOBS).where(BLOBS.c.id == blob_id.value))
    return current


def _found(blob_id: BlobId, row: BlobRow | None) -> Blob:
    if row is None:
        raise DriveError(Kind.NOT_FOUND, "There is no blob with this id.", subject=blob_id)
    return _blob(row)


def _values(blob: Blob) -> dict[str, Any]:
    return {
        "id": blob.id.value,
        "backend": blob.location.backend,
        "object_key": blob.location.key.value,
        "size": blob.size,
        "sha256": blob.digest.sha256,
        "content_type": blob.content_type,
        "created_at": (blob.created_at - EPOCH) // MICROSECOND,
    }


def _blob(row: BlobRow) -> Blob:
    blob_id, backend, key, size, sha256, content_type, created_at, *_ = row
    location = Location(backend, ObjectKey(key))
    created = EPOCH + created_at * MICROSECOND
    return Blob(BlobId(blob_id), location, size, Digest(bytes(sha256)), content_type, created)


def _insert_upload(connection: Connection, location: Location, lease: timedelta) -> None:
    connection.execute(
        sa.insert(UPLOADS).values(object_key=location.key.value, backend=location.backend, expires_at=_from_now(lease))
    )


def _delete_expired_uploads(connection: Connection, backend: str, limit: int) -> Sequence[Location]:
    expired = (
        sa.select(UPLOADS.c.backend, UPLOADS.c.object_key)
        .where(UPLOADS.c.backend == backend, UPLOADS.c.expires_at <= DatabaseNow())
        .order_by(UPLOADS.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [Location(backend, ObjectKey(key)) for backend, key in connection.execute(expired)]
    keys = [location.key.value for location in found]
    connection.execute(sa.delete(UPLOADS).where(UPLOADS.c.object_key.in_(keys)))
    return found


def _insert_garbage(connection: Connection, garbage: Garbage, after: timedelta) -> None:
    connection.execute(
        sa.insert(GARBAGE).values(
            object_key=garbage.location.key.value,
            backend=garbage.location.backend,
            due_at=_from_now(after),
            deletes=garbage.deletes,
        )
    )


def _claim_garbage(connection: Connection, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
    due = (
        sa.select(GARBAGE.c.backend, GARBAGE.c.object_key, GARBAGE.c.deletes)
        .where(GARBAGE.c.backend == backend, GARBAGE.c.due_at <= DatabaseNow())
        .order_by(GARBAGE.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [Garbage(Location(name, ObjectKey(key)), deletes) for name, key, deletes in connection.execute(due)]
    if found:
        lasting = [lease // MICROSECOND * 2**claims for claims in range(DOUBLINGS + 1)]
        doubled = sa.case(dict(enumerate(lasting)), value=GARBAGE.c.claims, else_=lasting[-1])
        claimed = {"due_at": DatabaseNow() + sa.cast(doubled, sa.BigInteger), "claims": GARBAGE.c.claims + 1}
        connection.execute(sa.update(GARBAGE).where(_are_of(found)).values(claimed))
    return found


def _note_deletes(connection: Connection, garbage: Sequence[Garbage], again_after: timedelta) -> None:
    for deletes in {each.deletes for each in garbage}:
        these = _are_of([each for each in garbage if each.deletes == deletes])
        if deletes > 1:
            left = {"deletes": deletes - 1, "claims": 0, "due_at": _from_now(again_after)}
            connection.execute(sa.update(GARBAGE).where(these).values(left))
        else:
            connection.execute(sa.delete(GARBAGE).where(these))


def _are_of(garbage: Sequence[Garbage]) -> sa.ColumnElement[bool]:
    return GARBAGE.c.object_key.in_([each.location.key.value for each in garbage])


def _select_backlog(connection: Connection) -> Sequence[Backlog]:
    none = sa.literal(0)
    uploads = sa.select(
        UPLOADS.c.backend,
        sa.func.count().label("uploads"),
        none.label("garbage"),
        none.label("due"),
        none.label("overdue"),
    )
    garbage = sa.select(
        GARBAGE.c.backend,
        none,
        sa.func.count(),
        sa.func.sum(sa.case((GARBAGE.c.due_at <= DatabaseNow(), 1), else_=0)),
        DatabaseNow() - sa.func.min(GARBAGE.c.due_at),
    )
    both = sa.union_all(uploads.group_by(UPLOADS.c.backend), garbage.group_by(GARBAGE.c.backend)).subquery()
    name, *figures = both.c
    found = sa.select(name, *map(sa.func.sum, figures)).group_by(name).order_by(name)
    return [
        Backlog(backend, int(under_way), int(all_of_it), int(due), max(int(overdue), 0) * MICROSECOND)
        for backend, under_way, all_of_it, due, overdue in connection.execute(found)
    ]


def _select_named(connection: Connection, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
    """In one statement, which has one snapshot in every dialect."""
    wanted = [key.value for key in keys]
    found = sa.union_all(
        *(
            sa.select(table.c.object_key).where(table.c.object_key.in_(wanted), table.c.backend == backend)
            for table in (BLOBS, UPLOADS, GARBAGE)
        )
    )
    return {ObjectKey(key) for key in connection.scalars(found)}


def _changes_a_row(connection: Connection, statement: sa.Update | sa.Delete) -> bool:
    return connection.execute(statement).rowcount == 1


def _from_now(after: timedelta) -> sa.ColumnElement[int]:
    return DatabaseNow() + after // MICROSECOND
