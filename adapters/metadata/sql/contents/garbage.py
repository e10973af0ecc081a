"""Garbage in a SQL database: objects to be deleted."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.database import Run
from adapters.sql.dialects import insert_or_replace
from adapters.sql.statement import Statement
from adapters.sql.tables import GARBAGE, MICROSECOND, DatabaseNow, from_now
from application.ports.metadata import DOUBLINGS, Garbage, GarbageRepository
from domain.blob import Location, ObjectKey


class SqlGarbage(GarbageRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def add(self, garbage: Garbage, after: timedelta) -> None:
        await self._run(_add, _values(garbage, after))

    async def add_each(self, garbage: Sequence[Garbage], after: timedelta) -> None:
        await self._run(_add_each, [_values(each, after) for each in garbage])

    async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
        return await self._run(_claim_garbage, backend, limit, lease)

    async def deleted(self, garbage: Sequence[Garbage], again_after: timedelta) -> None:
        await self._run(_record_deletes, garbage, again_after)

    async def unclaim(self, garbage: Sequence[Garbage]) -> None:
        await self._run(_unclaim, garbage)


_LATER = DatabaseNow() + sa.bindparam("microseconds", type_=sa.BigInteger)


def _values(garbage: Garbage, after: timedelta) -> Mapping[str, Any]:
    return {
        "object_key": garbage.location.key.value,
        "backend": garbage.location.backend,
        "deletes": garbage.deletes,
        "microseconds": after // MICROSECOND,
    }


def _add(connection: Connection, values: Mapping[str, Any]) -> None:
    _upsert(connection.dialect.name).count(connection, values)


def _add_each(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(_insert(connection.dialect.name), rows)


@cache
def _upsert(dialect: str) -> Statement:
    return Statement(_insert(dialect))


def _insert(dialect: str) -> sa.Insert:
    return insert_or_replace(dialect, GARBAGE, {GARBAGE.c.due_at: _LATER, GARBAGE.c.claims: 0})


def _claim_garbage(connection: Connection, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
    due = (
        sa.select(GARBAGE.c.backend, GARBAGE.c.object_key, GARBAGE.c.deletes)
        .where(GARBAGE.c.backend == backend, GARBAGE.c.due_at <= DatabaseNow())
        .order_by(GARBAGE.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [Garbage(Location(row.backend, ObjectKey(row.object_key)), row.deletes) for row in connection.execute(due)]
    if found:
        lasting = [lease // MICROSECOND * 2**claims for claims in range(DOUBLINGS + 1)]
        doubled = sa.case(dict(enumerate(lasting)), value=GARBAGE.c.claims, else_=lasting[-1])
        claimed = {"due_at": DatabaseNow() + sa.cast(doubled, sa.BigInteger), "claims": GARBAGE.c.claims + 1}
        connection.execute(sa.update(GARBAGE).where(_matching(found)).values(claimed))
    return found


def _record_deletes(connection: Connection, garbage: Sequence[Garbage], again_after: timedelta) -> None:
    for deletes, matching in _by_deletes(garbage):
        if deletes > 1:
            left = {"deletes": deletes - 1, "claims": 0, "due_at": from_now(again_after)}
            connection.execute(sa.update(GARBAGE).where(matching).values(left))
        else:
            connection.execute(sa.delete(GARBAGE).where(matching))


def _unclaim(connection: Connection, garbage: Sequence[Garbage]) -> None:
    unclaimed = {"due_at": DatabaseNow(), "claims": GARBAGE.c.claims - 1}
    for deletes, matching in _by_deletes(garbage):
        claimed = matching, GARBAGE.c.deletes == deletes, GARBAGE.c.claims > 0
        connection.execute(sa.update(GARBAGE).where(*claimed).values(unclaimed))


def _by_deletes(garbage: Sequence[Garbage]) -> Iterator[tuple[int, sa.ColumnElement[bool]]]:
    """Group objects by the deletes that are left of them, each group as a condition that its rows match."""
    for deletes in {each.deletes for each in garbage}:
        yield deletes, _matching([each for each in garbage if each.deletes == deletes])


def _matching(garbage: Sequence[Garbage]) -> sa.ColumnElement[bool]:
    return GARBAGE.c.object_key.in_([each.location.key.value for each in garbage])
