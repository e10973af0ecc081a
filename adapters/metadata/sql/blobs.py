"""Blobs in a SQL database: a statement of SQLAlchemy Core for each promise of the port, in every dialect."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql import listing
from adapters.metadata.sql.listing import BlobRow
from adapters.sql.database import First, Run
from adapters.sql.dialects import insert_and_return
from adapters.sql.statement import Statement
from adapters.sql.tables import BLOBS, CHUNKS, DatabaseNow, microseconds_of, time_of
from application.ports.metadata import DATABASE, BlobRepository, Published
from domain.blob import Blob, BlobId, Digest, Draft, Location, ObjectKey
from domain.errors import NotFound
from domain.precondition import ANY, Precondition

MAX_BYTES_WITH_ROW = 64 * 1024


class SqlBlobs(BlobRepository):
    """The blobs, in a transaction or outside any, depending on `run` and `first`."""

    def __init__(self, run: Run, first: First) -> None:
        self._run = run
        self._first = first

    async def find(self, blob_id: BlobId) -> Blob | None:
        row = await self._first(_BY_ID, {"blob_id": blob_id.value})
        return None if row is None else _blob(row, time_of(row.read_at))

    async def find_with_bytes(self, blob_id: BlobId) -> tuple[Blob, bytes | None] | None:
        row = await self._first(_WITH_BYTES, {"blob_id": blob_id.value})
        return None if row is None else (_blob(row, time_of(row.read_at)), row.data)

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


_SELECT = sa.select(BLOBS, DatabaseNow().label("read_at")).where(BLOBS.c.id == sa.bindparam("blob_id"))
_BY_ID = Statement(_SELECT)
# The whole object, and nothing if it is damaged: then the storage explains that.
_OBJECT = sa.and_(
    BLOBS.c.backend == DATABASE,
    BLOBS.c.size <= MAX_BYTES_WITH_ROW,
    CHUNKS.c.object_key == BLOBS.c.object_key,
    CHUNKS.c.seq == 0,
    sa.func.length(CHUNKS.c.data) == BLOBS.c.size,
)
_WITH_BYTES = Statement(_SELECT.add_columns(CHUNKS.c.data).select_from(BLOBS.outerjoin(CHUNKS, _OBJECT)))
_BY_ID_FOR_UPDATE = Statement(_SELECT.with_for_update())
_UPDATE = Statement(sa.update(BLOBS).where(BLOBS.c.id == sa.bindparam("blob_id")))
_UPDATE_DATE = Statement(sa.update(BLOBS).where(BLOBS.c.id == sa.bindparam("blob_id")))
_DELETE_BY_ID = sa.delete(BLOBS).where(BLOBS.c.id == sa.bindparam("blob_id"))
_DELETE = Statement(_DELETE_BY_ID)
_DELETE_AND_RETURN = Statement(_DELETE_BY_ID.returning(BLOBS))


def _select_for_update(connection: Connection, blob_id: BlobId) -> Blob | None:
    row = _BY_ID_FOR_UPDATE.first(connection, {"blob_id": blob_id.value})
    return None if row is None else _blob(row, time_of(row.read_at))


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
        # Most blobs are new: then one statement is enough.
        if precondition.allows_absent and (date := _insert_blob(connection, draft)) is not None:
            return Published(draft.published(date), None)
        current = _select_for_update(connection, draft.id)
        precondition.check(draft.id, current)
        if current is not None:
            return _replace_blob(connection, draft, current)
        # The row that prevented the insert has been deleted since.


def _replace_blob(connection: Connection, draft: Draft, current: Blob) -> Published:
    assert current.read_at is not None
    blob = draft.published(current.read_at, current)
    values = _values(blob) | {"created_at": microseconds_of(blob.created_at), "sole": blob.sole}
    _UPDATE.count(connection, values | {"blob_id": blob.id.value})
    return Published(blob, current)


def _insert_blob(connection: Connection, draft: Draft) -> datetime | None:
    """Insert a blob unless its id is in use. Return its time by the database's clock, or None if nothing was inserted.

    The time is later than the deletion of an earlier version. The insert took its time before it waited for that
    deletion. Within one second the difference does not matter.
    """
    row = insert_and_return(connection, BLOBS.c.created_at, _values(draft) | {"sole": True})
    if row is None:
        return None
    inserted, now = time_of(row.created_at), time_of(row.now)
    if inserted.replace(microsecond=0) == now.replace(microsecond=0):
        return inserted
    _UPDATE_DATE.count(connection, {"blob_id": draft.id.value, "created_at": microseconds_of(now)})
    return now


def _delete_blob(connection: Connection, blob_id: BlobId, precondition: Precondition) -> Blob:
    if precondition == ANY and connection.dialect.name != "sqlite":  # which has RETURNING only since 3.35
        row = _DELETE_AND_RETURN.first(connection, {"blob_id": blob_id.value})
        if row is None:
            raise NotFound(subject=blob_id)
        return _blob(row)
    current = _select_for_update(connection, blob_id)
    if current is None:
        raise NotFound(subject=blob_id)
    precondition.check(blob_id, current)
    _DELETE.count(connection, {"blob_id": blob_id.value})
    return current


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


def _blob(row: BlobRow, read_at: datetime | None = None) -> Blob:
    return Blob(
        BlobId(row.id),
        Location(row.backend, ObjectKey(row.object_key)),
        row.size,
        Digest(bytes(row.sha256)),
        row.content_type,
        time_of(row.created_at),
        bool(row.sole),
        read_at,
        content_encoding=row.content_encoding or "",
    )
