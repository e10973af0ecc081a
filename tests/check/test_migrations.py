"""`drivebay migrations` on each database: what it prints, what it does, and what its statements make."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import alembic.command
import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql import migrations
from adapters.sql.tables import METADATA
from application.ports.metadata import Garbage
from domain.properties import Properties
from tests import migrated
from tests.backends import mariadb, postgresql
from tests.backends.run import Backends
from tests.check.command import drivebay
from tests.contracts import buckets, shares
from tests.contracts.contents import (
    SOME,
    add_segmented,
    begin,
    part,
    put_part,
    segmented,
    segments_of,
    upload_to,
    with_checksums,
)
from tests.contracts.keys import add, key
from tests.contracts.metadata import LONG, blob, in_a_unit, location, put, throw_away
from tests.contracts.resumable import finish
from tests.contracts.shared_objects import share_part
from tests.verify.tampering import Settings, database_of

pytestmark = pytest.mark.timeout(300)
ALTERED = ("blobs", "trash", "segments", "parts", "multipart_uploads")


@pytest.fixture(autouse=True)
def migrations_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "upgrade", migrated.MIGRATE)


@pytest.fixture(
    params=["SQLite", *(pytest.param(each, marks=pytest.mark.docker) for each in ("PostgreSQL", "MariaDB"))]
)
def empty(request: pytest.FixtureRequest, backends: Backends) -> Iterator[Settings]:
    """The settings of an empty database."""
    if request.param == "SQLite":
        yield {}
        return
    server = {"PostgreSQL": postgresql, "MariaDB": mariadb}[request.param]
    with server.database(backends.address(server.start)) as url:
        yield {"DATABASE_URL": url}


def execute(settings: Settings, folder: Path, *statements: str) -> list[object]:
    """Run statements in the database as it is, and see how its tables differ from those of the code."""

    def in_one(connection: Connection) -> list[object]:
        for statement in statements:
            connection.execute(sa.text(statement))
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    async def run() -> list[object]:
        async with (database := database_of(settings, folder)) as _, database.transaction() as transaction:
            differences = await transaction.run(in_one)
            await transaction.commit()
            return differences

    return asyncio.run(run())


def test_from_nothing_to_the_newest_and_beyond(tmp_path: Path, empty: Settings) -> None:
    result = drivebay(tmp_path, "migrations", "status", settings=empty)
    assert (result.code, result.errors) == (1, "")
    first, *pending = result.out.splitlines()
    assert first.startswith("There are no tables yet. To come,")
    assert [line.split()[0] for line in pending] == [f"{number:04}" for number in range(1, int(migrations.HEAD) + 1)]
    assert not [*tmp_path.iterdir()], "a look makes nothing"

    result = drivebay(tmp_path, "migrations", "upgrade", settings=empty)
    assert (result.code, result.errors) == (0, "")
    new_token, *done = result.out.splitlines()
    assert new_token == f"A new token: {(tmp_path / 'data' / 'token').read_text().strip()}"
    assert done == [*pending, f"The tables have revision {migrations.HEAD} now."]
    newest = f"The tables have revision {migrations.HEAD}, which is the newest.\n"
    for command in ("upgrade", "status"):
        result = drivebay(tmp_path, "migrations", command, settings=empty)
        assert (result.code, result.out) == (0, newest)
    assert execute(empty, tmp_path, "UPDATE alembic_version SET version_num = '0099'") == []
    for command in ("upgrade", "status"):
        result = drivebay(tmp_path, "migrations", command, settings=empty)
        assert (result.code, result.out) == (2, "")
        assert "DATABASE_URL: The tables are of revision 0099, and this Drivebay knows them up to" in result.errors


@pytest.mark.filterwarnings("ignore::pymysql.err.Warning")  # MariaDB warns that it gives primary keys no names
def test_the_statements_make_the_same_tables(tmp_path: Path, empty: Settings) -> None:
    """In two pieces, as after an older Drivebay."""
    all_of_it = drivebay(tmp_path, "migrations", "sql", settings=empty)
    later = drivebay(tmp_path, "migrations", "sql", "--after", "0002", settings=empty)
    assert (all_of_it.code, later.code, all_of_it.errors) == (0, 0, "")
    assert not [*tmp_path.iterdir()]
    assert "0001" in all_of_it.out
    assert "'0002'" in later.out
    assert re.search(r"CREATE TABLE .*\bblobs\b", all_of_it.out)
    assert not re.search(r"CREATE TABLE .*\bblobs\b", later.out)
    early = all_of_it.out[: all_of_it.out.index("-- Running upgrade 0002 -> 0003")]
    run(empty, tmp_path, early)
    run(empty, tmp_path, later.out)
    result = drivebay(tmp_path, "migrations", "status", settings=empty)
    assert (result.code, result.errors) == (0, "")
    assert execute(empty, tmp_path) == []


def run(settings: Settings, folder: Path, script: str) -> None:
    """Run what was written, by other means than Drivebay's."""
    statements = [each.strip() for each in re.sub(r"^--.*$|BEGIN;|COMMIT;", "", script, flags=re.MULTILINE).split(";")]
    if "DATABASE_URL" not in settings:
        (folder / "data").mkdir(exist_ok=True)
        with sqlite3.connect(folder / "data" / "drivebay.db") as connection:
            connection.executescript(script)
        connection.close()
        return
    server, _, name = settings["DATABASE_URL"].rpartition("/")
    if server.startswith("mariadb"):
        asyncio.run(mariadb.on_mariadb(server, f"USE {name}", *filter(None, statements), "COMMIT"))
    else:
        asyncio.run(_on_postgresql(settings["DATABASE_URL"], script if "COMMIT" in script else f"{script} COMMIT;"))


async def _on_postgresql(url: str, script: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


def test_what_was_stored_outlives_a_migration_and_its_reversal(tmp_path: Path, empty: Settings) -> None:
    """Rows as revision 0008 had them.

    Keys are new in 0009, checksums, buckets and long ids in 0010, uploads that have finished in 0011, and objects with
    several names in 0012. A finished upload has no parts, which an older Drivebay expects.
    """

    def reverse(connection: Connection) -> tuple[set[str], set[str]]:
        """Return the tables, and the columns of those that have more now."""
        alembic.command.downgrade(migrations._config(connection=connection), "0008")
        seen = sa.inspect(connection)
        columns = {column["name"] for table in ALTERED for column in seen.get_columns(table)}
        return {*seen.get_table_names()}, columns

    async def check() -> None:
        kept, deleted = with_checksums(blob("kept ☺"), SOME), blob("deleted")
        async with SqlMetadata(database_of(empty, tmp_path)) as metadata:
            await put(metadata, kept)
            await throw_away(metadata, deleted, LONG)
            await add(metadata, key())
            assert await buckets.add(metadata, buckets.bucket()) != [None]
            upload = await begin(metadata, upload_to(properties=Properties("text/plain")))
            await put_part(metadata, upload.key, kept_part := replace(part(1), checksums=SOME))
            await finish(metadata, (finished := await begin(metadata, upload_to())).key)
            segments = segments_of([1, 2])
            await add_segmented(metadata, listed := segmented("listed", segments), segments)
            await in_a_unit(metadata, lambda work: work.garbage.add(Garbage(location()), LONG))
        async with (database := database_of(empty, tmp_path)) as _, database.transaction() as transaction:
            tables, columns = await transaction.run(reverse)
            await transaction.commit()
        assert not tables & {"access_keys", "buckets"}
        assert {"blobs", "trash", "parts", "garbage_objects"} <= tables
        assert not columns & {"owner", "checksums", "written_at", "interruptions", "etag"}
        async with (database := database_of(empty, tmp_path)) as _:
            assert await database.read(migrations.revision) == migrations.HEAD
        async with SqlMetadata(database_of(empty, tmp_path)) as metadata:
            found = await metadata.blobs.get(kept.id)
            assert (found, found.owner, found.checksums) == (kept, "", None)
            assert upload.key == (await metadata.multipart.between("", None, None, 10))[0].key
            assert await metadata.multipart.find_any(finished.key) is None
            [found_part] = await metadata.multipart.parts(upload.key, 0, 10)
            assert (found_part, found_part.checksums, found_part.written_at) == (kept_part, None, None)
            assert await metadata.contents.segments(listed.content.key, 0, 10) == segments
            assert [each.garbage for each in await metadata.backlog()] == [2]  # with the trash
            for number in (2, 3):
                assert (await share_part(metadata, upload.key, number, listed.id, 1)).location == segments[1].location
            assert await buckets.all_buckets(metadata.buckets) == []
            assert await buckets.add(metadata, buckets.bucket(prefix="x" * 2048)) != [None]
            await put(metadata, longest := with_checksums(blob("é" * 1024), SOME))
            assert (await metadata.blobs.get(longest.id)).checksums == SOME
            await begin(metadata, upload_to("é" * 1024))
            await shares.add(metadata, shares.share(ids="é" * 1024))
            await throw_away(metadata, blob("x" * 2048), LONG)
            [trashed, _] = await metadata.trash.between("", 0, None, 10)
            assert (trashed.blob, trashed.blob.owner) == (deleted, "")
            assert await metadata.keys.after("", 10) == []
            await add(metadata, key())
            assert await metadata.keys.find(key().id) == key()

    assert drivebay(tmp_path, "migrations", "upgrade", settings=empty).code == 0
    asyncio.run(check())
    assert execute(empty, tmp_path) == []


def test_older_servers_find_neither_parts_nor_garbage(tmp_path: Path, empty: Settings) -> None:
    """They ignore what is shared, and one that is still running would let objects be deleted that have other names."""

    async def tables() -> set[str]:
        async with (database := database_of(empty, tmp_path)) as _:
            return {*await database.read(lambda connection: sa.inspect(connection).get_table_names())}

    assert drivebay(tmp_path, "migrations", "upgrade", settings=empty).code == 0
    found = asyncio.run(tables())
    assert {"upload_parts", "unused_objects"} <= found
    assert not found & {"parts", "garbage_objects", "garbage"}


def test_a_reversal_with_shared_objects_changes_nothing(tmp_path: Path, empty: Settings) -> None:
    def reverse(connection: Connection) -> None:
        alembic.command.downgrade(migrations._config(connection=connection), "0010")

    async def check() -> None:
        async with SqlMetadata(database_of(empty, tmp_path)) as metadata:
            await put(metadata, source := blob("source"))
            upload = (await begin(metadata, upload_to())).key
            await share_part(metadata, upload, 1, source.id)
        async with (database := database_of(empty, tmp_path)) as _, database.transaction() as transaction:
            with pytest.raises(ValueError, match="shared in upload_parts"):
                await transaction.run(reverse)

    assert drivebay(tmp_path, "migrations", "upgrade", settings=empty).code == 0
    asyncio.run(check())
    assert execute(empty, tmp_path) == []


def test_a_revision_that_is_none(tmp_path: Path) -> None:
    result = drivebay(tmp_path, "migrations", "sql", "--after", "0099")
    assert (result.code, result.out) == (2, "")
    assert "--after: '0099' is not a revision. Choose one of: 0001," in result.errors


def test_memory_has_no_tables(tmp_path: Path) -> None:
    for command in ("status", "upgrade", "sql"):
        result = drivebay(tmp_path, "migrations", command, settings={"STORAGE": "memory"})
        assert (result.code, result.out) == (2, "")
        assert result.errors == "drivebay: STORAGE: with memory there are no tables. Set it to another.\n"
