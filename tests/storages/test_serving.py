"""Real servers whose storage is lost, or whose database is copied; and `drivebay adopt`."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from application.ownership.mark import MarkStorage
from tests.check.command import drivebay, drivebay_apart
from tests.check.output import prepare
from tests.http.server import Server
from tests.http.wire import TOKEN

pytestmark = pytest.mark.timeout(300)
NOT_THE_ONE = "The storage fs is not the one that this database knows"


def blobs(server: Server) -> Path:
    return server.folder / "data" / "blobs"


def ready(server: Server) -> int:
    with server.client() as client:
        return client.get("/health/ready").status_code


def copy_database(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def let_pass(database: Path, seconds: int = 86_400) -> None:
    """Let leases, graces and claims have begun earlier."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE uploads SET expires_at = expires_at - ?", (seconds * 1_000_000,))
        for table in ("unused_objects", "trash"):
            connection.execute(f"UPDATE {table} SET due_at = due_at - ?", (seconds * 1_000_000,))  # noqa: S608
        connection.commit()


class TestADiskThatIsNotMounted:
    def test_the_server_does_not_start_and_does_when_it_is_back(self, tmp_path: Path) -> None:
        with Server(tmp_path) as server, server.client() as client:
            assert client.put("/v1/blobs/a", content=b"x").status_code == 201
        mounted = blobs(server).rename(tmp_path / "mounted")
        blobs(server).mkdir()
        result = drivebay_apart(tmp_path, "serve", settings={"AUTH_BEARER_TOKEN": TOKEN, "PORT": str(server.port)})
        assert result.code == 2
        assert result.errors.startswith(f"drivebay: FS_BASE_PATH: {NOT_THE_ONE}: its marker is missing. Is the disk")
        assert not [*blobs(server).iterdir()]
        blobs(server).rmdir()
        mounted.rename(blobs(server))
        with Server(tmp_path) as server, server.client() as client:
            assert client.get("/v1/blobs/a?alt=media").content == b"x"

    def test_a_running_server_becomes_unready_and_keeps_its_garbage(self, tmp_path: Path) -> None:
        with Server(tmp_path) as server, server.client() as client:
            for content in (b"old", b"new"):
                client.put("/v1/blobs/a", content=content)
            mounted = blobs(server).rename(tmp_path / "mounted")
            blobs(server).mkdir()
            let_pass(tmp_path / "data" / "drivebay.db")
            server.wait_until(lambda: "nothing is deleted in this storage" in server.errors())
            assert ready(server) == 503
            assert server.left() == {"files": 0, "blobs": 1, "uploads": 0, "garbage": 1}
            blobs(server).rmdir()
            mounted.rename(blobs(server))
            server.wait_until_left(blobs=1)
            server.wait_until(lambda: ready(server) == 200)

    def test_its_older_blobs_are_out_of_reach_and_not_damaged(self, tmp_path: Path) -> None:
        with Server(tmp_path) as server, server.client() as client:
            assert client.put("/v1/blobs/a", content=b"x").status_code == 201
        mounted = blobs(server).rename(tmp_path / "mounted")
        blobs(server).mkdir()
        with Server(tmp_path, STORAGE="database", FS_BASE_PATH=str(blobs(server))) as server, server.client() as client:
            answer = client.get("/v1/blobs/a?alt=media")
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            blobs(server).rmdir()
            mounted.rename(blobs(server))
            assert client.get("/v1/blobs/a?alt=media").content == b"x"

    def test_a_worker_that_starts_meanwhile_waits(self, tmp_path: Path) -> None:
        with Server(tmp_path) as server:
            mounted = blobs(server).rename(tmp_path / "mounted")
            blobs(server).mkdir()
            [worker] = server.workers()
            os.kill(worker, 9)
            server.wait_until(lambda: f"{NOT_THE_ONE}" in server.errors())
            assert not [*blobs(server).iterdir()]
            blobs(server).rmdir()
            mounted.rename(blobs(server))
            server.wait_until_it_answers()


class TestACopyOfTheDatabase:
    def test_it_deletes_nothing_that_production_has_published(self, tmp_path: Path) -> None:
        """An upload is in progress while the database is copied."""
        database, copied = tmp_path / "data" / "drivebay.db", tmp_path / "copy" / "drivebay.db"
        body = b"x" * 3_000_000
        with Server(tmp_path) as production, production.connect() as connection:
            head = f"PUT /v1/blobs/a HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {TOKEN}\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:2_000_000])
            production.wait_until(lambda: production.left()["files"] == 1)
            copy_database(database, copied)
            connection.sendall(body[2_000_000:])
            assert connection.recv(1000).startswith(b"HTTP/1.1 201")
            let_pass(copied)
            data: dict[str, Any] = {"DATA_DIR": str(copied.parent), "FS_BASE_PATH": str(blobs(production))}
            with Server(copied.parent, **data) as copy, copy.client() as other, production.client() as client:
                copy.wait_until(lambda: "nothing is deleted in this storage" in copy.errors())
                [line] = [each for each in copy.log() if each["event"] == "nothing is deleted in this storage"]
                assert "Another database deletes in the storage fs: this one is a copy" in line["reason"]
                assert ready(copy) == 200, "it serves"
                assert other.put("/v1/blobs/b", content=b"stored through the copy").status_code == 201
                assert "drivebay_reaper_withheld_total{" in other.get("/metrics").text
                assert client.get("/v1/blobs/a?alt=media").content == body
                result = drivebay_apart(
                    copied.parent,
                    "verify",
                    "--json",
                    "--repair",
                    "--older-than",
                    "0",
                    "--even-if-most-are",
                    settings=data,
                )
                [fs] = [
                    each for each in json.loads(result.out.splitlines()[-1])["summary"]["storages"] if each["blobs"]
                ]
                assert "Another database deletes in the storage fs" in fs["not_repaired"]
                assert client.get("/v1/blobs/a?alt=media").content == body


class TestAdopt:
    def adopt(self, folder: Path, *options: str, **settings: str) -> tuple[int, list[dict[str, Any]]]:
        result = drivebay_apart(folder, "adopt", "--json", *options, settings=settings)
        assert result.errors == ""
        return result.code, [json.loads(line) for line in result.out.splitlines()]

    def test_a_restored_database_deletes_again_when_it_has_adopted_its_storage(self, tmp_path: Path) -> None:
        database, backup = tmp_path / "data" / "drivebay.db", tmp_path / "backup" / "drivebay.db"
        with Server(tmp_path) as server, server.client() as client:
            for content in (b"old", b"new"):
                client.put("/v1/blobs/a", content=content)
            copy_database(database, backup)
            epoch = _epoch(database)
            server.wait_until(lambda: _epoch(database) != epoch)
        for path in database.parent.glob("drivebay.db*"):
            path.unlink()
        backup.rename(database)
        let_pass(database)
        with Server(tmp_path) as server, server.client() as client:
            server.wait_until(lambda: "Another database deletes" in server.errors())
            assert client.get("/v1/blobs/a?alt=media").content == b"new"
            assert server.left()["garbage"] == 1
            assert self.adopt(tmp_path, "--dry-run")[1][0]["adopted"] is False
            code, [result] = self.adopt(tmp_path)
            assert (code, result["storage"], result["adopted"], result["sampled"]) == (0, "fs", True, 1)
            server.wait_until(lambda: server.left()["garbage"] == 0)
            assert ready(server) == 200
        lines = drivebay_apart(tmp_path, "verify", "--json").out.splitlines()
        faults = [json.loads(line) for line in lines[:-1]]
        # The last epoch of the database that was overwritten: nobody else can say what that was.
        assert [each["fault"] for each in faults] == ["orphan"]

    def test_a_wrong_folder_is_refused(self, tmp_path: Path) -> None:
        with Server(tmp_path) as server, server.client() as client:
            for number in range(3):
                client.put(f"/v1/blobs/{number}", content=b"x")
        other = {"FS_BASE_PATH": str(tmp_path / "data" / "other")}
        code, [result] = self.adopt(tmp_path, **other)
        assert (code, result["adopted"], result["refused"]) == (1, False, "3 of 3 sampled objects are missing.")
        assert drivebay_apart(tmp_path, "adopt", settings=other).out == (
            "fs: refused: 3 of 3 sampled objects are missing. If they are lost, add --even-if-missing.\n"
        )
        assert self.adopt(tmp_path, "--even-if-missing", **other)[0] == 0
        assert self.adopt(tmp_path, "--storage", "local")[0] == 0

    def test_markers_that_are_always_changed_by_another(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def lose(*_: object) -> bool:
            return False

        prepare(tmp_path)
        monkeypatch.setattr(MarkStorage, "write", lose)
        result = drivebay(tmp_path, "adopt", "--storage", "fs")
        expected = "fs: refused: Its markers were changed again and again. Try again.\n"
        assert (result.code, result.out) == (1, expected)

    def test_nothing_is_made_without_a_database(self, tmp_path: Path) -> None:
        result = drivebay_apart(tmp_path, "adopt")
        assert (result.code, result.out) == (2, "")
        assert result.errors.startswith("drivebay: DATABASE_URL: There is no database ")
        assert not [*tmp_path.iterdir()]


def _epoch(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT epoch FROM storages").fetchone()[0])
