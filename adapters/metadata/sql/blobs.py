"""Blobs in a SQL database: a statement of SQLAlchemy Core for each promise of the port, in every dialect."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql import listing
from adapters.metadata.sql.listing import BlobRow
from adapters.sql.database import First, Run, first_row
from adapters.sql.dialects import insert_or_ignore
from adapters.sql.tables import BLOBS, DatabaseNow, microseconds_of, time_of
from application.ports.metadata import BlobRepository, Published
from domain.blob import Blob, BlobId, Digest, Draft, Location, ObjectKey
from domain.errors import NotFound
from domain.precondition import Precondition


class SqlBlobs(BlobRepository):
    """The blobs, in a transaction or outside any, depending on `run`. `first`: a quicker way to one row, if any."""

    def __init__(self, run: Run, first: First | None = None) -> None:
        self._run = run
        self._first = first or self._run_first

    async def find(self, blob_id: BlobId) -> Blob | None:
        row = await self._first(_BY_ID, {"blob_id": blob_id.value})
        return None if row is None else _blob(row, time_of(row.read_at))

    async def _run_first(self, statement: sa.Select[*tuple[Any, ...]], values: Mapping[str, Any]) -> Any:
        return await self._run(first_row, statement, values)

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


_BY_ID: sa.Select[*tuple[Any, ...]] = sa.select(BLOBS, DatabaseNow().label("read_at")).where(
    BLOBS.c.id == sa.bindparam("blob_id")
)
_BY_ID_FOR_UPDATE = _BY_ID.with_for_update()
_DATE = sa.select(BLOBS.c.created_at, DatabaseNow().label("now")).where(BLOBS.c.id == sa.bindparam("blob_id"))


def _select_blob(
    connection: Connection, blob_id: BlobId, statement: sa.Select[*tuple[Any, ...]] = _BY_ID
) -> Blob | None:
    row = first_row(connection, statement, {"blob_id": blob_id.value})
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
        current = _select_blob(connection, draft.id, _BY_ID_FOR_UPDATE)
        precondition.check(draft.id, current)
        if current is not None:
            return _replace_blob(connection, draft, current)
        if insert_or_ignore(connection, BLOBS, _values(draft) | {"sole": True}):
            return Published(draft.published(_date_of_insert(connection, draft.id)), None)
        # Another insert of the id has been committed since: look at its row.


def _replace_blob(connection: Connection, draft: Draft, current: Blob) -> Published:
    assert current.read_at is not None
    blob = draft.published(current.read_at, current)
    values = _values(blob) | {"created_at": microseconds_of(blob.created_at), "sole": blob.sole}
    connection.execute(sa.update(BLOBS).where(BLOBS.c.id == blob.id.value), values)
    return Published(blob, current)


def _date_of_insert(connection: Connection, blob_id: BlobId) -> datetime:
    """Return the time of an insert by the database's clock, later than the deletion of an earlier version.

    The insert took its time before it waited for that deletion. Within one second the difference does not matter.
    """
    row = connection.execute(_DATE, {"blob_id": blob_id.value}).one()
    inserted, now = time_of(row.created_at), time_of(row.now)
    if inserted.replace(microsecond=0) == now.replace(microsecond=0):
        return inserted
    connection.execute(sa.update(BLOBS).where(BLOBS.c.id == blob_id.value), {"created_at": microseconds_of(now)})
    return now


def _delete_blob(connection: Connection, blob_id: BlobId, precondition: Precondition) -> Blob:
    current = _select_blob(connection, blob_id, _BY_ID_FOR_UPDATE)
    if current is None:
        raise NotFound(subject=blob_id)
    precondition.check(blob_id, current)
    connection.execute(sa.delete(BLOBS).where(BLOBS.c.id == blob_id.value))
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
