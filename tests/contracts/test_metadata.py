"""The metadata adapters, each under the contract, and what only some of them promise."""

import asyncio
import re
import secrets
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from unittest import mock

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql.blobs import blobs, prefixes
from adapters.metadata.sql.rows import listing
from adapters.metadata.sql.unit_of_work import SqlMetadata, SqlUnitOfWork
from adapters.sql import migrations
from adapters.sql.database import Database
from adapters.sql.dialects import insert_and_return, insert_or_ignore
from adapters.sql.servers.mariadb import MariadbConfig, MariadbDatabase
from adapters.sql.servers.postgresql import MIGRATION_LOCK, PostgresqlConfig, PostgresqlDatabase
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.sqlite.writer import Writer
from adapters.sql.tables import BLOBS, CHUNKS, METADATA, STORAGES, DatabaseNow, time_of
from adapters.storage.database import DatabaseBlobStore
from adapters.storage.memory import MemoryBlobStore
from application.ports.blob_store import BlobStore
from application.ports.metadata import DATABASE
from application.ports.schema import Opening
from domain.blob import BlobId, Digest, Location, ObjectKey, Segment
from domain.errors import BlobError, CommitUnknown, Kind, Unavailable
from domain.precondition import ANY, CREATE_ONLY
from tests import many_blobs
from tests.backends import mariadb
from tests.backends.mariadb import on_mariadb
from tests.backends.pgbouncer import Pgbouncer
from tests.backends.postgresql import as_operator, held
from tests.backends.run import Backends
from tests.contracts.blob_store import pattern, refused
from tests.contracts.metadata import (
    LONG,
    NOW,
    Metadata,
    MetadataContract,
    add_object,
    blob,
    draft_of,
    in_a_unit,
    know,
    outcomes,
    placed,
    publish,
    put,
    storage,
    swap,
)
from tests.ids import NASTY

POLLS = 300
ROWS = METADATA.sorted_tables


class TestMemory(MetadataContract):
    @pytest.fixture
    def metadata(self) -> Metadata:
        return MemoryMetadata()

    async def now(self, metadata: Metadata) -> datetime:
        assert isinstance(metadata, MemoryMetadata)
        return metadata.now()

    async def rows(self, metadata: Metadata) -> list[str]:
        assert isinstance(metadata, MemoryMetadata)
        rows = metadata.rows
        return [repr(getattr(rows, each.name)) for each in fields(rows) if each.name != "trash_keys"]

    def store(self, metadata: Metadata) -> BlobStore:
        assert isinstance(metadata, MemoryMetadata)
        return MemoryBlobStore(objects=metadata.rows.objects)


class DatabaseContract(MetadataContract):
    """What SQL databases promise beyond. A subclass has fixtures for a `database`, not entered, and `another` on it.

    And for one that `may_have_tables`, but without rows; and for one that is `requiring` the tables, on the `database`.
    """

    @pytest.fixture
    async def metadata(self, may_have_tables: Database) -> AsyncIterator[Metadata]:
        self.tables = may_have_tables
        async with SqlMetadata(may_have_tables) as metadata:
            yield metadata
            async with may_have_tables.transaction() as transaction:
                for table in ROWS:
                    await transaction.run(_delete_all, table)
                await transaction.commit()

    async def rows(self, metadata: Metadata) -> list[str]:
        def all_of(connection: Connection, table: sa.Table) -> list[str]:
            return [repr(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]

        return [row for table in ROWS for row in await self.tables.read(all_of, table)]

    def store(self, metadata: Metadata) -> BlobStore:
        return DatabaseBlobStore(self.tables)

    async def now(self, metadata: Metadata) -> datetime:
        def select(connection: Connection) -> int:
            return connection.scalars(sa.select(DatabaseNow())).one()

        return time_of(await self.tables.read(select))

    @pytest.mark.parametrize(
        ("backend", "size", "stored", "is_together"),
        [
            *((DATABASE, size, size, True) for size in (0, 1, 64 * 1024)),
            (DATABASE, 64 * 1024 + 1, 64 * 1024 + 1, False),
            (DATABASE, 10, 9, False),  # damaged
            (DATABASE, 0, None, False),  # missing
            ("fs", 10, 10, False),
        ],
    )
    async def test_a_small_blob_is_read_with_its_bytes(
        self, metadata: Metadata, backend: str, size: int, stored: int | None, is_together: bool
    ) -> None:
        assert isinstance(metadata, SqlMetadata)
        key = ObjectKey.random()
        if stored is not None:
            assert await add_object(metadata, key, pattern(stored))
        version = placed(blob(size=size), Location(backend, key))
        assert await metadata.find_with_bytes(version.id) is None
        await put(metadata, version)
        for _ in range(2):
            assert await metadata.find_with_bytes(version.id) == (version, pattern(size) if is_together else None)

    async def test_many_processes_may_set_it_up_at_once(self, database: Database, another: "list[Database]") -> None:
        together = [database, *another]
        await asyncio.gather(*(each.__aenter__() for each in together))
        try:
            for each in together:
                assert await each.read(migrations.revision) == migrations.HEAD
        finally:
            await asyncio.gather(*(each.__aexit__() for each in together))

    async def test_the_migrations_make_the_tables_of_the_code(self, database: Database) -> None:
        def differences(connection: Connection) -> object:
            return compare_metadata(MigrationContext.configure(connection), METADATA)

        async with database:
            assert await database.read(differences) == []

    async def test_what_is_stored_outlives_the_connection(self, database: Database, another: "list[Database]") -> None:
        version = blob()
        async with SqlMetadata(database) as metadata:
            await put(metadata, version)
        async with SqlMetadata(another[0]) as metadata:
            assert await metadata.blobs.get(version.id) == version

    async def test_ids_sort_by_their_bytes(self, database: Database) -> None:
        def ids(connection: Connection) -> list[str]:
            return list(connection.scalars(sa.select(BLOBS.c.id).order_by(BLOBS.c.id)))

        async with SqlMetadata(database) as metadata:
            for blob_id in NASTY:
                await put(metadata, blob(blob_id))
            assert await database.read(ids) == sorted(NASTY, key=str.encode)

    async def test_tables_that_are_required_are_not_made(self, requiring: Database, database: Database) -> None:
        with pytest.raises(BlobError, match=r"has no tables, not those of revision .*put it back") as caught:
            await requiring.__aenter__()
        assert (caught.value.kind, caught.value.backend) == (Kind.UNAVAILABLE, self.backend)
        async with database:
            pass
        async with requiring:
            assert await requiring.read(migrations.revision) == migrations.HEAD

    async def test_the_database_names_itself_in_every_error(self, database: Database) -> None:
        """Raise sites leave that to it."""

        def refuse(_: Connection) -> None:
            raise Unavailable("not now")

        async with database, database.transaction() as transaction:
            for run in (database.read, transaction.run):
                with pytest.raises(Unavailable, match=rf"^unavailable: not now \({self.backend}\)$"):
                    await run(refuse)

    backend: str
    analyze: str
    explain: str
    reads_more: str  # a pattern: so a plan shows that more is read than is returned

    async def test_a_list_reads_no_more_than_it_returns(self, database: Database) -> None:
        """Not the table, not its index from the beginning on, and not all behind the start, to sort them."""

        def plan(connection: Connection, select: Callable[..., Sequence[object]], *args: object) -> str:
            statements: list[tuple[str, Any]] = []

            def note(_: Connection, __: object, statement: str, parameters: Any, *___: object) -> None:
                statements.append((statement, parameters))

            sa.event.listen(connection, "before_cursor_execute", note)
            assert len(select(connection, *args)) == 10
            sa.event.remove(connection, "before_cursor_execute", note)
            assert len(statements) <= 10
            explained = (
                connection.exec_driver_sql(f"{self.explain} {statement}", values) for statement, values in statements
            )
            return "\n".join(" ".join(map(str, row)) for rows in explained for row in rows)

        def plans(connection: Connection) -> list[str]:
            many_blobs.insert(connection, range(20_000), lambda number: f"{number % 20:02}/{number}")
            connection.execute(sa.text(self.analyze))
            between = plan(connection, listing.between, "05", "18", 10)
            return [between, plan(connection, listing.rolled_up, "05", "18", 10, "", "/")]

        async with database, database.transaction() as transaction:
            for found in await transaction.run(plans):
                assert "blobs" in found
                assert not re.search(self.reads_more, found), found

    async def test_tables_of_a_newer_version_are_left_alone(
        self, database: Database, another: "list[Database]"
    ) -> None:
        def from_the_future(connection: Connection) -> None:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

        async with database, database.transaction() as transaction:
            await transaction.run(from_the_future)
            await transaction.commit()
        with pytest.raises(BlobError, match=rf"revision 9999.*Install the newer one\. \({self.backend}\)$"):
            await another[0].__aenter__()

    async def test_an_epoch_is_due_when_the_clock_was_set_back(self, database: Database) -> None:
        def set_back(connection: Connection) -> None:
            connection.execute(sa.update(STORAGES).values(advanced_at=DatabaseNow() + 60_000_000))

        known, new = storage(interval=LONG), storage(interval=LONG)
        async with SqlMetadata(database) as metadata:
            await know(metadata, known)
            async with database.transaction() as transaction:
                await transaction.run(set_back)
                await transaction.commit()
            assert await swap(metadata, known, new, if_due=True)
            assert not await swap(metadata, new, known, if_due=True)

    async def test_the_time_is_utc(self, database: Database) -> None:
        async with database:
            now = await database.read(lambda connection: connection.scalars(sa.select(DatabaseNow())).one())
        assert abs(now / 1e6 - time.time()) < 60

    async def test_the_largest_size(self, database: Database) -> None:
        async with SqlMetadata(database) as metadata:
            version = blob(size=2**62)
            await put(metadata, version)
            assert await metadata.blobs.get(version.id) == version

    async def test_one_segment_of_a_content_starts_at_a_byte(self, database: Database) -> None:
        async with SqlMetadata(database) as metadata:
            first, second = (Segment(blob().location, 0, 12, Digest(bytes(32))) for _ in range(2))
            content = ObjectKey.random()
            await in_a_unit(metadata, lambda work: work.contents.add(content, [first]))
            with pytest.raises(sa.exc.IntegrityError) as caught:
                await in_a_unit(metadata, lambda work: work.contents.add(content, [second]))
        expect_hidden(caught.value, "INSERT INTO segments", content.value, second.location.key.value)

    async def test_a_refused_row_is_not_shown(self, database: Database) -> None:
        async with SqlMetadata(database) as metadata:
            absent = cast("str", None)
            version = blob("an-id", content_type=absent)
            with pytest.raises(sa.exc.DBAPIError) as caught:
                await put(metadata, version)
        expect_hidden(caught.value, "INSERT INTO blobs", version.id.value, version.location.key.value)


def expect_hidden(error: sa.exc.DBAPIError, statement: str, *values: str) -> None:
    """An error shows its statement, and none of the values."""
    shown = "".join(traceback.format_exception(error))
    assert statement in shown
    for value in values:
        assert value not in shown


def _delete_all(connection: Connection, table: sa.Table) -> None:
    connection.execute(sa.delete(table))


class TestSqlite(DatabaseContract):
    backend = "sqlite"
    analyze = "ANALYZE"
    explain = "EXPLAIN QUERY PLAN"
    reads_more = r"SCAN blobs|\(id<|\(id>.*\n.*TEMP B-TREE"

    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        return SqliteDatabase(SqliteConfig(tmp_path / "metadata.db"))

    @pytest.fixture
    def may_have_tables(self, database: Database) -> Database:
        return database

    @pytest.fixture
    def another(self, tmp_path: Path) -> list[Database]:
        return [SqliteDatabase(SqliteConfig(tmp_path / "metadata.db")) for _ in range(7)]

    @pytest.fixture
    def requiring(self, tmp_path: Path) -> Database:
        (tmp_path / "metadata.db").touch()
        return SqliteDatabase(SqliteConfig(tmp_path / "metadata.db", opening=Opening.REQUIRE))

    async def test_every_commit_is_on_the_disk(self, database: Database) -> None:
        def pragmas(connection: Connection) -> list[object]:
            return [connection.scalar(sa.text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")]

        full = ["wal", 2]
        async with database, database.transaction() as transaction:
            assert await transaction.run(pragmas) == full
            assert await database.read(pragmas) == full

    async def test_readers_do_not_wait_for_a_writer_nor_write(self, database: Database) -> None:
        async with SqlMetadata(database) as metadata:
            old, new = blob(size=1), blob(size=2)
            await put(metadata, old)
            async with metadata() as work:
                await work.uploads.add(new.location, LONG)
                assert await asyncio.gather(*(metadata.blobs.get(old.id) for _ in range(20))) == [old] * 20

            def write(connection: Connection) -> None:
                connection.execute(sa.text("DELETE FROM blobs"))

            with refused(Kind.UNAVAILABLE):  # "attempt to write a readonly database"
                await database.read(write)

    async def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "metadata.db").write_bytes(b"this is no database, and is left as it is" * 100)
        with pytest.raises(BlobError, match=r"metadata\.db can't be used: file is not a database"):
            await SqliteDatabase(SqliteConfig(tmp_path / "metadata.db")).__aenter__()
        assert (tmp_path / "metadata.db").read_bytes().startswith(b"this is no database")

    async def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BlobError, match=rf"There is no folder {tmp_path}/missing\. Create it"):
            await SqliteDatabase(SqliteConfig(tmp_path / "missing" / "metadata.db")).__aenter__()

    async def test_a_writer_that_waits_too_long_times_out(self, tmp_path: Path) -> None:
        async with SqliteDatabase(SqliteConfig(tmp_path / "metadata.db", timeout=0.05)) as database:
            metadata = SqlMetadata(database)
            async with metadata() as work:
                await work.uploads.add(blob().location, LONG)
                with refused(Kind.TIMEOUT):  # in this process
                    await put(metadata, blob())
                with refused(Kind.TIMEOUT):  # in another
                    async with SqliteDatabase(SqliteConfig(tmp_path / "metadata.db", timeout=0.05)) as other:
                        await put(SqlMetadata(other), blob())
            await put(metadata, blob())

    async def test_a_fault_just_behind_its_begin_leaves_no_transaction_open(
        self, tmp_path: Path, database: Database
    ) -> None:
        execute = Writer.execute

        def fail(writer: Writer, statement: str) -> None:
            execute(writer, statement)
            if statement == "BEGIN IMMEDIATE":
                raise ZeroDivisionError

        async with database:
            with mock.patch.object(Writer, "execute", fail), pytest.raises(ZeroDivisionError):
                await put(SqlMetadata(database), blob())
            async with SqliteDatabase(SqliteConfig(tmp_path / "metadata.db", timeout=1)) as other:
                await put(SqlMetadata(other), blob())


class ServerContract(DatabaseContract):
    """Promises of databases in which several units write at once."""

    async def test_a_refused_commit_names_the_database(self, database: Database) -> None:
        def fail(connection: Connection) -> None:
            connection.execute(sa.text("SELECT nothing"))

        async with database, database.transaction() as transaction:
            with pytest.raises(sa.exc.DBAPIError):
                await transaction.run(fail)
            with pytest.raises(Unavailable, match=rf"a statement in it failed\. \({self.backend}\)$"):
                await transaction.commit()

    async def test_a_blob_is_not_older_than_the_deletion_that_its_insert_waited_for(
        self, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its id is free when it is looked for, then in use and read for a second, and deleted."""
        removing: list[asyncio.Task[datetime]] = []

        async def remove_after_a_second(removable: asyncio.Event) -> datetime:
            async with metadata() as work:
                await work.blobs.remove(BlobId("k5"), ANY)
                removable.set()
                for _ in range(POLLS):
                    known = await metadata.blobs.get(BlobId("k5"))
                    if known.has_strong_date:
                        break
                    await asyncio.sleep(0.02)
                await work.commit()
                return known.last_modified

        async def another_is_first() -> None:
            monkeypatch.undo()
            await put(metadata, blob(), CREATE_ONLY)
            removing.append(asyncio.create_task(remove_after_a_second(removable := asyncio.Event())))
            await removable.wait()

        def insert_later(*args: Any) -> Any:
            await_only(another_is_first())
            return insert_and_return(*args)

        monkeypatch.setattr(blobs, "insert_and_return", insert_later)
        inserted = (await publish(metadata, version := blob())).blob
        [known] = await asyncio.gather(*removing)
        assert inserted.unchanged_since > known
        stored = await metadata.blobs.get(version.id)
        assert (stored, stored.created_at) == (version, inserted.created_at)

    @pytest.mark.parametrize("waits_for", ["source", "target"])
    async def test_a_moved_blob_is_not_older_than_the_deletion_that_its_move_waited_for(
        self, metadata: Metadata, monkeypatch: pytest.MonkeyPatch, waits_for: str
    ) -> None:
        """Its new id is free when it is looked for, then in use and read for a second, and deleted."""
        source, target = BlobId("a/k5"), BlobId("b/k5")
        await put(metadata, blob(source.value))
        busy: list[asyncio.Task[datetime]] = []

        async def use_for_a_second(may_move: asyncio.Event) -> datetime:
            async with metadata() as source_unit, metadata() as target_unit:
                if waits_for == "source":
                    await source_unit.blobs.lock(source, ANY)
                else:
                    await target_unit.blobs.remove(target, ANY)
                may_move.set()
                for _ in range(POLLS):
                    known = await metadata.blobs.get(target)
                    if known.has_strong_date:
                        break
                    await asyncio.sleep(0.02)
                if waits_for == "source":
                    await target_unit.blobs.remove(target, ANY)
                await target_unit.commit()
                return known.last_modified

        async def another_is_first() -> None:
            await put(metadata, blob(target.value), CREATE_ONLY)
            busy.append(asyncio.create_task(use_for_a_second(may_move := asyncio.Event())))
            await may_move.wait()

        def check_earlier(*args: Any) -> None:
            check_targets(*args)
            await_only(another_is_first())

        check_targets = prefixes._check_targets
        monkeypatch.setattr(prefixes, "_check_targets", check_earlier)
        assert await in_a_unit(metadata, lambda work: work.blobs.move_between("a/", "a0", "a/", "b/")) == 1
        [known] = await asyncio.gather(*busy)
        moved = await metadata.blobs.get(target)
        assert moved.sole
        assert moved.unchanged_since > known


@pytest.mark.docker
class TestPostgresql(ServerContract):
    backend = "postgresql"
    analyze = "ANALYZE blobs"
    explain = "EXPLAIN"
    reads_more = r"on blobs.*\n(?!\s*Index Cond)|Sort Key: id"

    @pytest.fixture
    async def database(self, postgresql_url: str, postgresql_server: str) -> AsyncIterator[Database]:
        yield PostgresqlDatabase(PostgresqlConfig(postgresql_url))
        await self.expect_none_open(postgresql_server, postgresql_url)

    @pytest.fixture
    async def may_have_tables(self, class_postgresql_url: str, postgresql_server: str) -> AsyncIterator[Database]:
        yield PostgresqlDatabase(PostgresqlConfig(class_postgresql_url))
        await self.expect_none_open(postgresql_server, class_postgresql_url)

    async def expect_none_open(self, server: str, url: str) -> None:
        assert await held(server, name_of(url), idle=True) == [], "a connection is still open"

    @pytest.fixture
    def another(self, postgresql_url: str) -> list[Database]:
        return [PostgresqlDatabase(PostgresqlConfig(postgresql_url)) for _ in range(7)]

    @pytest.fixture
    def requiring(self, postgresql_url: str) -> Database:
        return PostgresqlDatabase(PostgresqlConfig(postgresql_url, opening=Opening.REQUIRE))

    async def test_a_commit_whose_answer_is_lost_is_unknown(
        self, database: Database, postgresql_url: str, postgresql_server: str
    ) -> None:
        terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
        async with SqlMetadata(database) as metadata:
            async with metadata() as work:
                await work.blobs.put(draft_of(blob()), CREATE_ONLY)
                await as_operator(postgresql_server, terminate.format(postgresql_url.rpartition("/")[2]))
                with pytest.raises(CommitUnknown, match=rf" \({self.backend}\)$"):
                    await work.commit()
            # The next unit finds a connection that works.
            assert await put(metadata, blob(), CREATE_ONLY) is None

    async def test_a_cancellation_does_not_split_a_slow_commit(
        self, database: Database, postgresql_url: str, postgresql_server: str
    ) -> None:
        name = postgresql_url.rpartition("/")[2]
        for setting in ("commit_delay = 50000", "commit_siblings = 0"):  # microseconds before the sync of a commit
            await as_operator(postgresql_server, f"ALTER DATABASE {name} SET {setting}")
        async with SqlMetadata(database) as metadata:
            await self.test_a_cancellation_does_not_split_a_commit(metadata)

    async def test_a_migration_may_take_longer_than_other_statements(self, postgresql_url: str) -> None:
        database = PostgresqlDatabase(PostgresqlConfig(postgresql_url, command_timeout=1))
        waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        waiting += " WHERE NOT granted AND datname = current_database()"
        other = await asyncpg.connect(postgresql_url)
        try:
            async with other.transaction():
                await other.execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
                migrating = asyncio.create_task(database.__aenter__())
                for _ in range(POLLS):
                    if await other.fetchval(waiting):
                        break
                    await asyncio.sleep(0.02)
                assert await other.fetchval(waiting) == 1
                await asyncio.sleep(1.5)  # longer than the limit of other statements
            await migrating
        finally:
            await other.close()
        async with SqlMetadata(database):
            assert await database.read(migrations.revision) == migrations.HEAD
            with refused(Kind.TIMEOUT):
                await database.read(lambda connection: connection.execute(sa.text("SELECT pg_sleep(1.5)")))

    async def test_the_isolation_does_not_depend_on_the_defaults(
        self, database: Database, postgresql_url: str, postgresql_server: str
    ) -> None:
        setting = "default_transaction_isolation = 'repeatable read'"
        await as_operator(postgresql_server, f"ALTER DATABASE {name_of(postgresql_url)} SET {setting}")
        async with SqlMetadata(database), database.transaction() as transaction:
            level = await transaction.run(lambda connection: connection.scalar(sa.text("SHOW transaction_isolation")))
        assert level == "read committed"

    async def test_another_encoding_is_refused(self, postgresql_server: str) -> None:
        name = f"latin_{secrets.token_hex(4)}"
        create = f"CREATE DATABASE {name} ENCODING LATIN1 LOCALE 'C' TEMPLATE template0"
        await as_operator(postgresql_server, create)
        try:
            with pytest.raises(BlobError, match=r"encoding LATIN1\. Create one with ENCODING 'UTF8'"):
                await PostgresqlDatabase(PostgresqlConfig(f"{postgresql_server}/{name}")).__aenter__()
        finally:
            await as_operator(postgresql_server, f"DROP DATABASE {name}")

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (("of%20the%20tests", "wrong"), "password authentication failed"),
            (("postgres:", "nobody:"), "password authentication failed"),
            (("/drivebay_", "/nothing_"), 'database "nothing_.*" does not exist'),
        ],
    )
    async def test_a_database_that_lets_nobody_in(self, postgresql_url: str, change: tuple[str, str], why: str) -> None:
        url = postgresql_url.replace(*change)
        with pytest.raises(BlobError, match=why) as caught:
            await PostgresqlDatabase(PostgresqlConfig(url)).__aenter__()
        assert caught.value.kind is Kind.UNAVAILABLE


@pytest.mark.docker
class TestPgbouncer(ServerContract):
    """PostgreSQL behind a pooler by transaction. Both modes: tests/faults/test_poolers.py."""

    backend = "postgresql"
    analyze = TestPostgresql.analyze
    explain = TestPostgresql.explain
    reads_more = TestPostgresql.reads_more

    @pytest.fixture
    async def database(self, pgbouncer_url: str, pgbouncer_server: Pgbouncer) -> AsyncIterator[Database]:
        yield PostgresqlDatabase(PostgresqlConfig(pgbouncer_url))
        assert await pgbouncer_server.held(name_of(pgbouncer_url)) == []

    @pytest.fixture
    async def may_have_tables(self, class_pgbouncer_url: str, pgbouncer_server: Pgbouncer) -> AsyncIterator[Database]:
        yield PostgresqlDatabase(PostgresqlConfig(class_pgbouncer_url))
        assert await pgbouncer_server.held(name_of(class_pgbouncer_url)) == []

    @pytest.fixture
    def another(self, pgbouncer_url: str) -> list[Database]:
        return [PostgresqlDatabase(PostgresqlConfig(pgbouncer_url)) for _ in range(7)]

    @pytest.fixture
    def requiring(self, pgbouncer_url: str) -> Database:
        return PostgresqlDatabase(PostgresqlConfig(pgbouncer_url, opening=Opening.REQUIRE))


class TestUnreachablePostgresql:
    async def test_one_that_is_not_there(self) -> None:
        with pytest.raises(BlobError, match="can't be reached") as caught:
            await PostgresqlDatabase(PostgresqlConfig("postgresql://u:p@127.0.0.1:1/d")).__aenter__()
        assert caught.value.kind is Kind.UNAVAILABLE

    async def test_one_that_does_not_answer(self) -> None:
        async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await closing.wait()
            writer.close()

        closing = asyncio.Event()
        async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            config = PostgresqlConfig(f"postgresql://u:p@127.0.0.1:{port}/d", connect_timeout=0.1)
            with refused(Kind.TIMEOUT):
                await PostgresqlDatabase(config).__aenter__()
            closing.set()


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


@pytest.mark.docker
class TestSettingsOfMariadb:
    """On a server of its own: other tests run at the same time, and a global setting is for all connections."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, backends: Backends) -> Iterator[str]:
        containers = backends.containers()
        try:
            yield mariadb.start(containers)
        finally:
            containers.stop()

    @pytest.fixture
    def url(self, server: str) -> Iterator[str]:
        with mariadb.database(server) as url:
            yield url

    async def test_the_servers_defaults_do_not_matter(self, server: str, url: str) -> None:
        engines = f"SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema = '{name_of(url)}'"  # noqa: S608
        [[sql_mode]] = await on_mariadb(server, "SELECT @@GLOBAL.sql_mode")
        await on_mariadb(server, "SET GLOBAL default_storage_engine = Aria, sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'")
        try:
            async with SqlMetadata(MariadbDatabase(MariadbConfig(url))) as metadata:
                await MetadataContract().test_ids_are_compared_by_their_bytes(metadata)
        finally:
            await on_mariadb(server, f"SET GLOBAL default_storage_engine = InnoDB, sql_mode = '{sql_mode}'")
        assert await on_mariadb(server, engines) == [("InnoDB",)]

    async def test_a_server_that_takes_no_chunk_is_refused(self, server: str, url: str) -> None:
        await on_mariadb(server, "SET GLOBAL max_allowed_packet = 1048576")
        try:
            with pytest.raises(BlobError, match=r"max_allowed_packet is 1,048,576 bytes\. Set it to 4,194,304 or more"):
                await MariadbDatabase(MariadbConfig(url)).__aenter__()
        finally:
            await on_mariadb(server, "SET GLOBAL max_allowed_packet = 16777216")


@pytest.mark.docker
class TestMariadb(ServerContract):
    backend = "mariadb"
    analyze = "ANALYZE TABLE blobs"
    explain = "EXPLAIN"
    reads_more = r" blobs (?!range )|filesort"

    @pytest.fixture
    async def database(self, mariadb_url: str, mariadb_server: str) -> AsyncIterator[Database]:
        yield MariadbDatabase(MariadbConfig(mariadb_url))
        await self.expect_none_open(mariadb_server, mariadb_url)

    @pytest.fixture
    async def may_have_tables(self, class_mariadb_url: str, mariadb_server: str) -> AsyncIterator[Database]:
        yield MariadbDatabase(MariadbConfig(class_mariadb_url))
        await self.expect_none_open(mariadb_server, class_mariadb_url)

    async def expect_none_open(self, server: str, url: str) -> None:
        left = f"SELECT command, info FROM information_schema.processlist WHERE db = '{name_of(url)}'"  # noqa: S608
        for _ in range(100):  # the server takes a moment to notice that one was closed
            if not (open_ones := await on_mariadb(server, left)):
                break
            await asyncio.sleep(0.05)
        assert open_ones == [], "a connection is still open"

    @pytest.fixture
    def another(self, mariadb_url: str) -> list[Database]:
        return [MariadbDatabase(MariadbConfig(mariadb_url)) for _ in range(7)]

    @pytest.fixture
    def requiring(self, mariadb_url: str) -> Database:
        return MariadbDatabase(MariadbConfig(mariadb_url, opening=Opening.REQUIRE))

    async def test_a_start_that_was_killed_half_way_can_be_repeated(self, database: Database, mariadb_url: str) -> None:
        class Killed(Exception): ...

        def kill_after(statements: int) -> Callable[..., None]:
            left = iter(range(statements))

            def count(_: Connection, __: object, statement: str, *___: object) -> None:
                if statement.lstrip().startswith(("CREATE", "ALTER", "INSERT", "UPDATE")) and next(left, None) is None:
                    raise Killed

            return count

        for statements in range(30):  # more than there are
            kill = kill_after(statements)
            sa.event.listen(sa.Engine, "before_cursor_execute", kill)
            try:
                async with MariadbDatabase(MariadbConfig(mariadb_url)):
                    break
            except Killed:
                pass
            finally:
                sa.event.remove(sa.Engine, "before_cursor_execute", kill)
        assert 5 < statements < 29
        await self.test_the_migrations_make_the_tables_of_the_code(database)

    async def kill(self, server: str, url: str) -> None:
        """End all connections to the database."""
        ids = f"SELECT id FROM information_schema.processlist WHERE db = '{name_of(url)}'"  # noqa: S608
        for [number] in await on_mariadb(server, ids):
            await on_mariadb(server, f"KILL CONNECTION {number}")

    async def test_a_commit_whose_answer_is_lost_is_unknown(
        self, database: Database, mariadb_url: str, mariadb_server: str
    ) -> None:
        async with SqlMetadata(database) as metadata:
            async with metadata() as work:
                await work.blobs.put(draft_of(blob()), CREATE_ONLY)
                await self.kill(mariadb_server, mariadb_url)
                with pytest.raises(CommitUnknown, match=rf" \({self.backend}\)$"):
                    await work.commit()
            # The next unit finds a connection that works.
            assert await put(metadata, blob(), CREATE_ONLY) is None

    async def test_a_unit_whose_connection_is_lost_leaves_room_for_others(
        self, mariadb_url: str, mariadb_server: str
    ) -> None:
        config = MariadbConfig(mariadb_url, connections=1, pool_timeout=5)
        async with SqlMetadata(MariadbDatabase(config)) as metadata:
            for _ in range(3):
                async with metadata() as work:
                    await work.blobs.put(draft_of(blob()), CREATE_ONLY)
                    await self.kill(mariadb_server, mariadb_url)
                async with metadata() as work:
                    await work.blobs.put(draft_of(blob("b")), ANY)
                    await self.kill(mariadb_server, mariadb_url)
                    with refused(Kind.UNAVAILABLE):
                        await work.blobs.put(draft_of(blob()), CREATE_ONLY)
            assert await put(metadata, blob(), CREATE_ONLY) is None

    async def test_a_lock_is_waited_for_and_not_for_ever(self, mariadb_url: str) -> None:
        async with SqlMetadata(MariadbDatabase(MariadbConfig(mariadb_url, command_timeout=2))) as metadata:
            await put(metadata, first := blob("a"))
            async with metadata() as work, metadata() as other:
                await work.blobs.put(draft_of(blob("a")), ANY)
                await other.blobs.put(draft_of(blob("b")), ANY)
                with pytest.raises(BlobError, match="Lock wait timeout exceeded") as caught:
                    await other.blobs.put(draft_of(blob("a")), ANY)
                assert caught.value.kind is Kind.TIMEOUT
                with refused(Kind.UNAVAILABLE):  # the server took back that one statement alone
                    await other.commit()
            with refused(Kind.NOT_FOUND):
                await metadata.blobs.get(BlobId("b"))
            assert await metadata.blobs.get(first.id) == first

    async def test_a_deadlock_rolls_back_one_of_two(self, metadata: Metadata) -> None:
        async def both(first: str, second: str, mine: asyncio.Event, theirs: asyncio.Event) -> None:
            async with metadata() as work:
                await work.blobs.put(draft_of(blob(first, content_type=first)), ANY)
                mine.set()
                await theirs.wait()
                try:
                    await work.blobs.put(draft_of(blob(second, content_type=first)), ANY)
                finally:
                    await work.commit()  # as one might who takes a fault lightly

        for blob_id in "ab":
            await put(metadata, blob(blob_id))
        events = asyncio.Event(), asyncio.Event()
        ended = await outcomes(both("a", "b", *events), both("b", "a", *reversed(events)))
        assert sorted(map(str, ended)) == [str(Kind.UNAVAILABLE), str(None)]
        winner = "ab"[ended.index(None)]
        assert {(await metadata.blobs.get(BlobId(blob_id))).properties.content_type for blob_id in "ab"} == {winner}

    async def test_two_who_lost_a_race_do_not_lock_each_other_out(self, database: Database) -> None:
        row = {"object_key": "k", "seq": 0, "data": b""}

        def look(connection: Connection) -> object:
            return connection.scalar(sa.select(CHUNKS.c.seq).where(CHUNKS.c.object_key == "k").with_for_update())

        async def lose() -> object:
            async with database.transaction() as transaction:
                assert not await transaction.run(insert_or_ignore, CHUNKS, row)
                return await transaction.run(look)

        async with database:
            async with database.transaction() as winner:
                assert await winner.run(insert_or_ignore, CHUNKS, row)
                losers = [asyncio.create_task(lose()) for _ in range(3)]
                await asyncio.wait(losers, timeout=0.5)  # until they wait for the winner
                await winner.commit()
            assert await asyncio.gather(*losers) == [0, 0, 0]

    async def test_a_query_that_is_given_up_does_not_answer_the_next(self, mariadb_url: str) -> None:
        def sleep(connection: Connection) -> object:
            return connection.scalar(sa.text("SELECT SLEEP(30), 'late'"))

        def seven(connection: Connection) -> object:
            return connection.scalar(sa.text("SELECT 7"))

        config = MariadbConfig(mariadb_url, connections=1, command_timeout=3)
        async with MariadbDatabase(config) as database:
            for _ in range(3):
                reading = asyncio.create_task(database.read(sleep))
                await asyncio.wait({reading}, timeout=0.1)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
                assert await database.read(seven) == 7
            with refused(Kind.TIMEOUT):
                await database.read(sleep)
            assert await database.read(seven) == 7

    async def test_a_lease_that_stays_as_it_is_was_renewed(self, database: Database) -> None:
        def stop_the_clock(connection: Connection) -> None:
            connection.execute(sa.text("SET timestamp = 1700000000"))

        async with database, database.transaction() as transaction:
            await transaction.run(stop_the_clock)
            work = SqlUnitOfWork(transaction)
            await work.uploads.add(upload := blob().location, LONG)
            assert await work.uploads.renew(upload.key, LONG)

    async def test_the_sessions_zone_does_not_matter(self, database: Database) -> None:
        def now(connection: Connection) -> int:
            return connection.scalars(sa.select(DatabaseNow())).one()

        def move(connection: Connection) -> None:
            connection.execute(sa.text("SET time_zone = '+11:00'"))

        async with database, database.transaction() as transaction:
            before = await transaction.run(now)
            await transaction.run(move)
            assert before < await transaction.run(now) < before + 60_000_000

    async def test_nothing_is_cut_off_and_no_name_is_taken_for_another(self, database: Database) -> None:
        async with SqlMetadata(database) as metadata:
            with pytest.raises(sa.exc.DataError):
                await put(metadata, blob(content_type="x" * 100_000))
            await self.discard(metadata, NOW, "fs")
            for name in ("FS", "fs ", "fś"):
                assert await self.claim(metadata, name) == []

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (("of%20the%20tests", "wrong"), r"Access denied for user 'root'@.*\. Check the user and the password\."),
            (("root:", "nobody:"), r"Access denied for user 'nobody'@.*\. Check the user and the password\."),
            (("/drivebay_", "/nothing_"), r"Unknown database 'nothing_.*'\. Create it, or set the name of another\."),
        ],
    )
    async def test_a_database_that_lets_nobody_in(self, mariadb_url: str, change: tuple[str, str], why: str) -> None:
        url = mariadb_url.replace(*change)
        with pytest.raises(
            BlobError, match=rf"^unavailable: MariaDB can't be used: {why} \(mariadb connect\)$"
        ) as caught:
            await MariadbDatabase(MariadbConfig(url)).__aenter__()
        assert caught.value.kind is Kind.UNAVAILABLE

    async def test_a_user_who_may_not_make_tables(self, mariadb_url: str, mariadb_server: str) -> None:
        user = name_of(mariadb_url)
        grants = f"CREATE USER {user} IDENTIFIED BY 'p'", f"GRANT SELECT ON {user}.* TO {user}"
        await on_mariadb(mariadb_server, *grants)
        try:
            url = mariadb_url.replace("root:of%20the%20tests", f"{user}:p")
            with pytest.raises(BlobError, match="CREATE command denied to user") as caught:
                await MariadbDatabase(MariadbConfig(url)).__aenter__()
            assert caught.value.kind is Kind.UNAVAILABLE
        finally:
            await on_mariadb(mariadb_server, f"DROP USER {user}")


class TestUnreachableMariadb:
    async def test_one_that_is_not_there(self) -> None:
        with pytest.raises(BlobError, match=r"MariaDB can't be reached: .*Connect call failed") as caught:
            await MariadbDatabase(MariadbConfig("mariadb://u:p@127.0.0.1:1/d")).__aenter__()
        assert caught.value.kind is Kind.UNAVAILABLE

    async def test_one_that_does_not_answer(self) -> None:
        async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await closing.wait()
            writer.close()

        closing = asyncio.Event()
        async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            config = MariadbConfig(f"mariadb://u:p@127.0.0.1:{port}/d", connect_timeout=0.1)
            with refused(Kind.TIMEOUT):
                await MariadbDatabase(config).__aenter__()
            closing.set()

    async def test_mysql_is_not_taken_for_it(self) -> None:
        greeting = b"\x0a8.4.0\0" + b"\1\0\0\0" + b"saltsalt\0" + b"\xff\xff\x2d\2\0\xff\xff\x15" + b"\0" * 10
        greeting += b"saltsaltsalt\0mysql_native_password\0"

        async def speak_mysql(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
            while header := await reader.read(4):
                await reader.readexactly(int.from_bytes(header[:3], "little"))
                writer.write(b"\7\0\0" + bytes([header[3] + 1]) + b"\0\0\0\2\0\0\0")  # OK
            writer.close()
            await writer.wait_closed()
            hung_up.set()

        hung_up = asyncio.Event()
        async with await asyncio.start_server(speak_mysql, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(BlobError, match=r"not MariaDB, but 8\.4\.0\. Only MariaDB"):
                await MariadbDatabase(MariadbConfig(f"mariadb://u:p@127.0.0.1:{port}/d")).__aenter__()
            await hung_up.wait()
