"""Single rows of SQLite, read without SQLAlchemy and without a thread: each takes microseconds."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import sqlite

from adapters.sql.statement import Statement

DIALECT = sqlite.dialect(paramstyle="qmark")


class SqliteRows:
    """Reads rows by their keys on a `connection` of its own, in the event loop.

    A reader of a write-ahead log waits for no writer. Nor does this one wait for anything else: while another process
    recovers the log, it raises sqlite3.OperationalError.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA busy_timeout = 0")

    def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        """Return the first row, its columns by name, or None."""
        compiled = statement.compiled(DIALECT, values)
        # All rows, because SQLite keeps its snapshot until a statement has ended.
        found = self._connection.execute(compiled.text, compiled.bind(values)).fetchall()
        return compiled.row(found[0]) if found else None

    def close(self) -> None:
        self._connection.close()
