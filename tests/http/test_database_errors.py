"""The log of a server whose database refuses a statement for no reason that Drivebay knows: it has no id in it."""

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from tests.http.server import Server

ID = "recognizable-id"


def expect_no_id_in_the_log(server: Server) -> None:
    with server.client() as client:
        assert client.put(f"/v1/blobs/{ID}", content=b"x").status_code == 500
    assert "a request hit a fault in Drivebay" in server.errors()
    assert ID not in server.errors()


def test_sqlite(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        trigger = "CREATE TRIGGER t BEFORE INSERT ON blobs BEGIN SELECT RAISE(ABORT, 'refused'); END"
        with sqlite3.connect(tmp_path / "data" / "drivebay.db") as database:
            database.execute(trigger)
        database.close()
        expect_no_id_in_the_log(server)


@pytest.mark.docker
def test_postgresql_which_quotes_the_row_that_fails(tmp_path: Path, postgresql_url: str) -> None:
    async def refuse_rows() -> None:
        connection = await asyncpg.connect(postgresql_url)
        await connection.execute("ALTER TABLE blobs ADD CHECK (size < 0)")
        await connection.close()

    with Server(tmp_path, DATABASE_URL=postgresql_url) as server:
        asyncio.run(refuse_rows())
        expect_no_id_in_the_log(server)
