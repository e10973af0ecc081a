"""What each dialect has its own words for."""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

INSERT: dict[str, Callable[[sa.Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def insert_or_ignore(connection: Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row, unless one with its primary key is there; say whether it was inserted.

    It waits for another transaction that inserts the same. The transaction stays usable.
    """
    insert = INSERT[connection.dialect.name](table).on_conflict_do_nothing(index_elements=[*table.primary_key])
    return connection.execute(insert, values).rowcount == 1
