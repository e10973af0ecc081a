"""An address that leads to a server that takes no writes for a while, and then to the primary again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import make_url

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.servers.engine import EngineDatabase
from adapters.sql.servers.mariadb import MariadbConfig
from adapters.sql.servers.postgresql import PostgresqlConfig
from adapters.storage.memory import MemoryBlobStore
from application.blobs.changes.delete import DeleteBlob
from application.stores import Stores
from domain.access import EVERYTHING
from domain.errors import BlobError, Kind
from tests.backends import mariadb, postgresql
from tests.backends.mariadb import on_mariadb
from tests.backends.postgresql import Pair
from tests.backends.run import Backends
from tests.contracts.blob_store import each, refused
from tests.contracts.metadata import blob, location, outcomes, put
from tests.faults.databases import PATIENCE, Mariadb, Postgresql
from tests.integration.drive import ID, Drive, Time, new_blob, with_uploads
from tests.proxy import Proxy

CONNECTIONS = 3
COMMIT = "SELECT pg_logical_emit_message(true, '', '')"  # a transaction that adds to the log, and changes no table


async def writes_and_reads(database: EngineDatabase, blob_id: str) -> set[object]:
    """What comes of more of them at once than there are connections."""
    metadata = SqlMetadata(database)
    several = range(CONNECTIONS + 1)
    wrote = await outcomes(*(put(metadata, blob(f"{blob_id}-{number}")) for number in several))
    read = await outcomes(*(metadata.blobs.get(blob(f"{blob_id}-{number}").id) for number in several))
    return {outcome if isinstance(outcome, Kind | Exception) else None for outcome in wrote + read}


async def expect_refusal(database: EngineDatabase) -> None:
    with pytest.raises(BlobError, match=r"standby, or read-only\. Use the server that takes writes") as caught:
        await database.__aenter__()
    assert caught.value.kind is Kind.UNAVAILABLE


@pytest.mark.docker
class TestPostgresql:
    @pytest.fixture
    def primary(self, postgresql_pair: Pair) -> Iterator[Postgresql]:
        with postgresql.database(postgresql_pair.primary) as url:
            yield Postgresql(url)

    async def test_a_standby_that_the_address_leads_to_for_a_while(
        self, primary: Postgresql, postgresql_pair: Pair
    ) -> None:
        standby = Postgresql(f"{postgresql_pair.standby}/{primary.name}")
        async with primary.behind_a_proxy(connections=CONNECTIONS) as (proxy, database):
            assert await writes_and_reads(database, "a") == {None}
            await self.wait_for(standby)
            proxy.lead_to(port_of(standby.url))
            proxy.cut()
            assert await writes_and_reads(database, "b") == {Kind.UNAVAILABLE}
            await expect_refusal(standby.database(proxy.url))
            proxy.lead_to(port_of(primary.url))  # and nothing is cut: connections to the standby would stay
            assert await writes_and_reads(database, "c") == {None}

    async def wait_for(self, standby: Postgresql) -> None:
        """Wait until it has the database."""
        there = f"SELECT 1 FROM pg_database WHERE datname = '{standby.name}'"  # noqa: S608 - our own name
        for _ in range(int(PATIENCE / 0.05)):
            if await standby.ask(there):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the standby does not follow")

    async def test_a_primary_that_takes_no_writes(self, postgresql_url: str) -> None:
        server = Postgresql(postgresql_url)
        await server.ask(f"ALTER DATABASE {server.name} SET default_transaction_read_only = on")
        await expect_refusal(server.database(server.url))

    @pytest.fixture
    def server(self, backends: Backends) -> Iterator[Postgresql]:
        """A server for this test only, because its setting of standbys holds for all of its databases."""
        containers = backends.containers()
        try:
            yield Postgresql(f"{postgresql.start(containers)}/postgres")
        finally:
            containers.stop()

    async def test_changes_that_no_synchronous_standby_has_are_not_acknowledged(self, server: Postgresql) -> None:
        async def lose_the_standby() -> AsyncIterator[bytes]:
            yield b"new"
            await self.require_standby(server, "nobody")

        async with SqlMetadata(server.database(server.url, command_timeout=2)) as metadata:
            drive = Drive(metadata, Stores("memory", {"memory": MemoryBlobStore()}), Time())
            store, delete = with_uploads(drive.store, waits=[]), DeleteBlob(metadata, waits=[])
            with refused(Kind.COMMIT_UNKNOWN):
                await store(EVERYTHING, new_blob(ID, lose_the_standby()))
            assert await drive.get() == b"new"
            with refused(Kind.COMMIT_UNKNOWN):
                await delete(EVERYTHING, ID)
            with refused(Kind.NOT_FOUND):
                await drive.get()
            with refused(Kind.COMMIT_UNKNOWN):  # although it is gone
                await delete(EVERYTHING, ID)
            await self.require_standby(server, "")
            await store(EVERYTHING, new_blob(ID, each([b"newer"])))
            await delete(EVERYTHING, ID)

    async def test_commits_whose_wait_for_a_standby_an_operator_ends_are_not_acknowledged(
        self, server: Postgresql
    ) -> None:
        """PostgreSQL responds as to any commit, after a warning."""

        async def lose_the_standby() -> AsyncIterator[bytes]:
            yield b"new"
            await self.require_standby(server, "nobody")

        async def reserve() -> None:
            async with metadata() as work:
                await work.uploads.add(location(), timedelta(hours=1))
                await work.commit()

        async with SqlMetadata(server.database(server.url)) as metadata:
            drive = Drive(metadata, Stores("memory", {"memory": MemoryBlobStore()}), Time())
            store, delete = with_uploads(drive.store, waits=[]), DeleteBlob(metadata, waits=[])
            for change in (
                store(EVERYTHING, new_blob(ID, lose_the_standby())),
                delete(EVERYTHING, ID),
                reserve(),  # one statement, without BEGIN and COMMIT
            ):
                ending = asyncio.create_task(self.end_waits(server))
                try:
                    with refused(Kind.COMMIT_UNKNOWN):
                        await change
                finally:
                    ending.cancel()
                    await asyncio.wait({ending})
            await self.require_standby(server, "")
            await store(EVERYTHING, new_blob(ID, each([b"newer"])))
            await delete(EVERYTHING, ID)

    async def end_waits(self, server: Postgresql) -> None:
        """Cancel the commits of clients that wait for a standby, as an operator does."""
        client = f"wait_event = 'SyncRep' AND query NOT LIKE '{COMMIT[:30]}%'"
        while True:
            await server.ask(f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {client}")  # noqa: S608
            await asyncio.sleep(0.05)

    async def require_standby(self, server: Postgresql, name: str) -> None:
        """Let commits wait for a standby of this name, from now on. Without a name, they wait for none."""
        await server.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        await server.ask("SELECT pg_reload_conf()")
        if not name:
            await server.ask(COMMIT)  # which waits until the setting applies
            return

        async def commit() -> None:
            while True:
                await server.ask(COMMIT)

        committing = asyncio.create_task(commit())
        try:
            for _ in range(int(PATIENCE / 0.05)):
                if await server.ask("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"):
                    return
                await asyncio.sleep(0.05)
            raise AssertionError("no commit waits for a standby")
        finally:
            committing.cancel()
            await asyncio.wait({committing})


@pytest.mark.docker
class TestMariadb:
    @pytest.fixture
    def server(self, backends: Backends) -> Iterator[str]:
        """One for this test only: it is read-only for all."""
        containers = backends.containers()
        try:
            yield mariadb.start(containers)
        finally:
            containers.stop()

    async def test_a_server_that_takes_no_writes_for_a_while(self, server: str) -> None:
        await on_mariadb(server, "CREATE USER u IDENTIFIED BY 'p'", "GRANT ALL ON drivebay.* TO u")
        operator = Mariadb(f"{server}/drivebay")
        users = Mariadb(f"mariadb://u:p@{server.partition('@')[2]}/drivebay")
        async with Proxy(users.url) as proxy, users.database(proxy.url, connections=CONNECTIONS) as database:
            assert await writes_and_reads(database, "a") == {None}
            await on_mariadb(server, "SET GLOBAL read_only = 1")
            with refused(Kind.UNAVAILABLE):
                await put(SqlMetadata(database), blob("b"))
            assert await writes_and_reads(database, "c") == {Kind.UNAVAILABLE}
            for each in (users, operator):  # who could write there, but should not
                await expect_refusal(each.database(each.url))
            await on_mariadb(server, "SET GLOBAL read_only = 0")
            assert await writes_and_reads(database, "d") == {None}


def port_of(url: str) -> int:
    port = make_url(url).port
    assert port is not None
    return port


@pytest.mark.parametrize("config", [PostgresqlConfig, MariadbConfig])
def test_an_address_is_looked_up_again_within_minutes(config: type[PostgresqlConfig | MariadbConfig]) -> None:
    assert 0 < config("").max_age <= 600
