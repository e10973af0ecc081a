"""The file of SQLite when it is missing, or moved or replaced at the worst moments."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy import Connection

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql import migrations
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.sqlite.file import SqliteFile
from adapters.sql.sqlite.unit import Unit
from adapters.sql.sqlite.writer import Writer
from application.ports.schema import Opening
from domain.errors import BlobError, CommitUnknown, Kind, Unavailable
from domain.precondition import CREATE_ONLY
from tests.contracts.blob_store import refused
from tests.contracts.metadata import blob, draft_of, put

SUFFIXES = ("", "-wal", "-shm")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(SqliteConfig(path)) as database:
        yield database


def names(path: Path) -> list[str]:
    """Those of the files beside it, and its own."""
    return [each.name for each in path.parent.iterdir()]


def move(path: Path) -> None:
    path.rename(path.with_name("away.db"))


def replace(path: Path) -> None:
    back_up(path, path.with_name("other.db"))
    path.with_name("other.db").replace(path)


def back_up(path: Path, target: Path) -> None:
    with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(target)) as backup:
        database.backup(backup)


@pytest.fixture(params=[move, replace])
def lose(request: pytest.FixtureRequest, path: Path) -> Callable[[], None]:
    return lambda: request.param(path)


async def test_a_read(database: SqliteDatabase, lose: Callable[[], None]) -> None:
    metadata = SqlMetadata(database)
    await put(metadata, blob("a"))
    lose()
    for _ in range(2):
        with pytest.raises(BlobError, match="was moved or replaced") as caught:
            await metadata.blobs.get(blob("a").id)
        assert caught.value.kind is Kind.UNAVAILABLE


async def test_a_transaction_that_begins(database: SqliteDatabase, lose: Callable[[], None]) -> None:
    lose()
    async with SqlMetadata(database)() as work:
        with refused(Kind.UNAVAILABLE):
            await work.blobs.put(draft_of(blob("a")), CREATE_ONLY)
        with refused(Kind.UNAVAILABLE):
            await work.commit()


async def test_a_transaction_that_is_to_be_committed(database: SqliteDatabase, lose: Callable[[], None]) -> None:
    async with SqlMetadata(database)() as work:
        await work.blobs.put(draft_of(blob("a")), CREATE_ONLY)
        lose()
        with refused(Kind.UNAVAILABLE):  # and not COMMIT_UNKNOWN
            await work.commit()


async def test_a_commit_in_progress_is_unknown(database: SqliteDatabase, lose: Callable[[], None]) -> None:
    execute = Writer.execute

    def lose_it_now(writer: Writer, statement: str) -> None:
        if statement == "COMMIT":
            lose()
        execute(writer, statement)

    async with SqlMetadata(database)() as work:
        await work.blobs.put(draft_of(blob("a")), CREATE_ONLY)
        with (
            mock.patch.object(Writer, "execute", lose_it_now),
            pytest.raises(CommitUnknown, match=r" \(sqlite\)$"),
        ):
            await work.commit()


async def test_the_same_file_may_come_back(database: SqliteDatabase, path: Path) -> None:
    metadata = SqlMetadata(database)
    move(path)
    with refused(Kind.UNAVAILABLE):
        await put(metadata, blob("a"))
    path.with_name("away.db").rename(path)
    await put(metadata, version := blob("a"))
    assert await metadata.blobs.get(version.id) == version


async def test_a_file_in_its_place_is_not_mixed_with_its_log(path: Path) -> None:
    """A backup is put in the place of the file only, and its log stays where it is."""
    async with SqlMetadata(SqliteDatabase(SqliteConfig(path))) as metadata:
        await put(metadata, blob("in both"))
        back_up(path, path.with_name("backup.db"))
        await put(metadata, later := blob("later"))
        move(path)
        path.with_name("backup.db").rename(path)
    async with SqlMetadata(SqliteDatabase(SqliteConfig(path))) as metadata:
        with refused(Kind.NOT_FOUND):
            await metadata.blobs.get(later.id)
    async with SqlMetadata(SqliteDatabase(SqliteConfig(path.with_name("away.db")))) as metadata:
        assert await metadata.blobs.get(later.id) == later


async def test_the_log_of_a_file_in_its_place_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path.with_name("other.db"))) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE t (n)")
        async with SqliteDatabase(SqliteConfig(path)):
            for suffix in SUFFIXES:
                path.with_name(f"rows.db{suffix}").rename(path.with_name(f"away.db{suffix}"))
            for suffix in SUFFIXES:
                shutil.copy(path.with_name(f"other.db{suffix}"), path.with_name(f"rows.db{suffix}"))
    with closing(sqlite3.connect(path)) as restored:
        assert restored.execute("SELECT count(*) FROM t").fetchone() == (0,)


async def test_no_file_is_created_where_one_is_required(path: Path) -> None:
    with pytest.raises(BlobError, match=r"There is no database .*rows\.db\. If it was moved, put it back"):
        await SqliteDatabase(SqliteConfig(path, opening=Opening.REQUIRE)).__aenter__()
    assert names(path) == []


async def test_no_file_is_created_by_an_inspection(path: Path) -> None:
    async with SqliteDatabase(SqliteConfig(path, opening=Opening.INSPECT)) as database:
        assert await database.read(migrations.revision) is None
    assert names(path) == []


async def test_a_path_may_have_any_characters(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=memory#%41ä.db"
    async with SqlMetadata(SqliteDatabase(SqliteConfig(path))) as metadata:
        await put(metadata, blob())
    assert names(path) == [path.name]


def test_only_the_first_connection_of_a_start_may_create_it(path: Path) -> None:
    file = SqliteFile(path, Opening.MIGRATE)
    assert file.address.endswith("?mode=rwc")
    path.touch()
    file.record_identity()
    assert file.address.endswith("?mode=rw")
    assert SqliteFile(path, Opening.REQUIRE).address.endswith("?mode=rw")


def test_its_log_is_written_again_as_it_is(path: Path) -> None:
    log = path.with_name(f"{path.name}-wal")
    file = SqliteFile(path, Opening.MIGRATE)
    with refused(Kind.UNAVAILABLE):
        file.rewrite_log()
    data = os.urandom(2_500_000)
    log.write_bytes(data)
    os.utime(log, (0, 0))
    file.rewrite_log()
    assert log.stat().st_mtime > 0
    assert log.read_bytes() == data


@pytest.mark.parametrize("quick", [True, False])
async def test_a_transaction_that_outlives_the_database_ends(path: Path, *, quick: bool) -> None:
    """Transactions that wait for it end too: its commit would never come."""
    async with SqliteDatabase(SqliteConfig(path)) as database:
        first = Unit(database._writer, quick=quick, durable=True)
        await (await first.__aenter__()).run(_note)
        second = asyncio.create_task(_commit(database))
        await asyncio.sleep(0)
    with refused(Kind.UNAVAILABLE):
        await first.commit()
    await first.__aexit__(None, None, None)
    with refused(Kind.UNAVAILABLE):
        await second
    with refused(Kind.UNAVAILABLE):
        await _commit(database)
    async with SqliteDatabase(SqliteConfig(path)) as again:
        assert await again.read(_notes) == 0


async def test_a_group_that_waits_for_a_transaction_ends_with_the_database(path: Path) -> None:
    async with SqliteDatabase(SqliteConfig(path)) as database:
        first = Unit(database._writer, quick=True, durable=True)
        await (await first.__aenter__()).run(_note)
        others = [asyncio.create_task(_commit(database)) for _ in range(2)]
        await asyncio.sleep(0)
        committing = asyncio.create_task(first.commit())
        await asyncio.sleep(0)
    assert {type(each) for each in await asyncio.gather(committing, *others, return_exceptions=True)} <= {
        type(None),
        Unavailable,
    }


async def _commit(database: SqliteDatabase) -> None:
    async with database.transaction(quick=True) as transaction:
        await transaction.run(_note)
        await transaction.commit()


def _note(connection: Connection) -> None:
    row = "hex(randomblob(8)), 'fs', 0, 0"
    connection.exec_driver_sql(f"INSERT INTO unused_objects (object_key, backend, due_at, deletes) VALUES ({row})")  # noqa: S608


def _notes(connection: Connection) -> int:
    count: int = connection.exec_driver_sql("SELECT count(*) FROM unused_objects").scalar_one()
    return count
