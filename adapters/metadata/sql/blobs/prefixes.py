"""Blobs of a prefix in SQL: counted in one statement, and moved in a few, or in batches on a server."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.rows.batches import MAX_VALUES, batches
from adapters.metadata.sql.rows.listing import AFTER_ALL, is_current
from adapters.sql.tables import BLOBS, DatabaseNow
from domain.blob import MAX_ID_BYTES, BlobId
from domain.errors import AlreadyExists, InvalidId, RolledBack

# No id of a user begins with it, so ids that are moved within one range pass through here.
ASIDE = "\x02"
SECOND = 1_000_000
NO_DATES: Mapping[str, Any] = {}


def count(connection: Connection, start: str, stop: str | None, limit: int) -> int:
    found = sa.select(sa.literal(1)).where(_in_range(BLOBS, start, stop)).limit(limit).subquery()
    return connection.scalars(sa.select(sa.func.count()).select_from(found)).one()


def lock_expired_targets(
    connection: Connection, start: str, stop: str | None, from_prefix: str, to_prefix: str
) -> Sequence[BlobId]:
    """Look first, so that the locks concern only rows that have expired, and not the blobs that are moved."""
    targets = BLOBS.alias("targets")
    renamed = _renamed(connection, BLOBS.c.id, from_prefix, to_prefix)
    expired = sa.select(targets.c.id).join(BLOBS, targets.c.id == renamed).where(_in_range(BLOBS, start, stop))
    found = sorted(connection.scalars(expired.where(targets.c.expires_at <= DatabaseNow())))
    locked = list[str]()
    for some in batches(found):
        still = sa.select(BLOBS.c.id).where(BLOBS.c.id.in_(some), BLOBS.c.expires_at <= DatabaseNow())
        locked += connection.scalars(still.order_by(BLOBS.c.id).with_for_update(skip_locked=True))
    return [BlobId(blob_id) for blob_id in locked]


def move(connection: Connection, start: str, stop: str | None, from_prefix: str, to_prefix: str) -> int:
    moved, size = _in_range(BLOBS, start, stop), _size(connection, BLOBS.c.id)
    longer = len(to_prefix.encode()) - len(from_prefix.encode())
    _check_sizes(connection, moved, size, longer)
    _check_targets(connection, start, stop, from_prefix, to_prefix)
    # Blobs that were stored since the check stay where they are if their new ids would not be valid.
    moved = sa.and_(moved, size.between(1 - longer, MAX_ID_BYTES - longer))
    is_overlapping = to_prefix.startswith(from_prefix) or from_prefix.startswith(to_prefix)
    sole_from = 0
    try:
        if is_overlapping:
            _rename(connection, moved, from_prefix, ASIDE)
            # All that were put aside, even if some have expired since.
            moved, from_prefix = sa.and_(BLOBS.c.id >= ASIDE, BLOBS.c.id < ASIDE + AFTER_ALL), ASIDE
            sole_from = _next_second(connection, moved)
        return _move(connection, moved, from_prefix, to_prefix, sole_from)
    except sa.exc.IntegrityError as error:
        # Another unit has used a target since. The next attempt finds it.
        raise RolledBack("Another request has used one of the new ids.") from error


def _in_range(blobs: sa.FromClause, start: str, stop: str | None) -> sa.ColumnElement[bool]:
    return sa.and_(blobs.c.id >= start, blobs.c.id < (stop or AFTER_ALL), is_current(blobs))


def _renamed(
    connection: Connection, blob_id: sa.ColumnElement[str], from_prefix: str, to_prefix: str
) -> sa.ColumnElement[str]:
    # Positions are in bytes in MariaDB, whose ids are binary, and in characters elsewhere.
    skipped = len(from_prefix.encode()) if connection.dialect.name == "mariadb" else len(from_prefix)
    id_type = BLOBS.c.id.type
    rest = sa.func.substr(blob_id, skipped + 1, type_=id_type)
    return sa.literal(to_prefix, id_type).concat(rest)


def _size(connection: Connection, blob_id: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
    """Return the size of an id in bytes."""
    if connection.dialect.name == "sqlite":
        return sa.func.length(sa.cast(blob_id, sa.LargeBinary), type_=sa.Integer)
    return sa.func.octet_length(blob_id, type_=sa.Integer)


def _check_sizes(
    connection: Connection, moved: sa.ColumnElement[bool], size: sa.ColumnElement[int], longer: int
) -> None:
    found = connection.execute(sa.select(sa.func.min(size), sa.func.max(size)).where(moved)).one()
    least, most = (found[0] or 0, found[1] or 0)
    if most == 0:
        return
    if most + longer > MAX_ID_BYTES:
        raise InvalidId(f"One of the new ids would have {most + longer:,} bytes, more than {MAX_ID_BYTES:,}.")
    if least + longer == 0:
        raise InvalidId("The blob whose id is the prefix would get an empty id. Move that one first.")


def _check_targets(connection: Connection, start: str, stop: str | None, from_prefix: str, to_prefix: str) -> None:
    """Raise ALREADY_EXISTS if a target is in use, by a blob that is not moved. Callers have removed expired blobs."""
    targets = BLOBS.alias("targets")
    renamed = _renamed(connection, BLOBS.c.id, from_prefix, to_prefix)
    in_use = (
        sa.select(targets.c.id)
        .join(BLOBS, targets.c.id == renamed)
        .where(_in_range(BLOBS, start, stop), sa.not_(_in_range(targets, start, stop)))
        .limit(1)
    )
    found = connection.scalars(in_use.where(is_current(targets))).one_or_none()
    if found is not None:
        detail = "One of the new ids is in use. Choose another prefix, or move or delete that blob first."
        raise AlreadyExists(detail, subject=BlobId(found))
    if connection.scalars(in_use).one_or_none() is not None:
        raise RolledBack("A blob with one of the new ids has just expired.")


def _next_second(connection: Connection, moved: sa.ColumnElement[bool]) -> int:
    """Return the second after the one in which the last of these blobs became current.

    Until the commit, another version with the id of a moved blob may be read, and it is one of them. From that second
    on, the moved blob has a date of its own.
    """
    since = sa.func.max(sa.func.coalesce(BLOBS.c.changed_at, BLOBS.c.created_at))
    latest = connection.scalar(sa.select(since).where(moved)) or 0
    return (latest // SECOND + 1) * SECOND


def _move(
    connection: Connection, moved: sa.ColumnElement[bool], from_prefix: str, to_prefix: str, sole_from: int
) -> int:
    """Rename blobs, and date them by a later statement: a new id may have been in use until the rename has ended."""
    now = DatabaseNow()
    dates: dict[str, Any] = {"changed_at": now, "sole": now >= sole_from}
    if connection.dialect.name == "sqlite":  # which lets nobody else write since this unit has begun
        return _rename(connection, moved, from_prefix, to_prefix, dates)
    count, last = 0, ""
    while ids := connection.scalars(
        sa.select(BLOBS.c.id).where(moved, BLOBS.c.id > last).order_by(BLOBS.c.id).limit(MAX_VALUES).with_for_update()
    ).all():
        count += _rename(connection, BLOBS.c.id.in_(ids), from_prefix, to_prefix)
        renamed = BLOBS.c.id.in_([to_prefix + each.removeprefix(from_prefix) for each in ids])
        connection.execute(sa.update(BLOBS).where(renamed).values(dates))
        last = ids[-1]
    return count


def _rename(
    connection: Connection,
    moved: sa.ColumnElement[bool],
    from_prefix: str,
    to_prefix: str,
    dates: Mapping[str, Any] = NO_DATES,
) -> int:
    values = {"id": _renamed(connection, BLOBS.c.id, from_prefix, to_prefix), **dates}
    return connection.execute(sa.update(BLOBS).where(moved).values(values)).rowcount
