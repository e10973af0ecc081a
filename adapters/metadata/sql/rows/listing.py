"""Lists of blobs in SQL, by seeks in the index of the ids: their cost depends only on the rows returned."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.rows.versions import BlobRow
from adapters.sql.dialects import Position
from adapters.sql.tables import BLOBS, DatabaseNow
from application.ports.metadata import common_prefix
from domain.blob import LAST, MAX_ID_BYTES, NEXT

# Longer than any id: a text with this appended sorts after all ids that begin with the text.
AFTER_ALL = LAST * (MAX_ID_BYTES // 4 + 1)

ID = BLOBS.c.id.type
START, STOP, PREFIX, DELIMITER = (sa.bindparam(name, type_=ID) for name in ("start", "stop", "prefix", "delimiter"))
LIMIT = sa.bindparam("limit", type_=sa.Integer)


def is_current(blobs: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return whether a blob has not expired."""
    return sa.or_(blobs.c.expires_at.is_(None), blobs.c.expires_at > DatabaseNow())


ONE_BY_ONE: sa.Select[*tuple[Any, ...]] = (
    sa.select(BLOBS).where(BLOBS.c.id >= START, BLOBS.c.id < STOP, is_current(BLOBS)).order_by(BLOBS.c.id).limit(LIMIT)
)


def between(connection: Connection, start: str, stop: str | None, limit: int) -> Sequence[BlobRow]:
    return connection.execute(ONE_BY_ONE, {"start": start, "stop": stop or AFTER_ALL, "limit": limit}).all()


def rolled_up(
    connection: Connection, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
) -> Sequence[BlobRow | str]:
    if connection.dialect.name == "mariadb":
        return _in_mariadb(connection, start, stop, limit, prefix, delimiter)
    values = {"start": start, "stop": stop or AFTER_ALL, "limit": limit, "prefix": prefix, "delimiter": delimiter}
    found = connection.execute(ROLLED_UP, values)
    return [common_prefix(row.found, prefix, delimiter) or row for row in found]


def after(
    columns: tuple[sa.Column[Any], sa.Column[Any]],
    place: tuple[Any, Any],
    limit: int,
    *conditions: sa.ColumnElement[bool],
) -> sa.Select[*tuple[Any, ...]]:
    """Select up to `limit` rows after a place in the order of two columns.

    By two seeks: with both columns in one condition, some databases would read all rows with the first value.
    """
    first, second = columns
    same = sa.select(first.table).where(first == place[0], second > place[1], *conditions).order_by(second)
    later = sa.select(first.table).where(first > place[0], *conditions).order_by(first, second)
    both = sa.union_all(*(sa.select(each.limit(limit).subquery()) for each in (same, later))).subquery()
    return sa.select(both).order_by(both.c[first.name], both.c[second.name]).limit(limit)


def _in_mariadb(
    connection: Connection, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
) -> Sequence[BlobRow | str]:
    """Use a statement for each seek: MariaDB seeks for constants only, and otherwise reads the whole index."""
    found: list[BlobRow | str] = []
    wanted = 1
    while len(found) < limit:
        wanted = min(wanted, limit - len(found))
        rows = between(connection, start, stop, wanted)
        more = len(rows) == wanted
        for row in rows:
            if row.id < start:
                continue  # has the common prefix of the one before it
            common = common_prefix(row.id, prefix, delimiter)
            found.append(common or row)
            # After an id without a common prefix, others may follow; after one with it, many may share it.
            start, wanted = (row.id + NEXT, 2 * wanted) if common is None else (common + AFTER_ALL, 1)
        if not more:
            break
    return found


def _seek(start: sa.ColumnElement[str]) -> sa.ScalarSelect[Any]:
    """Select the first id from `start` on."""
    blobs = BLOBS.alias()
    found = sa.select(blobs.c.id).where(blobs.c.id >= start, blobs.c.id < STOP, is_current(blobs)).order_by(blobs.c.id)
    return found.limit(1).scalar_subquery()


def _position(blob_id: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
    """Return the position of the delimiter after the prefix, in characters counted from 1; 0 if it is absent."""
    return Position(sa.func.substr(blob_id, sa.func.length(PREFIX) + 1), DELIMITER)


def _after(blob_id: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """Return a text after all ids with the common prefix of this one; or after this one, if it has none."""
    end = sa.func.length(PREFIX) + _position(blob_id) - 1 + sa.func.length(DELIMITER)
    common = sa.func.substr(blob_id, 1, end, type_=ID)
    return sa.case(
        (_position(blob_id) > 0, common.concat(sa.literal(AFTER_ALL, ID))),
        else_=blob_id.concat(sa.literal(NEXT, ID)),
    )


def _rolled_up() -> sa.Select[*tuple[Any, ...]]:
    """Seek from each id found to the next entry, without reading the rows between them.

    A row has the id found and, unless it has a common prefix, the columns of its blob.
    """
    first = sa.select(_seek(START).label("found"), sa.literal(1).label("number")).cte("seeks", recursive=True)
    following = sa.select(_seek(_after(first.c.found)), first.c.number + 1)
    seeks = first.union_all(following.where(first.c.found.is_not(None), first.c.number < LIMIT))
    shown = sa.case((_position(seeks.c.found) == 0, seeks.c.found))
    rows = sa.select(BLOBS, seeks.c.found).select_from(seeks.outerjoin(BLOBS, BLOBS.c.id == shown))
    return rows.where(seeks.c.found.is_not(None)).order_by(seeks.c.number)


ROLLED_UP = _rolled_up()
