"""Queries over all tables: the backlog of each backend, and the keys that a row still references."""

from collections.abc import Sequence, Set
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.tables import (
    BLOBS,
    COMMITS,
    DIGESTS,
    GARBAGE,
    MICROSECOND,
    MULTIPART_UPLOADS,
    PARTS,
    SEGMENTS,
    STORAGES,
    TRASH,
    UPLOADS,
    DatabaseNow,
    from_now,
)
from application.ports.metadata import Backlog
from domain.blob import ObjectKey

OBJECTS = (BLOBS, TRASH, SEGMENTS, PARTS, UPLOADS, GARBAGE)  # each names objects by a key and a backend
FIGURES = ("uploads", "garbage", "due", "overdue")


def backlog(connection: Connection) -> Sequence[Backlog]:
    uploads = _figures(UPLOADS, uploads=sa.func.count())
    both = sa.union_all(uploads, _waiting(GARBAGE), _waiting(TRASH)).subquery()
    sums = [sa.func.sum(both.c[name]).label(name) for name in FIGURES if name != "overdue"]
    sums.append(sa.func.max(both.c.overdue).label("overdue"))
    found = connection.execute(sa.select(both.c.backend, *sums).group_by(both.c.backend).order_by(both.c.backend))
    return [
        Backlog(row.backend, int(row.uploads), int(row.garbage), int(row.due), max(int(row.overdue), 0) * MICROSECOND)
        for row in found
    ]


def undigested(connection: Connection) -> int:
    counted = sa.select(sa.func.count()).select_from(DIGESTS).where(DIGESTS.c.sha256.is_(None))
    return connection.scalar(counted) or 0


def _waiting(table: sa.Table) -> sa.Select[*tuple[Any, ...]]:
    """Select the figures of garbage, or of the trash, whose contents are to be deleted too."""
    is_due = table.c.due_at <= DatabaseNow()
    return _figures(
        table,
        garbage=sa.func.count(),
        due=sa.func.sum(sa.case((is_due, 1), else_=0)),
        overdue=DatabaseNow() - sa.func.min(table.c.due_at),
    )


def _figures(table: sa.Table, **figures: sa.ColumnElement[int]) -> sa.Select[*tuple[Any, ...]]:
    """Select all figures of each backend, 0 by default: UNION matches columns by position."""
    columns = (figures.get(name, sa.literal(0)).label(name) for name in FIGURES)
    return sa.select(table.c.backend, *columns).group_by(table.c.backend)


def has_expired(connection: Connection, marks: timedelta) -> bool:
    conditions = (
        BLOBS.c.expires_at <= DatabaseNow(),
        TRASH.c.due_at <= DatabaseNow(),
        MULTIPART_UPLOADS.c.expires_at <= DatabaseNow(),
        COMMITS.c.committed_at <= from_now(-marks),
    )
    any_row = sa.or_(*(sa.exists(sa.select(sa.literal(1)).where(condition)) for condition in conditions))
    return bool(connection.scalar(sa.select(any_row)))


def named(connection: Connection, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
    """Query all tables in one statement, which uses one snapshot in every dialect."""
    wanted = [key.value for key in keys]
    markers = (STORAGES.c.identity, STORAGES.c.epoch, STORAGES.c.next_epoch, STORAGES.c.former)
    columns = [*(table.c.object_key for table in OBJECTS), *markers]
    found = sa.union_all(
        *(sa.select(column).where(column.in_(wanted), column.table.c.backend == backend) for column in columns)
    )
    return {ObjectKey(key) for key in connection.scalars(found)}
