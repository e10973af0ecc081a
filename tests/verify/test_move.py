"""`drivebay move` and MOVE_TO: how they are called, and what becomes of the blobs next to a server."""

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from entrypoints.cli.main import main
from tests.check.command import drivebay
from tests.http.server import DRIVEBAY, Server
from tests.verify.command import PATIENCE, CommandResult, verify

pytestmark = pytest.mark.timeout(300)
SIZES = (0, 1, 1000, 100_000, 3_000_000)
PARTS = [b"a" * 70_000, b"b", b"c" * 5]


def move(folder: Path, *options: str, **settings: str) -> CommandResult:
    outcome = drivebay(folder, "move", *options, settings={"READERS_GRACE": "0", **settings})
    return CommandResult(outcome.code, outcome.out, outcome.errors)


def fill(client: httpx.Client) -> dict[str, bytes]:
    """Store blobs, a copy, and one of several parts. Return their bytes."""
    there = {f"blobs/{number}": os.urandom(size) for number, size in enumerate(SIZES)}
    for name, data in there.items():
        assert client.put(f"/v1/blobs/{name}", content=data).status_code == 201
    assert client.post("/v1/copy", json={"from": "blobs/2", "to": "copy"}).is_success
    upload = client.post("/v1/uploads", json={"id": "parts"}).json()["upload"]
    for number, part in enumerate(PARTS, 1):
        assert client.put(f"/v1/uploads/{upload}/{number}", content=part).is_success
    assert client.post("/v1/commits", json={"operations": [{"put": {"id": "parts", "upload": upload}}]}).is_success
    return there | {"copy": there["blobs/2"], "parts": b"".join(PARTS)}


def seen(client: httpx.Client) -> dict[str, tuple[bytes, str, str]]:
    """Return what clients see of each blob: bytes, ETag, and date."""
    found = {}
    for blob in client.get("/v1/blobs").json()["blobs"]:
        got = client.get(f"/v1/blobs/{blob['id']}?alt=media")
        assert got.status_code == 200, got.text
        found[blob["id"]] = got.content, got.headers["ETag"], blob["created_at"]
    return found


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--from", "fs"], "Missing option '--to'"),
        (["--from", "fs", "--to", "tape"], "drivebay: --to: 'tape' is no storage. Allowed: fs"),
        (["--from", "s3", "--to", "fs"], "drivebay: --from: s3 is not configured. Choose from: fs, database.\n"),
        (["--from", "fs", "--to", "local"], "drivebay: --to: it is the same storage as --from. Give another.\n"),
        (["--from", "fs", "--to", "database", "--rate", "1K"], "'1K' is no rate. Give bytes a second, at least 64K"),
        (["--from", "fs", "--to", "database", "--concurrency", "0"], "0 is not in the range"),
    ],
)
def test_a_wrong_call_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], error: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner(env={"STORAGE": "fs"}).invoke(main, ["move", *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


def test_it_moves_next_to_a_server(tmp_path: Path) -> None:
    with Server(tmp_path, READERS_GRACE="0") as server, server.client() as client:
        there = fill(client)
        before = seen(client)
        assert {name: data for name, (data, *_) in before.items()} == there
        dry = move(tmp_path, "--from", "fs", "--to", "database", "--dry-run")
        assert (dry.code, dry.out) == (0, "8 objects of 3,171,007 bytes would be moved.\n")
        some = move(tmp_path, "--from", "fs", "--to", "database", "--prefix", "blobs/", "--json", "--rate", "1G")
        assert (some.code, some.summary["objects"], some.summary["complete"]) == (0, 5, True)
        assert "STORAGE is fs: new blobs still go there" in some.errors
        assert seen(client) == before
        assert verify(tmp_path, "--json").storages["fs"]["blobs"] == 1
        rest = move(tmp_path, "--from", "fs", "--to", "database", STORAGE="database")
        assert (rest.code, rest.out) == (0, "3 objects of 70,006 bytes were moved.\n")
        assert seen(client) == before
        wait_until_deleted(server)
        back = move(tmp_path, "--from", "database", "--to", "fs", SMALL_BLOBS="database")
        assert back.code == 0
        assert "3 small blobs left in the database, because of SMALL_BLOBS." in back.out
        assert seen(client) == before
    outcome = verify(tmp_path, "--deep", "--json")
    assert (outcome.code, outcome.faults) == (0, [])


def test_what_is_damaged_stays_and_is_reported(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.client() as client:
        fill(client)
        largest = max((tmp_path / "data" / "blobs").rglob("*"), key=lambda path: path.stat().st_size)
        largest.write_bytes(os.urandom(SIZES[-1]))
        outcome = move(tmp_path, "--from", "fs", "--to", "database", "--json")
        assert (outcome.code, [each["fault"] for each in outcome.faults]) == (1, ["damaged"])
        assert outcome.faults[0]["key"] == largest.name
        assert (outcome.summary["objects"], outcome.summary["found"]["damaged"]) == (7, 1)
        assert largest.exists()
        lines = move(tmp_path, "--from", "fs", "--to", "database").out
        assert lines.startswith(f"damaged: fs {largest.name}: The bytes that arrived have the SHA-256 ")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_it_can_be_stopped_and_continued(tmp_path: Path, end: signal.Signals) -> None:
    options = ["--from", "fs", "--to", "database"]
    with Server(tmp_path, READERS_GRACE="0") as server, server.client() as client:
        fill(client)
        before = seen(client)
        command = [DRIVEBAY, "move", *options, "--rate", "700K", "--concurrency", "2"]
        environment = {"PATH": os.environ["PATH"], "READERS_GRACE": "0"}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as moving:
            wait_until_some_are_moved(tmp_path)
            moving.send_signal(end)
            _, errors = moving.communicate(timeout=PATIENCE)
        if end is signal.SIGINT:
            assert moving.returncode == 3
            assert errors.splitlines()[-1].endswith(" moved. Run the same command to continue.")
        assert seen(client) == before
        outcome = verify(tmp_path, "--deep", "--json")
        assert (outcome.code, outcome.faults) == (0, [])
        if end is signal.SIGINT:  # after a kill, what was in progress is waited for
            assert move(tmp_path, *options).code == 0
            wait_until_deleted(server)
        assert seen(client) == before


def wait_until_deleted(server: Server) -> None:
    """Wait until no object is left in the files but the markers, which are two."""
    server.wait_until(lambda: server.left()["files"] == 0)


def wait_until_some_are_moved(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    with closing(sqlite3.connect(folder / "data" / "drivebay.db")) as rows:
        while rows.execute("SELECT count(*) FROM blobs WHERE backend = 'database'").fetchone()[0] < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_servers_move_in_the_background(tmp_path: Path) -> None:
    with Server(tmp_path, READERS_GRACE="0") as server, server.client() as client:
        fill(client)
        before = seen(client)
    with (
        Server(tmp_path, STORAGE="database", MOVE_TO="database", READERS_GRACE="0") as server,
        server.client() as client,
    ):
        assert client.put("/v1/blobs/new", content=b"new").status_code == 201
        wait_until_deleted(server)
        now = seen(client)
        assert now.pop("new")[0] == b"new"
        assert now == before
    storages = verify(tmp_path, "--deep", "--json", settings={"STORAGE": "database"}).storages
    assert (storages["fs"]["objects"], storages["database"]["objects"]) == (0, 9)
