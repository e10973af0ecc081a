"""The markers of storages, for tests that count what else is there."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.tables import STORAGES
from application.markers import claim_key
from domain.blob import ObjectKey

CLAIMS = 3


def with_claims(keys: Iterable[str | None]) -> set[str]:
    """These keys, and those of claims to succeed them, which are there for a moment after a restart."""
    there = [ObjectKey(key) for key in keys if key is not None]
    return {str(key) for key in there} | {str(claim_key(key, turn)) for key in there for turn in range(CLAIMS)}


def in_file(path: Path) -> set[str]:
    """The keys of all markers that a SQLite database names now."""
    database = sqlite3.connect(path)
    try:
        rows = database.execute("SELECT identity, epoch, next_epoch, former FROM storages").fetchall()
    finally:
        database.close()
    return with_claims(key for row in rows for key in row)


def in_tables(connection: Connection) -> set[str]:
    """The same on any database."""
    columns = STORAGES.c.identity, STORAGES.c.epoch, STORAGES.c.next_epoch, STORAGES.c.former
    return with_claims(key for row in connection.execute(sa.select(*columns)) for key in row)
