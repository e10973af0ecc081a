"""`drivebay move-metadata`, beside a server that serves reads."""

import asyncio
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sql.rows import SqlRows
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from domain.errors import NoSpace
from tests.backends import mariadb, postgresql
from tests.backends.run import Backends
from tests.check.command import drivebay, environment
from tests.http.server import DRIVEBAY, Server
from tests.many_blobs import insert

BLOBS = {f"films/{number} ü": str(number).encode() * number for number in range(1, 30)}
DELETED = "deleted"
ROWS = 100_000  # so many that the command is still at work when it is killed


def is_stored(client: httpx.Client) -> bool:
    return all(client.get(f"/v1/blobs/{name}?alt=media").content == data for name, data in BLOBS.items())


def fill(server: Server) -> None:
    with server.client() as client:
        for name, data in BLOBS.items():
            client.put(f"/v1/blobs/{name}", content=data).raise_for_status()
        client.put(f"/v1/blobs/{DELETED}", content=b"deleted").raise_for_status()
        client.delete(f"/v1/blobs/{DELETED}").raise_for_status()


@pytest.mark.docker
def test_a_server_changes_its_database_while_it_serves_reads(tmp_path: Path, backends: Backends) -> None:
    server = Server(tmp_path)
    with postgresql.database(backends.address(postgresql.start)) as url:
        (tmp_path / "url").write_text(f"{url}\n")
        moving = ("move-metadata", "--to", "url")
        with server, server.client() as client:
            fill(server)
            result = drivebay(tmp_path, *moving, "--dry-run")
            assert (result.code, result.out) == (
                0,
                f"{len(BLOBS) + 2} rows would be moved to PostgreSQL at {place(url)}.\n",
            )
            client.put("/v1/blobs/later", content=b"").raise_for_status()
            result = drivebay(tmp_path, *moving)
            assert (result.code, result.errors) == (0, "")
            assert f"rows are in PostgreSQL at {place(url)} now, and were compared." in result.out
            refused = client.put("/v1/blobs/too-late", content=b"")
            assert (refused.status_code, refused.json()["code"]) == (503, "read_only")
            assert is_stored(client)
            assert client.get("/health/ready").json() == {"status": "degraded", "reasons": {"database": "read_only"}}
        again = drivebay(tmp_path, *moving, "--json")
        assert json.loads(again.out)["summary"]["copied"] == 0
        with Server(tmp_path, DATABASE_URL=url) as other, other.client() as client:
            assert is_stored(client)
            [trashed] = client.get("/v1/trash").json()["versions"]
            client.post(f"/v1/trash/{trashed['key']}/restore").raise_for_status()
            assert client.get(f"/v1/blobs/{DELETED}?alt=media").content == b"deleted"
            client.put("/v1/blobs/new", content=b"new").raise_for_status()
        result = drivebay(tmp_path, "move-metadata", "--cancel")
        assert (result.code, result.errors.count("Use that one.")) == (1, 1)
    refusing = Server(tmp_path, exit_code=2)
    with pytest.raises(AssertionError), refusing:
        pass
    assert "DATABASE_URL" in refusing.errors()


def place(url: str) -> str:
    return url.rpartition("@")[2]


def test_it_goes_on_after_it_was_killed(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        fill(server)
    asyncio.run(add_rows(tmp_path / "data" / "drivebay.db"))
    command = [DRIVEBAY, "move-metadata", "--to", "sqlite:///new.db"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment({}))
    new = tmp_path / "new.db-wal"
    while not (new.exists() and new.stat().st_size > 2_000_000):  # some pages of rows are there
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    for database in ("data/drivebay.db", "new.db"):
        other = Server(tmp_path, exit_code=2, DATABASE_URL=f"sqlite:///{database}")
        with pytest.raises(AssertionError), other:
            pass
        assert "move" in other.errors()
    ended = json.loads(drivebay(tmp_path, *command[1:], "--json").out)["summary"]
    assert ended["rows"]["blobs"] == ROWS + len(BLOBS)
    assert 0 < ended["copied"] < ended["total"]
    with Server(tmp_path, DATABASE_URL="sqlite:///new.db") as server, server.client() as client:
        assert is_stored(client)


async def add_rows(path: Path) -> None:
    async with SqliteDatabase(SqliteConfig(path)) as database, database.transaction() as transaction:
        await transaction.run(insert, range(ROWS), lambda number: f"a/{number:07}")
        await transaction.commit()


@pytest.mark.docker
def test_a_database_that_refuses_triggers_stays_as_it_is(tmp_path: Path, backends: Backends) -> None:
    root = backends.address(mariadb.start_with_binary_log)
    with mariadb.database(root) as full:
        name = full.rpartition("/")[2]
        user, move = f"{name}@'%'", ("move-metadata", "--to", "sqlite:///new.db", "--json")
        asyncio.run(mariadb.on_mariadb(root, f"CREATE USER {user}", f"GRANT ALL ON {name}.* TO {user}"))
        url = f"mariadb://{name}@{full.rpartition('@')[2]}"
        settings = {"DATABASE_URL": url}
        with Server(tmp_path, DATABASE_URL=url) as server, server.client() as client:
            fill(server)
            result = drivebay(tmp_path, *move, settings=settings)
            assert (result.code, result.out) == (1, "")
            assert "Set log_bin_trust_function_creators=1 on the server, or grant" in result.errors
            client.put("/v1/blobs/later", content=b"").raise_for_status()
        result = drivebay(tmp_path, "move-metadata", "--cancel", settings=settings)
        assert (result.code, result.errors) == (0, "")
        with Server(tmp_path, DATABASE_URL=url) as server, server.client() as client:
            assert is_stored(client)
        asyncio.run(mariadb.on_mariadb(root, "SET GLOBAL log_bin_trust_function_creators = 1"))
        result = drivebay(tmp_path, *move, settings=settings)
        assert (result.code, result.errors) == (0, "")
        asyncio.run(mariadb.on_mariadb(root, f"DROP USER {user}"))


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--dry-run", "Nothing was changed."),
        ("--cancel", "may refuse changes still. Run the same command again."),
        ("--json", "may refuse changes. Run the same command to continue, or --cancel."),
    ],
)
def test_it_says_what_it_has_left_when_it_is_stopped(
    tmp_path: Path, option: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("entrypoints.cli.moves.move_metadata._open", stopped)
    result = drivebay(tmp_path, "move-metadata", "--to", "sqlite:///new.db", option)
    assert (result.code, result.out) == (3, "")
    assert result.errors.endswith(f"{text}\n")


@pytest.mark.parametrize("is_answered", [True, False])
def test_it_says_what_it_has_left_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_answered: bool
) -> None:
    drivebay(tmp_path, "migrations", "upgrade")
    find = SqlRows.move

    async def full(*_: object) -> None:
        monkeypatch.setattr(SqlRows, "move", find if is_answered else full)
        raise NoSpace("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(SqlRows, "flush", full)
        result = drivebay(tmp_path, "move-metadata", "--to", "sqlite:///new.db")
    assert (result.code, result.out) == (1, "")
    left = "The old database may refuse changes. Run the same command to continue, or --cancel."
    assert result.errors == f"drivebay: The disk is full. {left}\n"
    monkeypatch.setattr(SqlRows, "move", find)
    assert drivebay(tmp_path, "move-metadata", "--cancel").code == 0
    result = drivebay(tmp_path, "move-metadata", "--to", "sqlite:///new.db")
    assert result.code == 1
    assert "Give one that is empty" in result.errors
    assert "--cancel" not in result.errors, "nothing has begun"


def test_a_move_that_has_ended_on_one_side_is_to_be_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drivebay(tmp_path, "migrations", "upgrade")
    end, calls = SqlRows.end, list[str]()

    async def once(rows: SqlRows, key: str) -> bool:
        calls.append(key)
        if len(calls) == 2:
            raise NoSpace("The disk is full.")
        return await end(rows, key)

    moving = ("move-metadata", "--to", "sqlite:///new.db")
    monkeypatch.setattr(SqlRows, "end", once)
    result = drivebay(tmp_path, *moving)
    assert (
        result.errors == "drivebay: The disk is full. Both databases refuse changes. Run the same command to end it.\n"
    )
    assert drivebay(tmp_path, "move-metadata", "--cancel").code == 1
    assert drivebay(tmp_path, *moving).code == 0


def test_the_move_of_another_command_is_not_said_to_be_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice would be to end it."""

    async def full(*_: object) -> None:
        raise NoSpace("The disk is full.")

    drivebay(tmp_path, "migrations", "upgrade")
    with monkeypatch.context() as patched:
        patched.setattr(SqlRows, "flush", full)
        drivebay(tmp_path, "move-metadata", "--to", "sqlite:///new.db")
        drivebay(tmp_path, "migrations", "upgrade", settings={"DATABASE_URL": "sqlite:///other.db"})
        drivebay(
            tmp_path, "move-metadata", "--to", "sqlite:///third.db", settings={"DATABASE_URL": "sqlite:///other.db"}
        )
    result = drivebay(tmp_path, "move-metadata", "--to", "sqlite:///third.db")
    assert result.code == 1
    assert "takes part in another move" in result.errors
    assert "--cancel" not in result.errors


def test_a_move_that_has_not_begun_is_not_to_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        monkeypatch.setattr(SqlRows, "move", full_after_the_first)
        raise NoSpace("The disk is full.")

    move, asked = SqlRows.move, list[SqlRows]()

    async def full_after_the_first(rows: SqlRows) -> Any:
        asked.append(rows)
        if len(asked) > 1:
            raise NoSpace("The disk is full.")
        return await move(rows)

    drivebay(tmp_path, "migrations", "upgrade")
    monkeypatch.setattr(SqlRows, "filled", full)
    result = drivebay(tmp_path, "move-metadata", "--to", "sqlite:///new.db")
    assert (result.code, result.errors) == (1, "drivebay: The disk is full.\n")


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    drivebay(tmp_path, "migrations", "upgrade")
    for arguments, text in [
        ((), "--to: not given."),
        (("--to", "nowhere"), "--to: the file that it names can't be read: No such file"),
        (("--to", "oracle://a"), "--to: oracle is not known. Allowed: sqlite:///"),
        (("--to", "sqlite:///data/drivebay.db"), "--to: it is the database of the settings."),
        (("--to", "sqlite:///no/folder.db"), "--to: there is no folder"),
        (("--to", "postgresql://a:b@127.0.0.1:1/c"), "--to: PostgreSQL can't be reached"),
    ]:
        result = drivebay(tmp_path, "move-metadata", *arguments)
        assert (result.code, result.out) == (2, "")
        assert result.errors.startswith(f"drivebay: {text}")
    result = drivebay(tmp_path, "move-metadata", "--to", "sqlite:///new.db", settings={"STORAGE": "memory"})
    assert result.errors.startswith("drivebay: STORAGE: with memory there are no rows to move.")
