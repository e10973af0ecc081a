"""The markers of storages, for tests that count what else is there."""

import asyncio
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.tables import STORAGES
from application.ownership.markers import WITHOUT_MARKERS, claim_key
from domain.blob import ObjectKey
from entrypoints.composition.container import Container

CLAIMS = 3
PATIENCE = 30  # seconds


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


async def wait_until_all_are_there(container: Container) -> None:
    """Wait until a server with the settings of `container`, whose database was entered, has marked all its storages."""
    deadline = time.monotonic() + PATIENCE
    for name in container.stores().by_name.keys() - WITHOUT_MARKERS:
        while await container.metadata().known_storage(name) is None:
            assert time.monotonic() < deadline, name
            await asyncio.sleep(0.05)
