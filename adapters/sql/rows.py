"""The rows of a SQL database, table by table, for a move to another one.

The source refuses changes by triggers, also changes of running servers and of older versions. The target has a
revision that no server knows until the move has ended.
"""

import hashlib
import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql import migrations
from adapters.sql.database import Database
from adapters.sql.tables import CHUNKS, METADATA, REFUSAL, REFUSED, TRASH
from application.ports.rows import Row, RowMove, Rows, Summary
from domain.errors import RolledBack, Unavailable

T = TypeVar("T")

PAGE = 2000
PAGE_OF_CHUNKS = 8  # 4 MiB
ATTEMPTS = 20  # to lock a table that writers lock in another order
KEY_CHARACTERS = string.digits + string.ascii_lowercase
CHANGES = ("INSERT", "UPDATE", "DELETE")
TABLES = {table.name: table for table in METADATA.sorted_tables}
_ENCODE = msgspec.msgpack.Encoder().encode

# Made by a move, not by a migration: it has one row.
ROW_MOVES = sa.Table(
    "row_moves",
    sa.MetaData(),
    sa.Column("move_key", sa.String(32), primary_key=True),
    sa.Column("is_source", sa.Boolean, nullable=False),
    sa.Column("has_ended", sa.Boolean, nullable=False),
)


class SqlRows(Rows):
    """All rows of a database. Its tables have their newest form, but for `move`, which needs none."""

    tables = tuple(TABLES)

    def __init__(self, database: Database, page: int = PAGE) -> None:
        self._database = database
        self._page = page

    async def move(self) -> RowMove | None:
        return await self._database.read(_find_move)

    async def has_common_order(self) -> bool:
        return await self._database.read(_has_common_order)

    async def count(self, table: str) -> int:
        return await self._database.read(_count, TABLES[table])

    async def summary(self, table: str) -> Summary:
        digest, rows, last = hashlib.sha256(), 0, None
        while page := await self._database.read(_digest, TABLES[table], last, self._page, digest.update):
            rows, last = rows + page[0], page[1]
        return Summary(rows, digest.hexdigest())

    async def close(self, key: str) -> bool:
        if not await self._change(_record, key):
            return False
        for name in self.tables:
            if not await self._change(_close, name, key):
                return False
        return True

    async def reopen(self) -> bool:
        if not await self._change(_forget):
            return False
        for name in self.tables:
            await self._change(_reopen, name)
        return True

    async def page(self, table: str, after: Row | None) -> Sequence[Row]:
        return await self._database.read(_page, TABLES[table], after, self._page)

    async def filled(self) -> Sequence[str]:
        return await self._database.read(_filled)

    async def begin(self, key: str) -> bool:
        return await self._change(_begin, key)

    async def last(self, table: str) -> Row | None:
        return await self._database.read(_last, TABLES[table])

    async def add(self, table: str, rows: Sequence[Row]) -> None:
        async with self._database.transaction(durable=False) as transaction:
            await transaction.run(_add, TABLES[table], rows)
            await transaction.commit()

    async def flush(self) -> None:
        await self._change(_touch)

    async def end(self, key: str) -> bool:
        return await self._change(_end, key)

    async def _change(self, function: Callable[..., T], *args: Any) -> T:
        for _ in range(ATTEMPTS - 1):
            with suppress(RolledBack):
                return await self._attempt(function, *args)
        return await self._attempt(function, *args)

    async def _attempt(self, function: Callable[..., T], *args: Any) -> T:
        async with self._database.transaction() as transaction:
            result = await transaction.run(function, *args)
            await transaction.commit()
            return result


def _find_move(connection: Connection) -> RowMove | None:
    if not sa.inspect(connection).has_table(ROW_MOVES.name):
        return None
    row = connection.execute(sa.select(ROW_MOVES)).one_or_none()
    return None if row is None else RowMove(row.move_key, row.is_source, row.has_ended)


def _has_common_order(connection: Connection) -> bool:
    """Whether pairs of characters are in the order of their bytes.

    PostgreSQL orders keys as the language of the database does. In some, pairs count as one letter, like aa or ch.
    """
    if connection.dialect.name != "postgresql":
        return True
    characters = f"regexp_split_to_table('{KEY_CHARACTERS}', '')"
    pairs = sa.text(f"SELECT a || b FROM {characters} a, {characters} b ORDER BY a || b")  # noqa: S608
    found = connection.scalars(pairs).all()
    return found == sorted(found)


def _count(connection: Connection, table: sa.Table) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def _record(connection: Connection, key: str) -> bool:
    """Record a move from here, unless another one has ended. Return whether it is recorded."""
    ROW_MOVES.create(connection, checkfirst=True)
    has_ended = sa.and_(ROW_MOVES.c.is_source, ROW_MOVES.c.has_ended)
    connection.execute(sa.delete(ROW_MOVES).where(ROW_MOVES.c.move_key != key, sa.not_(has_ended)))
    if (found := _find_move(connection)) is None:
        connection.execute(sa.insert(ROW_MOVES), {"move_key": key, "is_source": True, "has_ended": False})
    return found is None or found.key == key


def _forget(connection: Connection) -> bool:
    """Forget a move from here, unless it has ended. Return whether there is none now."""
    if not sa.inspect(connection).has_table(ROW_MOVES.name):
        return True
    connection.execute(sa.delete(ROW_MOVES).where(ROW_MOVES.c.is_source, sa.not_(ROW_MOVES.c.has_ended)))
    return _key_of_source(connection) is None


def _key_of_source(connection: Connection) -> str | None:
    """Return the key of the move from here, if there is one."""
    found = _find_move(connection)
    return found.key if found is not None and found.is_source else None


def _filled(connection: Connection) -> Sequence[str]:
    existing = {*sa.inspect(connection).get_table_names()}
    one = sa.select(sa.literal(1)).limit(1)
    return [name for name in TABLES if name in existing and connection.scalar(one.select_from(TABLES[name]))]


def _begin(connection: Connection, key: str) -> bool:
    ROW_MOVES.create(connection, checkfirst=True)
    if _find_move(connection) is not None:
        return False
    connection.execute(sa.insert(ROW_MOVES), {"move_key": key, "is_source": False, "has_ended": False})
    migrations.stamp(connection, migrations.UNFINISHED)
    return True


def _touch(connection: Connection) -> None:
    """Write a row, because PostgreSQL does not flush a commit without changes."""
    connection.execute(sa.update(ROW_MOVES).values(has_ended=ROW_MOVES.c.has_ended))


def _end(connection: Connection, key: str) -> bool:
    found = _find_move(connection)
    ended = sa.update(ROW_MOVES).where(ROW_MOVES.c.move_key == key).values(has_ended=True)
    if found is None or connection.execute(ended).rowcount != 1:
        return False
    if not found.is_source and not found.has_ended:
        _continue_numbers(connection)
        migrations.stamp(connection, migrations.HEAD)
    return True


def _continue_numbers(connection: Connection) -> None:
    """Let new rows have numbers after the copied ones: PostgreSQL does not notice these."""
    if connection.dialect.name == "postgresql":
        largest = sa.select(sa.func.max(TRASH.c.key)).scalar_subquery()
        sequence = sa.func.pg_get_serial_sequence(TRASH.name, TRASH.c.key.name)
        connection.execute(sa.select(sa.func.setval(sequence, sa.func.coalesce(largest, 1))))


def _page(connection: Connection, table: sa.Table, after: Row | None, limit: int) -> Sequence[Row]:
    rows = sa.select(table).order_by(*table.primary_key).limit(min(limit, PAGE_OF_CHUNKS) if table is CHUNKS else limit)
    if after is not None:
        position = [after[[*table.columns].index(column)] for column in table.primary_key]
        rows = rows.where(_follows([*table.primary_key], position))
    return [tuple(row) for row in connection.execute(rows)]


def _follows(columns: Sequence[sa.Column[Any]], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Whether a primary key is greater. MariaDB would not use the index for a comparison of rows."""
    first, *others = columns
    greater: sa.ColumnElement[bool] = first > values[0]
    if not others:
        return greater
    return sa.and_(first >= values[0], sa.or_(greater, _follows(others, values[1:])))


def _last(connection: Connection, table: sa.Table) -> Row | None:
    backwards = [column.desc() for column in table.primary_key]
    found = connection.execute(sa.select(table).order_by(*backwards).limit(1)).first()
    return None if found is None else tuple(found)


def _digest(
    connection: Connection, table: sa.Table, after: Row | None, limit: int, update: Callable[[bytes], None]
) -> tuple[int, Row] | None:
    """Add a page to a digest. Return its size and its last row, or None at the end."""
    rows = _page(connection, table, after, limit)
    update(b"".join(map(_ENCODE, rows)))
    return (len(rows), rows[-1]) if rows else None


def _add(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    names = [column.name for column in table.columns]
    connection.execute(sa.insert(table), [dict(zip(names, row, strict=True)) for row in rows])


# Triggers


# A move and a cancel each look for the move after they have changed the triggers of a table, so the later one finds the
# other. It undoes the change itself, because MariaDB has committed it.


def _close(connection: Connection, table: str, key: str) -> bool:
    """Refuse changes. Return False if the move was cancelled, and allow them unless another one has begun."""
    _add_triggers(connection, table)
    found = _key_of_source(connection)
    if found is None:
        _drop_triggers(connection, table)
        if _key_of_source(connection) is not None:
            _add_triggers(connection, table)
    return found == key


def _reopen(connection: Connection, table: str) -> None:
    _drop_triggers(connection, table)
    if _key_of_source(connection) is not None:
        _add_triggers(connection, table)
        raise Unavailable("Another move has begun, and the database refuses changes. Cancel that one, too.")


def _add_triggers(connection: Connection, table: str) -> None:
    for statement in _ADDING[connection.dialect.name](table):
        connection.exec_driver_sql(statement)


def _drop_triggers(connection: Connection, table: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS refused ON {table}")
        return
    triggers = [f"refused_{change.lower()}_{table}" for change in CHANGES]
    if connection.dialect.name == "mariadb":  # it may refuse to drop even one that is not there
        known = sa.text("SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()")
        existing = {*connection.scalars(known)}
        triggers = [trigger for trigger in triggers if trigger in existing]
    for trigger in triggers:
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger}")


def _sqlite(table: str) -> Iterator[str]:
    for change in CHANGES:
        yield (
            f"CREATE TRIGGER IF NOT EXISTS refused_{change.lower()}_{table} BEFORE {change} ON {table}"
            f" BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )


def _postgresql(table: str) -> Iterator[str]:
    yield (
        "CREATE OR REPLACE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = '{REFUSED}'; END$$"
    )
    yield f"DROP TRIGGER IF EXISTS refused ON {table}"
    yield (
        f"CREATE TRIGGER refused BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE PROCEDURE refused()"
    )


def _mariadb(table: str) -> Iterator[str]:
    for change in CHANGES:
        yield (
            f"CREATE TRIGGER IF NOT EXISTS refused_{change.lower()}_{table} BEFORE {change} ON {table}"
            f" FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{REFUSAL}'"
        )


_ADDING = {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mariadb}
