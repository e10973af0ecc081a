"""Blobs in a SQL database: a statement of SQLAlchemy Core for each promise of the port, in every dialect."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.blobs import prefixes
from adapters.metadata.sql.rows import listing
from adapters.metadata.sql.rows.batches import batches
from adapters.metadata.sql.rows.listing import is_current
from adapters.metadata.sql.rows.versions import blob_of, times_of, values_of
from adapters.sql.database import First, Run
from adapters.sql.dialects import insert_and_return
from adapters.sql.statement import Statement
from adapters.sql.tables import BLOBS, CHUNKS, DatabaseNow, microseconds_of, time_of
from application.ports.metadata import DATABASE, BlobRepository, Published
from domain.blob import Blob, BlobId, Draft, ObjectKey
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
        return None if row is None else _current(blob_of(row, time_of(row.read_at)))

    async def find_with_bytes(self, blob_id: BlobId) -> tuple[Blob, bytes | None] | None:
        row = await self._first(_WITH_BYTES, {"blob_id": blob_id.value})
        blob = None if row is None else _current(blob_of(row, time_of(row.read_at)))
        return None if blob is None else (blob, row.data)

    async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
        return await self._run(_blobs_between, start, stop, limit)

    async def rolled_up(
        self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
    ) -> Sequence[Blob | str]:
        return await self._run(_entries, start, stop, limit, prefix, delimiter)

    async def count(self, start: str, stop: str | None, limit: int) -> int:
        return await self._run(prefixes.count, start, stop, limit)

    async def by_content(self, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
        return await self._run(_select_by_content, after, limit)

    async def lock(self, blob_id: BlobId, precondition: Precondition) -> Blob:
        return await self._run(_lock_blob, blob_id, precondition)

    async def lock_each(self, ids: Sequence[BlobId]) -> Sequence[Blob]:
        return await self._run(_lock_each, ids)

    async def lock_between(self, start: str, stop: str | None, limit: int) -> Sequence[BlobId]:
        return await self._run(_lock_between, start, stop, limit)

    async def lock_expired_targets(
        self, start: str, stop: str | None, from_prefix: str, to_prefix: str
    ) -> Sequence[BlobId]:
        return await self._run(prefixes.lock_expired_targets, start, stop, from_prefix, to_prefix)

    async def move_between(self, start: str, stop: str | None, from_prefix: str, to_prefix: str) -> int:
        return await self._run(prefixes.move, start, stop, from_prefix, to_prefix)

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
_UPDATE_TIMES = Statement(sa.update(BLOBS).where(BLOBS.c.id == sa.bindparam("blob_id")))
_DELETE = Statement(sa.delete(BLOBS).where(BLOBS.c.id == sa.bindparam("blob_id")))
_DELETE_AND_RETURN = Statement(
    sa.delete(BLOBS).where(BLOBS.c.id == sa.bindparam("blob_id"), is_current(BLOBS)).returning(BLOBS)
)


def _current(blob: Blob) -> Blob | None:
    return None if blob.has_expired else blob


def _select_for_update(connection: Connection, blob_id: BlobId) -> Blob | None:
    """Return the version in the row, which may have expired."""
    row = _BY_ID_FOR_UPDATE.first(connection, {"blob_id": blob_id.value})
    return None if row is None else blob_of(row, time_of(row.read_at))


def _blobs_between(connection: Connection, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
    return [blob_of(row) for row in listing.between(connection, start, stop, limit)]


def _entries(
    connection: Connection, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
) -> Sequence[Blob | str]:
    found = listing.rolled_up(connection, start, stop, limit, prefix, delimiter)
    return [row if isinstance(row, str) else blob_of(row) for row in found]


def _select_by_content(connection: Connection, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
    place = ("", "") if after is None else (after[0].value, after[1])
    found = listing.after((BLOBS.c.object_key, BLOBS.c.id), place, limit)
    return [blob_of(row) for row in connection.execute(found)]


def _lock_blob(connection: Connection, blob_id: BlobId, precondition: Precondition) -> Blob:
    found = _select_for_update(connection, blob_id)
    if found is None or found.has_expired:
        raise NotFound(subject=blob_id)
    precondition.check(blob_id, found)
    return found


def _lock_each(connection: Connection, ids: Sequence[BlobId]) -> Sequence[Blob]:
    """Lock blobs in one order, because MariaDB and PostgreSQL lock rows as they read them."""
    locked = list[Blob]()
    for some in batches(sorted({blob_id.value for blob_id in ids})):
        found = sa.select(BLOBS, DatabaseNow().label("read_at")).where(BLOBS.c.id.in_(some), is_current(BLOBS))
        rows = connection.execute(found.order_by(BLOBS.c.id).with_for_update())
        locked += [blob_of(row, time_of(row.read_at)) for row in rows]
    return locked


def _lock_between(connection: Connection, start: str, stop: str | None, limit: int) -> Sequence[BlobId]:
    found = (
        sa.select(BLOBS.c.id)
        .where(BLOBS.c.id >= start, BLOBS.c.id < (stop or listing.AFTER_ALL), is_current(BLOBS))
        .order_by(BLOBS.c.id)
        .limit(limit)
        .with_for_update()
    )
    return [BlobId(blob_id) for blob_id in connection.scalars(found)]


def _put_blob(connection: Connection, draft: Draft, precondition: Precondition) -> Published:
    while True:
        # Most blobs are new: then one statement is enough.
        if precondition.allows_absent and (blob := _insert_blob(connection, draft)) is not None:
            return Published(blob, None)
        former = _select_for_update(connection, draft.id)
        precondition.check(draft.id, None if former is None or former.has_expired else former)
        if former is not None:
            return _replace_blob(connection, draft, former)
        # The row that prevented the insert has been deleted since.


def _replace_blob(connection: Connection, draft: Draft, former: Blob) -> Published:
    assert former.read_at is not None
    blob = draft.published(former.read_at, former)
    _UPDATE.count(connection, values_of(blob) | times_of(blob) | {"blob_id": blob.id.value})
    return Published(blob, former)


def _insert_blob(connection: Connection, draft: Draft) -> Blob | None:
    """Insert a blob unless its id is in use. Return it with its time, or None if nothing was inserted.

    The time is later than the deletion of an earlier version. The insert took its time before it waited for that
    deletion. Within one second the difference does not matter.
    """
    row = insert_and_return(connection, BLOBS.c.created_at, values_of(draft) | {"sole": True})
    if row is None:
        return None
    inserted, now = time_of(row.created_at), time_of(row.now)
    same_second = inserted.replace(microsecond=0) == now.replace(microsecond=0)
    blob = draft.published(inserted if same_second else now)
    if not same_second or draft.expires_in is not None or draft.created_at:
        expires_at = None if blob.expires_at is None else microseconds_of(blob.expires_at)
        _UPDATE_TIMES.count(connection, times_of(blob) | {"expires_at": expires_at, "blob_id": blob.id.value})
    return blob


def _delete_blob(connection: Connection, blob_id: BlobId, precondition: Precondition) -> Blob:
    if precondition == ANY and connection.dialect.name != "sqlite":  # which has RETURNING only since 3.35
        row = _DELETE_AND_RETURN.first(connection, {"blob_id": blob_id.value})
        if row is None:
            raise NotFound(subject=blob_id)
        return blob_of(row)
    current = _lock_blob(connection, blob_id, precondition)
    _DELETE.count(connection, {"blob_id": blob_id.value})
    return current
