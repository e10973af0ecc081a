"""The trash in a SQL database: versions that were deleted, replaced or have expired, until their contents are due."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.access.balance import Balance
from adapters.metadata.sql.rows import listing
from adapters.metadata.sql.rows.batches import batches, few
from adapters.metadata.sql.rows.listing import AFTER_ALL
from adapters.metadata.sql.rows.names import add_garbage, release, release_unshared, remove_names
from adapters.metadata.sql.rows.versions import COLUMNS, BlobRow, blob_of, times_of, values_of
from adapters.sql.database import Run
from adapters.sql.statement import Statement
from adapters.sql.tables import (
    BLOBS,
    DIGESTS,
    GARBAGE,
    MICROSECOND,
    SEGMENTS,
    TRASH,
    DatabaseNow,
    from_now,
    time_of,
)
from application.ports.contents import Trashed, TrashReader, TrashRepository
from domain.blob import Blob, BlobId, ObjectKey


class SqlTrash(TrashRepository, TrashReader):
    def __init__(self, run: Run, balance: Balance) -> None:
        self._run = run
        self._balance = balance

    async def find(self, key: int) -> Trashed | None:
        return await self._run(_select, key)

    async def between(self, start: str, after: int, stop: str | None, limit: int) -> Sequence[Trashed]:
        return await self._run(_select_between, start, after, stop, limit)

    async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
        values = values_of(blob) | times_of(blob)
        times = {"retention": retention // MICROSECOND, "grace": grace // MICROSECOND, "end": values["expires_at"]}
        await self._run(_INSERT.count, values | times)
        if blob.owner:
            self._balance[blob.owner] -= blob.size

    async def move(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
        for some in batches([blob_id.value for blob_id in ids]):
            self._balance.subtract(await self._run(_move, some, retention, grace))

    async def move_expired(self, limit: int, grace: timedelta) -> int:
        count, moved = await self._run(_move_expired, limit, grace)
        self._balance.subtract(moved)
        return count

    async def remove(self, key: int) -> Trashed | None:
        return await self._run(_remove, key)

    async def purge(self, key: int, grace: timedelta) -> bool:
        return await self._run(_purge, key, grace)

    async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
        values = {"content": content.value, "microseconds": lease // MICROSECOND}
        in_trash = await self._run(_HOLD.count, values)
        return in_trash + await self._run(_HOLD_OBJECT.count, values) > 0

    async def hold_each(self, contents: Sequence[ObjectKey], lease: timedelta) -> bool:
        return await self._run(_hold_each, [content.value for content in contents], lease)

    async def release(self, limit: int) -> int:
        return await self._run(_release, limit)


def _integer(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.BigInteger)


def _retained_until(retention: sa.ColumnElement[int], expires_at: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """Return when a version can't be restored any more: after the retention, or when it expires."""
    until = DatabaseNow() + retention
    return sa.case((expires_at < until, expires_at), else_=until)


def _due_at(
    retention: sa.ColumnElement[int], grace: sa.ColumnElement[int], expires_at: sa.ColumnElement[int]
) -> sa.ColumnElement[int]:
    """Return when the content of a version is due: not before open readers had time to finish."""
    until = _retained_until(retention, expires_at)
    return sa.case((until < DatabaseNow() + grace, DatabaseNow() + grace), else_=until)


_IS_KEPT = TRASH.c.retained_until > DatabaseNow()
_LATER = DatabaseNow() + _integer("microseconds")
_RETENTION, _GRACE, _END = _integer("retention"), _integer("grace"), _integer("end")
_INSERT = Statement(
    sa.insert(TRASH).values(
        {
            TRASH.c.deleted_at: DatabaseNow(),
            TRASH.c.retained_until: _retained_until(_RETENTION, _END),
            TRASH.c.due_at: _due_at(_RETENTION, _GRACE, _END),
        }
    )
)
_HOLD = Statement(
    sa.update(TRASH)
    .where(TRASH.c.object_key == sa.bindparam("content"))
    .values({TRASH.c.due_at: sa.case((TRASH.c.due_at < _LATER, _LATER), else_=TRASH.c.due_at)})
)

_HOLD_OBJECT = Statement(
    sa.update(GARBAGE)
    .where(GARBAGE.c.object_key == sa.bindparam("content"), GARBAGE.c.claims == 0, GARBAGE.c.due_at > DatabaseNow())
    .values({GARBAGE.c.due_at: sa.case((GARBAGE.c.due_at < _LATER, _LATER), else_=GARBAGE.c.due_at)})
)


def _hold_each(connection: Connection, contents: Sequence[str], lease: timedelta) -> bool:
    """Look first, because most contents are not in the trash, and a statement that changes nothing may lock too."""
    is_any = False
    for some in batches(contents):
        found = connection.scalars(
            sa.select(TRASH.c.key).where(TRASH.c.object_key.in_(some)).order_by(TRASH.c.key)
        ).all()
        for keys in batches(found):
            later = from_now(lease)
            held = sa.update(TRASH).where(TRASH.c.key.in_(keys), TRASH.c.due_at < later).values(due_at=later)
            connection.execute(held)
            is_any = True
        is_unused = sa.and_(GARBAGE.c.claims == 0, GARBAGE.c.due_at > DatabaseNow())
        unused = connection.scalars(
            sa.select(GARBAGE.c.object_key)
            .where(GARBAGE.c.object_key.in_(some), is_unused)
            .order_by(GARBAGE.c.object_key)
        ).all()
        if unused:
            later = from_now(lease)
            held = sa.update(GARBAGE).where(GARBAGE.c.object_key.in_(unused), is_unused, GARBAGE.c.due_at < later)
            connection.execute(held.values(due_at=later))
            is_any = True
    return is_any


def _trashed(row: BlobRow) -> Trashed:
    return Trashed(row.key, blob_of(row), time_of(row.deleted_at), time_of(row.retained_until))


def _select(connection: Connection, key: int) -> Trashed | None:
    row = connection.execute(sa.select(TRASH).where(TRASH.c.key == key, _IS_KEPT)).one_or_none()
    return None if row is None else _trashed(row)


def _select_between(connection: Connection, start: str, after: int, stop: str | None, limit: int) -> Sequence[Trashed]:
    found = listing.after((TRASH.c.id, TRASH.c.key), (start, after), limit, TRASH.c.id < (stop or AFTER_ALL), _IS_KEPT)
    return [_trashed(row) for row in connection.execute(found)]


def _move(connection: Connection, ids: Sequence[str], retention: timedelta, grace: timedelta) -> Mapping[str, int]:
    """Move rows that are locked, so all statements see the same. Return their bytes by their owners."""
    kept, read = _number(retention), _number(grace)
    moved = sa.select(
        *(BLOBS.c[name] for name in COLUMNS),
        DatabaseNow(),
        _retained_until(kept, BLOBS.c.expires_at),
        _due_at(kept, read, BLOBS.c.expires_at),
    ).where(BLOBS.c.id.in_(ids))
    connection.execute(sa.insert(TRASH).from_select([*COLUMNS, "deleted_at", "retained_until", "due_at"], moved))
    sizes = Balance()
    for owner, size in connection.execute(sa.select(BLOBS.c.owner, BLOBS.c.size).where(BLOBS.c.id.in_(ids))):
        if owner is not None:
            sizes[owner] += size
    connection.execute(sa.delete(BLOBS).where(BLOBS.c.id.in_(ids)))
    return sizes


def _number(time: timedelta) -> sa.ColumnElement[int]:
    return sa.literal(time // MICROSECOND, sa.BigInteger)


def _move_expired(connection: Connection, limit: int, grace: timedelta) -> tuple[int, Mapping[str, int]]:
    """Return the number of the blobs that were moved, and their bytes by their owners."""
    expired = (
        sa.select(BLOBS.c.id)
        .where(BLOBS.c.expires_at <= DatabaseNow())
        .order_by(BLOBS.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = connection.scalars(expired).all()
    return len(ids), _move(connection, ids, timedelta(0), grace) if ids else {}


def _remove(connection: Connection, key: int) -> Trashed | None:
    kept = sa.select(TRASH).where(TRASH.c.key == key, _IS_KEPT).with_for_update()
    row = connection.execute(kept).one_or_none()
    if row is None:
        return None
    connection.execute(sa.delete(TRASH).where(TRASH.c.key == key))
    return _trashed(row)


def _purge(connection: Connection, key: int, grace: timedelta) -> bool:
    purged = sa.update(TRASH).where(TRASH.c.key == key, _IS_KEPT)
    values = {"retained_until": DatabaseNow(), "due_at": from_now(grace)}
    return connection.execute(purged.values(values)).rowcount == 1


def _release(connection: Connection, limit: int) -> int:
    columns = (TRASH.c.key, TRASH.c.backend, TRASH.c.object_key, TRASH.c.segments, TRASH.c.shared)
    due = (
        sa.select(*columns)
        .where(TRASH.c.due_at <= DatabaseNow())
        .order_by(TRASH.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = few([(row, row.segments or 0) for row in connection.execute(due)])
    if not rows:
        return 0
    # All units count lists before objects, each in the order of keys, so they never wait for each other in a circle.
    unnamed_lists = remove_names(connection, [row.object_key for row in rows if row.segments and row.shared])
    lists = [*unnamed_lists, *(row.object_key for row in rows if row.segments and not row.shared)]
    objects = [(row.object_key, row.backend) for row in rows if row.shared and not row.segments]
    if lists:
        objects += release_unshared(connection, SEGMENTS, of_lists := SEGMENTS.c.content_key.in_(lists))
        connection.execute(sa.delete(SEGMENTS).where(of_lists))
        connection.execute(sa.delete(DIGESTS).where(DIGESTS.c.content_key.in_(lists)))
    release(connection, objects)
    add_garbage(connection, {row.object_key: row.backend for row in rows if not (row.shared or row.segments)})
    connection.execute(sa.delete(TRASH).where(TRASH.c.key.in_([row.key for row in rows])))
    return len(rows)
