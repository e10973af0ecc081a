"""Queries over all tables: the reaper's backlog for each backend, and which of the given keys are referenced."""

from collections.abc import Sequence, Set

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.tables import BLOBS, GARBAGE, MICROSECOND, STORAGES, UPLOADS, DatabaseNow
from application.ports.metadata import Backlog
from domain.blob import ObjectKey


def backlog(connection: Connection) -> Sequence[Backlog]:
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


def named(connection: Connection, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
    """In one statement, which has one snapshot in every dialect."""
    wanted = [key.value for key in keys]
    markers = (STORAGES.c.identity, STORAGES.c.epoch, STORAGES.c.next_epoch, STORAGES.c.former)
    columns = [*(table.c.object_key for table in (BLOBS, UPLOADS, GARBAGE)), *markers]
    found = sa.union_all(
        *(sa.select(column).where(column.in_(wanted), column.table.c.backend == backend) for column in columns)
    )
    return {ObjectKey(key) for key in connection.scalars(found)}
