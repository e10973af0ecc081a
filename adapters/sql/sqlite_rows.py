"""Single rows of SQLite, read without SQLAlchemy and without a thread: each takes microseconds."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

Select = sa.Select[*tuple[Any, ...]]


class SqliteRows:
    """Reads rows by their keys on a `connection` of its own, in the event loop.

    A reader of a write-ahead log waits for no writer. Nor does this one wait for anything else: while another process
    recovers the log, it raises sqlite3.OperationalError.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA busy_timeout = 0")
        self._prepared: dict[Select, _Prepared] = {}

    def first(self, statement: Select, values: Mapping[str, Any]) -> Any:
        """Return the first row, its columns by name, or None. The columns' types must need no conversion."""
        prepared = self._prepared.get(statement) or self._prepare(statement)
        # All rows, because SQLite keeps its snapshot until a statement has ended.
        found = self._connection.execute(prepared.sql, [values[name] for name in prepared.parameters]).fetchall()
        return prepared.row(found[0]) if found else None

    def close(self) -> None:
        self._connection.close()

    def _prepare(self, statement: Select) -> "_Prepared":
        self._prepared[statement] = prepared = _Prepared(statement)
        return prepared


class _Prepared:
    """A statement as text, and the type of its rows."""

    def __init__(self, statement: Select) -> None:
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="qmark"))
        self.sql = str(compiled)
        self.parameters: Sequence[str] = compiled.positiontup or ()
        names = [(name, Any) for name in statement.selected_columns.keys()]  # noqa: SIM118 - it is no dict
        self.row: Callable[[Sequence[Any]], Any] = NamedTuple("Row", names)._make
