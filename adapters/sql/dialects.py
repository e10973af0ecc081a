"""Expressions that differ between dialects."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from adapters.sql.statement import Statement
from adapters.sql.tables import ClockTime, DatabaseNow

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


def insert_or_ignore(connection: Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless its primary key exists. Return whether it was inserted.

    Waits for other transactions that insert the same key. The transaction stays usable.
    """
    if connection.dialect.name == "mariadb":
        return _insert_or_lock(connection, table, values)
    return _insert_or_nothing(connection.dialect.name, table).count(connection, values) == 1


def insert_and_return(connection: Connection, column: sa.Column[Any], values: Mapping[str, Any]) -> Any:
    """Insert a row as `insert_or_ignore` does. Return its `column` and `now`, the time by the database's clock.

    That is the time after the insert and all that it waited for. Returns None if nothing was inserted.
    """
    table = column.table
    if connection.dialect.name == "postgresql":
        return _insert_or_nothing("postgresql", table, column).first(connection, values)
    if not insert_or_ignore(connection, table, values):
        return None
    return _select(column).first(connection, {key.name: values[key.name] for key in table.primary_key})


def insert_or_replace(
    dialect: str, table: sa.Table, computed: Mapping[sa.Column[Any], Any]
) -> "sqlite.Insert | postgresql.Insert | mysql.Insert":
    """Return an insert that replaces the row with the same primary key, which must be the only unique key.

    `computed` has values of columns that are part of the statement.
    """
    others = [column.name for column in table.columns if not column.primary_key]
    if dialect == "mariadb":
        insert = mysql.insert(table).values(computed)
        return insert.on_duplicate_key_update({name: insert.inserted[name] for name in others})
    insert_new = _insert(dialect, table).values(computed)
    new = {name: insert_new.excluded[name] for name in others}
    return insert_new.on_conflict_do_update(index_elements=[*table.primary_key], set_=new)


@cache
def _insert_or_nothing(dialect: str, table: sa.Table, returned: sa.Column[Any] | None = None) -> Statement:
    insert = _insert(dialect, table).on_conflict_do_nothing(index_elements=[*table.primary_key])
    return Statement(insert if returned is None else insert.returning(returned, ClockTime().label("now")))


@cache
def _select(column: sa.Column[Any]) -> Statement:
    same = (key == sa.bindparam(key.name) for key in column.table.primary_key)
    return Statement(sa.select(column, DatabaseNow().label("now")).where(*same))


def _insert(dialect: str, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
    if dialect == "sqlite":
        return sqlite.insert(table)
    # Imported only where it is used: a start without it is quicker.
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def _insert_or_lock(connection: Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row, or lock the existing one, in MariaDB.

    INSERT IGNORE would ignore other errors too. Like a plain INSERT that fails, it leaves a shared lock on the existing
    row: two transactions that then update the row would deadlock. ON DUPLICATE KEY takes an exclusive lock.
    """
    insert = mysql.insert(table)
    first, *_ = table.primary_key
    # The clause applies to any unique key. NULL is refused if the existing row has another primary key.
    same = sa.and_(*(column == insert.inserted[column.name] for column in table.primary_key))
    # The row count is the same in both cases, but LAST_INSERT_ID() differs. The expression uses a column, because
    # a constant one would be evaluated for an insert too.
    remembered = sa.func.last_insert_id(sa.func.length(first)) > 0
    unchanged = {first.name: sa.func.IF(sa.and_(same, remembered), first, sa.null())}
    return connection.execute(insert.on_duplicate_key_update(unchanged), values).lastrowid == 0


class Position(FunctionElement[int]):
    """The position of a substring in characters, from 1; 0 if absent. For SQLite and PostgreSQL."""

    type = sa.Integer()
    inherit_cache = True


@compiles(Position, "sqlite")
def _position_in_sqlite(element: Position, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(Position, "postgresql")
def _position_in_postgresql(element: Position, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"
