"""Who may read what Drivebay creates: its user only, whatever the umask of the start is."""

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from domain.blob import ObjectKey
from entrypoints.config.kept_secrets import BEARER, MASTER_KEY, kept_secret
from tests.contracts.blob_store import chunked
from tests.http.server import DRIVEBAY, UVICORN, Server

FILE, FOLDER = 0o600, 0o700


@pytest.fixture(autouse=True)
def open_to_all(same_umask: None) -> None:
    os.umask(0)


def modes(folder: Path) -> dict[str, int]:
    """By their names, those of all that is in the folder."""
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*")}


async def test_of_an_object(tmp_path: Path) -> None:
    async with FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs")) as store:
        await store.check()
        await store.put(key := ObjectKey.random(), chunked(b"x"))
    assert modes(tmp_path) == {
        "blobs": FOLDER,
        **{f"blobs/{key.value[:2]}{digit}": FOLDER for digit in "0123456789abcdef"},
        f"blobs/{key.value[:3]}/{key.value}": FILE,
    }


def test_of_secrets(tmp_path: Path) -> None:
    for name in (BEARER, MASTER_KEY):
        kept_secret(tmp_path, name)
    assert modes(tmp_path) == {"token": FILE, "master-key": FILE}


async def test_of_a_database(tmp_path: Path) -> None:
    async with SqliteDatabase(SqliteConfig(tmp_path / "rows.db")):
        assert modes(tmp_path) == {"rows.db": FILE, "rows.db-wal": FILE, "rows.db-shm": FILE}


async def test_of_a_database_that_others_could_read(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "rows.db")) as older:
        older.execute("PRAGMA journal_mode = WAL")
        older.execute("CREATE TABLE t (n)")
        assert set(modes(tmp_path).values()) == {0o644}
        async with SqliteDatabase(SqliteConfig(tmp_path / "rows.db")):
            assert modes(tmp_path) == {"rows.db": FILE, "rows.db-wal": FILE, "rows.db-shm": FILE}


@pytest.mark.parametrize(
    ("command", "exit_code", "workers"),
    [([DRIVEBAY, "serve"], 0, "2"), (UVICORN, -signal.SIGTERM, "1")],
    ids=["drivebay serve", "uvicorn"],
)
def test_of_a_server(tmp_path: Path, command: list[str], exit_code: int, workers: str) -> None:
    settings = {"WORKERS": workers, "AUTH_BEARER_TOKEN": "", "PYTHONPATH": str(Path(__file__).parents[2])}
    with Server(tmp_path, command, exit_code, **settings) as server:
        with server.client((tmp_path / "data" / "token").read_text().strip()) as client:
            assert client.put("/v1/blobs/a", content=b"x").status_code == 201
        found = modes(tmp_path / "data")
        assert {"token", "blobs", "drivebay.db", "drivebay.db-wal", "drivebay.db-shm"} <= found.keys()
        for path, mode in found.items():
            assert mode == (FOLDER if (tmp_path / "data" / path).is_dir() else FILE), path
        assert (tmp_path / "data").stat().st_mode & 0o777 == FOLDER
        for pid in (server.process.pid, *server.workers()):
            assert "\nUmask:\t0077\n" in Path(f"/proc/{pid}/status").read_text()
