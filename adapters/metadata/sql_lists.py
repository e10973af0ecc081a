"""Lists of blobs in SQL, by seeks in the index of the ids: what they cost, they cost for the rows that they return."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from adapters.sql.dialects import Position
from adapters.sql.tables import BLOBS
from application.ports.metadata import common_prefix
from domain.blob import MAX_ID_BYTES

# Longer than any id: put behind a text, it comes behind all ids that begin with that.
BEHIND_ALL = "\U0010ffff" * (MAX_ID_BYTES // 4 + 1)
# Ids have no control characters, so nothing lies between an id and this behind it.
NEXT = "\x01"

ID = BLOBS.c.id.type
START, STOP, PREFIX, DELIMITER = (sa.bindparam(name, type_=ID) for name in ("start", "stop", "prefix", "delimiter"))
LIMIT = sa.bindparam("limit", type_=sa.Integer)
ONE_BY_ONE: sa.Select[*tuple[Any, ...]] = (
    sa.select(BLOBS).where(BLOBS.c.id >= START, BLOBS.c.id < STOP).order_by(BLOBS.c.id).limit(LIMIT)
)


def between(connection: Connection, start: str, stop: str | None, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    return connection.execute(ONE_BY_ONE, {"start": start, "stop": stop or BEHIND_ALL, "limit": limit}).all()


def first_of_each(
    connection: Connection, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
) -> Sequence[Row[*tuple[Any, ...]]]:
    if connection.dialect.name == "mariadb":
        return _in_mariadb(connection, start, stop, limit, prefix, delimiter)
    values = {"start": start, "stop": stop or BEHIND_ALL, "limit": limit, "prefix": prefix, "delimiter": delimiter}
    return connection.execute(FIRST_OF_EACH, values).all()


def _in_mariadb(
    connection: Connection, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
) -> Sequence[Row[*tuple[Any, ...]]]:
    """With a statement a seek: MariaDB seeks for constants alone. Else it reads the index from its beginning on."""
    found: list[Row[*tuple[Any, ...]]] = []
    wanted = 1
    while len(found) < limit:
        wanted = min(wanted, limit - len(found))
        rows = between(connection, start, stop, wanted)
        more = len(rows) == wanted
        for row in rows:
            if row.id < start:
                continue  # has the common prefix of the one before it
            found.append(row)
            common = common_prefix(row.id, prefix, delimiter)
            # Where one has none, those behind it may have none either; and where one has, many may have the same.
            start, wanted = (row.id + NEXT, 2 * wanted) if common is None else (common + BEHIND_ALL, 1)
        if not more:
            break
    return found


def _seek(start: sa.ColumnElement[str]) -> sa.ScalarSelect[Any]:
    """The first id from `start` on."""
    blobs = BLOBS.alias()
    found = sa.select(blobs.c.id).where(blobs.c.id >= start, blobs.c.id < STOP).order_by(blobs.c.id).limit(1)
    return found.scalar_subquery()


def _behind(blob_id: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """What comes behind all ids that have the common prefix of this one; or behind this one, if it has none."""
    before = sa.func.length(PREFIX)
    position = Position(sa.func.substr(blob_id, before + 1), DELIMITER)
    common = sa.func.substr(blob_id, 1, before + position - 1 + sa.func.length(DELIMITER), type_=ID)
    return sa.case(
        (position > 0, common.concat(sa.literal(BEHIND_ALL, ID))),
        else_=blob_id.concat(sa.literal(NEXT, ID)),
    )


def _first_of_each() -> sa.Select[*tuple[Any, ...]]:
    """From each id that was found, a seek to the next that is to be: what lies between is not looked at."""
    first = sa.select(_seek(START).label("id"), sa.literal(1).label("number")).cte("found", recursive=True)
    following = sa.select(_seek(_behind(first.c.id)), first.c.number + 1)
    found = first.union_all(following.where(first.c.id.is_not(None), first.c.number < LIMIT))
    # An outer join, though all are there: an inner one SQLite may read from its other end, and so all of the table.
    rows = sa.select(BLOBS).select_from(found.outerjoin(BLOBS, BLOBS.c.id == found.c.id))
    return rows.where(found.c.id.is_not(None)).order_by(found.c.number)


FIRST_OF_EACH = _first_of_each()
