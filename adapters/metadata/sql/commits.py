"""Marks of committed units in a SQL database."""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.database import Run
from adapters.sql.dialects import insert_or_ignore
from adapters.sql.tables import COMMITS, from_now
from application.ports.contents import CommitRepository
from domain.blob import ObjectKey


class SqlCommits(CommitRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def add(self, key: ObjectKey) -> bool:
        return await self._run(_insert_commit, key)

    async def remove_old(self, age: timedelta, limit: int) -> int:
        return await self._run(_delete_old, age, limit)


def _insert_commit(connection: Connection, key: ObjectKey) -> bool:
    return insert_or_ignore(connection, COMMITS, {"commit_key": key.value})


def _delete_old(connection: Connection, age: timedelta, limit: int) -> int:
    old = sa.select(COMMITS.c.commit_key).where(COMMITS.c.committed_at <= from_now(-age)).limit(limit)
    keys = connection.scalars(old.with_for_update(skip_locked=True)).all()
    connection.execute(sa.delete(COMMITS).where(COMMITS.c.commit_key.in_(keys)))
    return len(keys)
