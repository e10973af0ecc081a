"""Readers that take longer than the grace, on a server whose reaper does not rest."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.contracts.blob_store import MIB, pattern
from tests.http.server import Server

OLD = pattern(24 * MIB)  # more than all buffers on the way hold
LONG = "/v1/blobs/long"
POLLS = 1500
KEPT = ("trash", "unused_objects")  # the tables on the way to a deletion, in this order


def wait_until_reaped(server: Server, database: Path) -> None:
    """Delete another blob, and wait until its object is gone: what was garbage before it was due before it."""
    with server.client() as client, closing(sqlite3.connect(database)) as rows:
        client.put("/v1/blobs/another", content=b"x")
        [[key]] = rows.execute("SELECT object_key FROM blobs WHERE id = 'another'")
        client.delete("/v1/blobs/another")
        for _ in range(POLLS):
            if not any(rows.execute(f"SELECT 1 FROM {table} WHERE object_key = ?", [key]).fetchall() for table in KEPT):  # noqa: S608
                return
            time.sleep(0.02)
    raise AssertionError("nothing is reaped")


@pytest.mark.parametrize("storage", ["database", "fs"])
def test_a_client_that_stalls_gets_all_of_what_it_began_to_read(tmp_path: Path, storage: str) -> None:
    with Server(tmp_path, STORAGE=storage, READERS_GRACE="1") as server, server.client() as client:
        client.put(LONG, content=OLD)
        with client.stream("GET", LONG, params={"alt": "media"}) as answer:
            chunks = answer.iter_raw()
            read = [next(chunks)]
            with server.client() as other:
                assert other.put(LONG, content=b"new").status_code == 200
            for _ in range(2):
                wait_until_reaped(server, tmp_path / "data" / "drivebay.db")
            read += chunks
        assert b"".join(read) == OLD
        assert client.get(LONG, params={"alt": "media"}).content == b"new"
