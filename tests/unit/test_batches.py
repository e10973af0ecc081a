"""Statements with as many values as the oldest databases take."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.access.balance import Balance
from adapters.metadata.sql.blobs.blobs import SqlBlobs
from adapters.metadata.sql.blobs.trash import SqlTrash
from adapters.metadata.sql.rows.batches import MAX_VALUES, batches
from adapters.sql.servers.mariadb import SMALLEST_PACKET
from adapters.sql.tables import BLOBS, METADATA, TRASH
from domain.blob import MAX_ID_BYTES, BlobId
from tests import many_blobs

LIMIT = 999  # of SQLite before 3.32


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        METADATA.create_all(connection)
        driver: Any = connection.connection.driver_connection
        driver.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, LIMIT)
        yield connection
    engine.dispose()  # the pool would keep the connection


@pytest.mark.parametrize("count", [0, 1, MAX_VALUES - 1, MAX_VALUES, MAX_VALUES + 1, 3 * MAX_VALUES])
def test_batches_are_all_values_in_their_order(count: int) -> None:
    values = [f"{number}" for number in range(count)]
    found = [*batches(values)]
    assert [value for batch in found for value in batch] == values
    assert len(found) == -(-count // MAX_VALUES)


def test_a_batch_of_the_longest_ids_fits_into_a_packet() -> None:
    assert 2 * MAX_VALUES * MAX_ID_BYTES < SMALLEST_PACKET // 2


async def test_a_thousand_blobs_are_locked_and_moved(connection: Connection) -> None:
    async def run_here(function: Callable[..., Any], *args: Any) -> Any:
        return function(connection, *args)

    run: Any = run_here
    many_blobs.insert(connection, range(1000), lambda number: f"{number:04}")
    ids = [BlobId(f"{number:04}") for number in range(1000)]
    blobs, trash = SqlBlobs(run, run), SqlTrash(run, Balance())
    assert [each.id for each in await blobs.lock_each(ids[::-1])] == ids
    await trash.move(ids, timedelta(hours=1), timedelta(0))
    assert connection.scalars(sa.select(TRASH.c.id).order_by(TRASH.c.id)).all() == [each.value for each in ids]
    assert connection.scalars(sa.select(BLOBS.c.id)).all() == []
