"""The tables of new SQLite databases, copied from one that was migrated: a migration takes 50 ms of the processor each.

A run makes thousands of databases. tests/check/test_migrations.py tests the migrations themselves, and
tests/contracts/test_migrated.py that a copy is what they make.
"""

import sqlite3
from contextlib import closing
from functools import cache
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql import migrations

MIGRATE: Final = migrations.upgrade
AROUND = ("BEGIN TRANSACTION;", "COMMIT;")


def install() -> None:
    """Copy the tables of new databases in this process, and in processes that are forked from it."""
    migrations.upgrade = upgrade


def upgrade(connection: Connection, to: str = migrations.HEAD) -> None:
    """Copy the tables into an empty SQLite database; migrate any other, as `migrations.upgrade` does."""
    if connection.dialect.name != "sqlite" or to != migrations.HEAD or _has_tables(connection):
        MIGRATE(connection, to)
        return
    for statement in statements():
        connection.exec_driver_sql(statement)


@cache
def statements() -> tuple[str, ...]:
    """Return the statements that make the tables with their first rows, as migrations leave them."""
    engine = sa.create_engine("sqlite://", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        MIGRATE(connection)
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        dumped = tuple(statement for statement in driver.iterdump() if statement not in AROUND)
    engine.dispose()
    return dumped


def schema(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Return the kind, the name and the statement of all that the database consists of."""
    with closing(connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")) as rows:
        return rows.fetchall()


def _has_tables(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar())
