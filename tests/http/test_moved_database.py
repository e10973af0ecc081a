"""SQLite's file is moved or replaced while servers have it open: nothing is acknowledged that would be lost."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.http.server import UVICORN, Server
from tests.http.wire import TOKEN

SUFFIXES = ("", "-wal", "-shm")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "drivebay.db"


@pytest.fixture(params=["serve", "uvicorn"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    root = str(Path(__file__).parents[2])
    with (
        Server(tmp_path)
        if request.param == "serve"
        # After a SIGTERM it ends by one, to tell its parent why.
        else Server(tmp_path, UVICORN, -signal.SIGTERM, PYTHONPATH=root, AUTH_BEARER_TOKEN=TOKEN)
    ) as server:
        yield server


def works(server: Server, client: httpx.Client, blob_id: str) -> bool:
    """Whether a write, a read of `a` and readiness succeed. Fails if some of them do, and some don't."""
    wrote = client.put(f"/v1/blobs/{blob_id}", content=b"x").status_code
    read = client.get("/v1/blobs/a").status_code
    assert (wrote, read) in ((201, 200), (503, 503))
    # For a second it responds with what it found before.
    server.wait_until(lambda: client.get("/health/ready").status_code == read)
    return read == 200


def move(path: Path, target: Path) -> None:
    for suffix in SUFFIXES:
        path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))


def test_nothing_goes_into_a_file_that_was_moved_until_it_is_back(server: Server, path: Path) -> None:
    with server.client() as client:
        assert works(server, client, "a")
        move(path, away := path.with_name("away.db"))
        assert not works(server, client, "b")
        assert not path.exists()
        assert "was moved or replaced while it was in use. Put the same file back, or restart" in server.errors()
        move(away, path)
        assert works(server, client, "b")


def test_another_file_needs_a_restart(tmp_path: Path, path: Path) -> None:
    with Server(tmp_path) as server, server.client() as client:
        assert works(server, client, "a")
        with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
            database.backup(backup)
        (tmp_path / "backup.db").replace(path)
        assert not works(server, client, "b")
    with Server(tmp_path) as server, server.client() as client:
        assert works(server, client, "b")


def test_a_worker_that_takes_a_dead_ones_place_creates_no_database(tmp_path: Path, path: Path) -> None:
    with Server(tmp_path, WORKERS="2") as server:
        server.wait_until_all_serve()
        move(path, away := path.with_name("away.db"))
        os.kill(dead := server.workers()[0], signal.SIGKILL)
        server.wait_until(
            lambda: dead not in server.workers() and ("There is no database" in server.errors() or path.exists())
        )
        assert not path.exists()
        move(away, path)
        server.wait_until_all_serve()
        for _ in range(10):  # of whichever worker
            with server.client() as client:
                assert client.put("/v1/blobs/a", content=b"x").status_code in (200, 201)
