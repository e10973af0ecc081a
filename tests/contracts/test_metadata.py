"""The metadata adapters, each under the contract, and what only some of them promise."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from adapters.metadata.memory import MemoryMetadata
from adapters.metadata.sql import SqlMetadata
from adapters.sql import migrations
from adapters.sql.database import Database
from adapters.sql.mariadb import MariadbConfig, MariadbDatabase
from adapters.sql.postgresql import PostgresqlConfig, PostgresqlDatabase
from adapters.sql.sqlite import SqliteConfig, SqliteDatabase
from adapters.sql.tables import BLOBS, METADATA
from domain.errors import DriveError, Kind
from domain.precondition import CREATE_ONLY
from tests.backends import as_operator
from tests.contracts.blob_store import refused
from tests.contracts.metadata import LONG, Metadata, MetadataContract, blob, put
from tests.ids import NASTY
from tests.mariadb import on_mariadb


class TestMemory(MetadataContract):
    @pytest.fixture
    def metadata(self) -> Metadata:
        return MemoryMetadata()


class DatabaseContract(MetadataContract):
    """What SQL databases promise beyond. A subclass has fixtures for a `database`, not entered, and `another` on it."""

    @pytest.fixture
    async def metadata(self, database: Database) -> AsyncIterator[Metadata]:
        async with SqlMetadata(database) as metadata:
            yield metadata

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

    async def test_tables_of_a_newer_version_are_left_alone(
        self, database: Database, another: "list[Database]"
    ) -> None:
        def from_the_future(connection: Connection) -> None:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

        async with database, database.transaction() as transaction:
            await transaction.run(from_the_future)
            await transaction.commit()
        with pytest.raises(DriveError, match=r"revision 9999.*Install the newer one"):
            await another[0].__aenter__()


class TestSqlite(DatabaseContract):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        return SqliteDatabase(SqliteConfig(tmp_path / "metadata.db"))

    @pytest.fixture
    def another(self, tmp_path: Path) -> list[Database]:
        return [SqliteDatabase(SqliteConfig(tmp_path / "metadata.db")) for _ in range(7)]

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
        with pytest.raises(DriveError, match=r"metadata\.db can't be used: file is not a database"):
            await SqliteDatabase(SqliteConfig(tmp_path / "metadata.db")).__aenter__()
        assert (tmp_path / "metadata.db").read_bytes().startswith(b"this is no database")

    async def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DriveError, match=rf"There is no folder {tmp_path}/missing\. Create it"):
            await SqliteDatabase(SqliteConfig(tmp_path / "missing" / "metadata.db")).__aenter__()

    async def test_a_writer_that_waits_too_long_is_told(self, tmp_path: Path) -> None:
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


@pytest.mark.docker
class TestPostgresql(DatabaseContract):
    @pytest.fixture
    async def database(self, postgresql_url: str, postgresql_server: str) -> AsyncIterator[Database]:
        yield PostgresqlDatabase(PostgresqlConfig(postgresql_url))
        name = postgresql_url.rpartition("/")[2]
        left = f"SELECT state, query FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 - our own name
        assert await as_operator(postgresql_server, left) == [], "a connection is still open"

    @pytest.fixture
    def another(self, postgresql_url: str) -> list[Database]:
        return [PostgresqlDatabase(PostgresqlConfig(postgresql_url)) for _ in range(7)]

    async def test_a_commit_whose_answer_is_lost_is_unknown(
        self, database: Database, postgresql_url: str, postgresql_server: str
    ) -> None:
        terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
        async with SqlMetadata(database) as metadata:
            async with metadata() as work:
                await work.blobs.put(blob(), CREATE_ONLY)
                await as_operator(postgresql_server, terminate.format(postgresql_url.rpartition("/")[2]))
                with refused(Kind.COMMIT_UNKNOWN):
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

    async def test_another_encoding_is_refused(self, postgresql_server: str) -> None:
        name = f"latin_{secrets.token_hex(4)}"
        create = f"CREATE DATABASE {name} ENCODING LATIN1 LOCALE 'C' TEMPLATE template0"
        await as_operator(postgresql_server, create)
        try:
            with pytest.raises(DriveError, match=r"encoding LATIN1\. Create one with ENCODING 'UTF8'"):
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
        with pytest.raises(DriveError, match=why) as caught:
            await PostgresqlDatabase(PostgresqlConfig(url)).__aenter__()
        assert caught.value.kind is Kind.UNAVAILABLE


class TestUnreachablePostgresql:
    async def test_one_that_is_not_there(self) -> None:
        with pytest.raises(DriveError, match="can't be reached") as caught:
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
class TestMariadb(DatabaseContract):
    @pytest.fixture
    async def database(self, mariadb_url: str, mariadb_server: str) -> AsyncIterator[Database]:
        yield MariadbDatabase(MariadbConfig(mariadb_url))
        left = f"SELECT command, info FROM information_schema.processlist WHERE db = '{name_of(mariadb_url)}'"  # noqa: S608
        assert await on_mariadb(mariadb_server, left) == [], "a connection is still open"

    @pytest.fixture
    def another(self, mariadb_url: str) -> list[Database]:
        return [MariadbDatabase(MariadbConfig(mariadb_url)) for _ in range(7)]
