"""Expressions that differ between dialects."""

from collections.abc import Mapping
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
    """Insert a row, unless one with its primary key is there; say whether it was inserted.

    It waits for another transaction that inserts the same. The transaction stays usable.
    """
    if connection.dialect.name == "mariadb":
        return _insert_or_lock(connection, table, values)
    insert = _insert(connection.dialect.name, table).on_conflict_do_nothing(index_elements=[*table.primary_key])
    return connection.execute(insert, values).rowcount == 1


def _insert(dialect: str, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
    if dialect == "sqlite":
        return sqlite.insert(table)
    # Imported only where it is used: a start without it is quicker.
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def _insert_or_lock(connection: Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row, or lock the one that is there, in MariaDB.

    INSERT IGNORE would ignore other faults too. And it, as a plain INSERT that fails, leaves a lock on the row that is
    there, which others may share: two that go on to change the row would wait for each other. ON DUPLICATE KEY takes
    a lock that nobody shares.
    """
    insert = mysql.insert(table)
    first, *_ = table.primary_key
    # It is called for any unique key: NULL is refused if the row that is there has another primary key than this.
    same = sa.and_(*(column == insert.inserted[column.name] for column in table.primary_key))
    # The count of rows does not tell (one that was found counts as one that was inserted), but this number does.
    # It is taken from the row, as what is constant would be evaluated for an insert too.
    remembered = sa.func.last_insert_id(sa.func.length(first)) > 0
    unchanged = {first.name: sa.func.IF(sa.and_(same, remembered), first, sa.null())}
    return connection.execute(insert.on_duplicate_key_update(unchanged), values).lastrowid == 0


class Position(FunctionElement[int]):
    """Where a text has another in it, in characters counted from 1; 0 if it has not. In SQLite and PostgreSQL."""

    type = sa.Integer()
    inherit_cache = True


@compiles(Position, "sqlite")
def _position_in_sqlite(element: Position, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(Position, "postgresql")
def _position_in_postgresql(element: Position, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"
