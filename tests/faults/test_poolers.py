"""PgBouncer between Drivebay and PostgreSQL. What the metadata promises by way of it, tests/contracts holds."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase
from domain.errors import BlobError, Kind
from tests.backends import postgresql
from tests.backends.pgbouncer import Pgbouncer
from tests.contracts.blob_store import refused
from tests.contracts.metadata import blob
from tests.faults.databases import IMPATIENT, PATIENCE, Postgresql
from tests.faults.test_standbys import expect_refusal, port_of, writes_and_reads
from tests.proxy import Proxy

pytestmark = pytest.mark.docker
AT_ONCE = 8


@pytest.fixture
def server(pgbouncer_server: Pgbouncer) -> Iterator[Postgresql]:
    """An empty database, by the URL that leads past the pooler."""
    with postgresql.database(pgbouncer_server.server) as url:
        yield Postgresql(url)


async def sessions(url: str, query: str) -> set[Any]:
    """Return what a query returns in each of several sessions of the pooler."""
    connections = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(AT_ONCE)]
    try:
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(in_transaction(connection, query)) for connection in connections]
        return {answer.result() for answer in answers}
    finally:
        for connection in connections:
            await connection.close()


async def in_transaction(connection: asyncpg.Connection, query: str) -> Any:
    async with connection.transaction():
        return await connection.fetchval(query)


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("parameters", ["", "?pgbouncer=true", "?application_name=drivebay"])
async def test_it_serves(pgbouncer_server: Pgbouncer, server: Postgresql, mode: str, parameters: str) -> None:
    url = f"{getattr(pgbouncer_server, mode)}/{server.name}"
    async with server.database(f"{url}{parameters}") as one, server.database(f"{url}{parameters}") as another:
        for number in range(AT_ONCE):
            for database in (one, another):
                assert await writes_and_reads(database, f"{number}") == {None}
    assert await sessions(url, "SHOW idle_in_transaction_session_timeout") == {"0"}
    assert await sessions(url, "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == {0}


async def test_a_transaction_without_a_sign_of_life_is_ended(pgbouncer_server: Pgbouncer, server: Postgresql) -> None:
    url = f"{pgbouncer_server.transaction}/{server.name}"
    async with SqlMetadata(PostgresqlDatabase(PostgresqlConfig(url, **IMPATIENT))) as metadata, metadata() as work:
        await work.uploads.remove(blob().location.key)
        for _ in range(int(PATIENCE / 0.05)):
            if not await pgbouncer_server.held(server.name):
                break
            await asyncio.sleep(0.05)
        assert await pgbouncer_server.held(server.name) == []
        with refused(Kind.UNAVAILABLE):
            await work.uploads.remove(blob().location.key)


async def test_a_server_that_takes_no_writes_is_refused(pgbouncer_server: Pgbouncer, server: Postgresql) -> None:
    await server.ask(f"ALTER DATABASE {server.name} SET default_transaction_read_only = on")
    await expect_refusal(server.database(f"{pgbouncer_server.transaction}/{server.name}"))


async def test_a_pooler_may_take_the_place_of_the_server(pgbouncer_server: Pgbouncer, server: Postgresql) -> None:
    async with Proxy(server.url) as proxy, server.database(proxy.url) as database:
        assert await writes_and_reads(database, "a") == {None}
        proxy.lead_to(port_of(pgbouncer_server.transaction))
        proxy.cut()
        for number in range(AT_ONCE):
            assert await writes_and_reads(database, f"b{number}") == {None}


async def test_a_password_that_it_refuses(pgbouncer_server: Pgbouncer, server: Postgresql) -> None:
    url = f"{pgbouncer_server.transaction}/{server.name}".replace("of%20the%20tests", "wrong")
    with pytest.raises(BlobError, match=r"PostgreSQL can't be used: .*check the user and the password") as caught:
        await server.database(url).__aenter__()
    assert caught.value.kind is Kind.UNAVAILABLE
