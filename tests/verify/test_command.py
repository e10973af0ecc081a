"""How it is called, what it writes, and how it ends."""

import json
import os
import pty
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from domain.blob import ObjectKey
from entrypoints.cli.main import main
from tests.check.command import drivebay
from tests.http.server import DRIVEBAY, Server
from tests.verify.command import PATIENCE, verify
from tests.verify.tampering import Files

pytestmark = pytest.mark.timeout(300)
GO_WITH_REPAIR = "--older-than, --drop-missing, --even-if-most-are and --even-if-missing go with --repair."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One in which nothing is stored, with a database."""
    assert drivebay(tmp_path, "migrations", "upgrade").code == 0
    return tmp_path


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--older-than", "1d"], GO_WITH_REPAIR),
        (["--drop-missing"], GO_WITH_REPAIR),
        (["--even-if-most-are"], GO_WITH_REPAIR),
        (["--even-if-missing"], GO_WITH_REPAIR),
        (["--repair", "--older-than", "1 day"], "'1 day' is no age. Give a number with s, m, h or d"),
        (["--repair", "--older-than", "-1d"], "'-1d' is no age."),
        (["--repair", "--older-than", "١d"], "'١d' is no age."),
        (["--repair", "--older-than", "5"], "'5' is no age."),
        (["--storage", "tape"], "drivebay: --storage: 'tape' is no storage. Allowed: fs (or filesystem, local),"),
        (["--storage", "ftp"], "drivebay: --storage: ftp is not configured. Choose from: fs, database.\n"),
    ],
)
def test_a_wrong_call_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], error: str) -> None:
    monkeypatch.chdir(folder)
    result = CliRunner(env={"STORAGE": "fs"}).invoke(main, ["verify", *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


def test_without_a_database_it_can_not_start(tmp_path: Path) -> None:
    outcome = verify(tmp_path)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.errors.startswith("drivebay: DATABASE_URL: There is no database ")
    assert "`drivebay migrations upgrade` creates one" in outcome.errors
    assert not [*tmp_path.iterdir()]


def test_without_repair_it_changes_nothing(tmp_path: Path) -> None:
    """Nor does it bring older tables to their newest form."""
    with Server(tmp_path) as server, server.client() as client:
        assert client.put("/v1/blobs/a", content=b"x").status_code == 201
    assert verify(tmp_path).code == 0
    before = _content(tmp_path)
    assert verify(tmp_path, "--deep").code == 0
    assert _content(tmp_path) == before
    with closing(sqlite3.connect(tmp_path / "data" / "drivebay.db")) as database:
        database.execute("DROP TABLE storages")
        database.execute("UPDATE alembic_version SET version_num = '0004'")
        database.commit()
    before = _content(tmp_path)
    outcome = verify(tmp_path)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.errors.startswith("drivebay: DATABASE_URL: The database has tables of revision 0004, not those of ")
    assert "run `drivebay migrations upgrade`" in outcome.errors
    assert _content(tmp_path) == before


def _content(folder: Path) -> dict[str, object]:
    """The names and bytes of all files, and the rows of all tables, whatever SQLite does with its own files.

    But for the record of the verification itself.
    """
    files: dict[str, object] = {
        str(path): path.read_bytes()
        for path in (folder / "data").rglob("*")
        if path.is_file() and "drivebay.db" not in path.name
    }
    with closing(sqlite3.connect(folder / "data" / "drivebay.db")) as database:
        rows = [line for line in database.iterdump() if not line.startswith('INSERT INTO "verifications"')]
        return files | {"rows": rows}


def test_a_storage_that_is_down_is_reported_and_the_others_are_verified(folder: Path) -> None:
    nowhere = {"S3_BUCKET": "b", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "s", "S3_ENDPOINT": "http://127.0.0.1:1"}
    outcome = verify(folder, "--json", settings=nowhere)
    assert outcome.code == 3
    assert outcome.storages["s3"]["unverified"].startswith("S3 can't be reached")
    assert (outcome.storages["fs"]["unverified"], outcome.summary["complete"]) == (None, False)
    # Even if new blobs go there.
    outcome = verify(folder, settings={"STORAGE": "s3", **nowhere})
    assert outcome.code == 3
    assert "  could not be verified: S3 can't be reached" in outcome.out
    assert outcome.out.splitlines()[-1] == "Nothing is wrong, as far as it could be verified."
    # But not if it is not asked for.
    outcome = verify(folder, "--json", "--storage", "local", settings=nowhere)
    assert (outcome.code, list(outcome.storages)) == (0, ["fs"])


def test_a_wrong_database_does_not_let_all_be_removed(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.client() as client:
        for number in range(3):
            assert client.put(f"/v1/blobs/{number}", content=b"x").status_code == 201
    other = {"DATABASE_URL": "sqlite:///data/other.db"}
    assert drivebay(tmp_path, "migrations", "upgrade", settings=other).code == 0
    outcome = verify(tmp_path, "--repair", "--older-than", "0", settings=other)
    assert outcome.code == 1
    assert "  not repaired: The database does not know the storage fs yet." in outcome.out
    assert verify(tmp_path).code == 0


def test_a_bar_on_a_terminal_and_lines_elsewhere(tmp_path: Path) -> None:
    blobs = tmp_path / "data" / "blobs"
    assert drivebay(tmp_path, "migrations", "upgrade").code == 0
    blobs.mkdir()
    orphans = sorted(ObjectKey.random().value for _ in range(30))
    for key in orphans:
        (blobs / key[:3]).mkdir(exist_ok=True)
        (blobs / key[:3] / key).write_bytes(b"x")
    ours, its = pty.openpty()
    try:
        ended = subprocess.run(
            [DRIVEBAY, "verify", "--json"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=its,
            timeout=PATIENCE,
            check=False,
        )
        os.close(its)
        drawn = _all_of(ours)
    finally:
        os.close(ours)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert sorted(line["key"] for line in lines[:-1]) == orphans
    assert {(line["fault"], line["size"]) for line in lines[:-1]} == {("orphan", 1)}
    assert re.search(r"\r\x1b\[Kobjects on fs \[#*-*\] +\d+% \d+", drawn)
    assert drawn.endswith("\r\x1b[K"), "what is left on the terminal is no half of a bar"


def _all_of(terminal: int) -> str:
    drawn = b""
    try:
        while more := os.read(terminal, 10_000):
            drawn += more
    except OSError:  # how a terminal ends
        pass
    return drawn.decode()


async def test_what_lies_there_of_a_killed_upload_is_no_orphan(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.client() as client:
        assert client.put("/v1/blobs/a", content=b"x").status_code == 201
        with server.connect() as connection:
            connection.sendall(
                b"PUT /v1/blobs/b HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer token-of-the-tests\r\n"
                b"Content-Length: 3000000\r\n\r\n" + b"x" * 2_000_000
            )
            server.wait_until(lambda: server.left()["files"] == 2)
            outcome = verify(tmp_path, "--json", "--repair", "--older-than", "0")
            assert (outcome.code, outcome.faults) == (0, [])
            assert (outcome.storages["fs"]["objects"], outcome.storages["fs"]["uploads"]) == (2, 1)
            await Files(tmp_path / "data" / "blobs").write(ObjectKey.random().value, b"nobody's")
            outcome = verify(tmp_path, "--json", "--repair", "--older-than", "0")
            assert (outcome.code, [each["fault"] for each in outcome.faults]) == (0, ["orphan"])
            connection.sendall(b"x" * 1_000_000)
            assert connection.recv(1000).startswith(b"HTTP/1.1 201")
        assert client.get("/v1/blobs/b?alt=media").content == b"x" * 3_000_000
