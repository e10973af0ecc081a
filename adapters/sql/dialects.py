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

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


def insert_or_ignore(connection: Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless its primary key exists. Return whether it was inserted.

    Waits for other transactions that insert the same key. The transaction stays usable.
    """
    if connection.dialect.name == "mariadb":
        return _insert_or_lock(connection, table, values)
    return connection.execute(_insert_unless_exists(connection.dialect.name, table), values).rowcount == 1


@cache
def _insert_unless_exists(dialect: str, table: sa.Table) -> sa.Insert:
    return _insert(dialect, table).on_conflict_do_nothing(index_elements=[*table.primary_key])


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
