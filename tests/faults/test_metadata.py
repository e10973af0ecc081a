"""Units of work and readers on PostgreSQL and MariaDB, when the connection to the server fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.database import Database
from adapters.sql.servers import engine
from adapters.sql.tables import BLOBS
from domain.blob import BlobId
from domain.errors import Kind
from domain.precondition import ANY, CREATE_ONLY
from tests.contracts.blob_store import refused
from tests.contracts.leftovers import no_task_left
from tests.contracts.metadata import LONG, blob, draft_of, outcomes, put
from tests.faults.databases import DEADLINE, IMPATIENT, Mariadb, Postgresql, Server
from tests.proxy import Proxy, Way

STATEMENT = b"INSERT INTO blobs"
SOUGHT = b"sought"
COMMIT = None  # it has other words on each server
Moment = Callable[[Server, Proxy, Callable[[], None]], asyncio.Event]


def before(pattern: bytes | None) -> Moment:
    return lambda server, proxy, do: proxy.before(pattern or server.commit, do)


def answering(pattern: bytes | None) -> Moment:
    return lambda server, proxy, do: proxy.answering(pattern or server.commit, do)


async def is_there(metadata: SqlMetadata, blob_id: str) -> bool:
    [found] = await outcomes(metadata.blobs.get(BlobId(blob_id)))
    assert found is Kind.NOT_FOUND or not isinstance(found, Kind | Exception), found
    return found is not Kind.NOT_FOUND


async def put_with(fault: Callable[[], asyncio.Event], metadata: SqlMetadata, blob_id: str) -> None:
    """Put a blob in a unit that is hit by a fault, which is set up when the unit has its connection."""
    async with metadata() as work:
        hit = fault()
        try:
            await work.blobs.put(draft_of(blob(blob_id)), CREATE_ONLY)
            await work.commit()
        finally:
            assert hit.is_set()


async def use_all(database: Database, connections: int) -> None:
    """Use so many connections at once."""
    async with AsyncExitStack() as stack:
        for _ in range(connections):
            await stack.enter_async_context(database.transaction())


class FaultsContract:
    """A subclass has a fixture for a `server`."""

    @pytest.fixture(autouse=True)
    async def nothing_under_way(self) -> AsyncIterator[None]:
        async with no_task_left():
            yield

    @pytest.mark.parametrize(
        ("moment", "kind", "happens"),
        [
            (before(STATEMENT), Kind.UNAVAILABLE, False),
            (answering(STATEMENT), Kind.UNAVAILABLE, False),
            (before(COMMIT), Kind.COMMIT_UNKNOWN, False),
            (answering(COMMIT), Kind.COMMIT_UNKNOWN, True),
        ],
        ids=["before a statement", "after a statement", "before the commit", "after the commit"],
    )
    async def test_a_connection_that_is_cut(self, server: Server, moment: Moment, kind: Kind, happens: bool) -> None:
        async with server.behind_a_proxy(connections=1) as (proxy, database):
            metadata = SqlMetadata(database)
            for blob_id, do in (("a", proxy.cut), ("b", proxy.go_down)):  # more often than there are connections
                with refused(kind):
                    await put_with(partial(moment, server, proxy, do), metadata, blob_id)
                await proxy.come_back()
                assert await is_there(metadata, blob_id) is happens
            assert await put(metadata, blob("c"), CREATE_ONLY) is None

    @pytest.mark.parametrize(("moment", "happens"), [(before, False), (answering, True)], ids=["before", "after"])
    async def test_an_upload_whose_statement_is_cut_off(
        self, server: Server, moment: Callable[[bytes], Moment], happens: bool
    ) -> None:
        async with server.behind_a_proxy(connections=1) as (proxy, database):
            metadata = SqlMetadata(database)
            for do in (proxy.cut, proxy.go_down):
                location = blob().location
                hit = moment(location.key.value.encode())(server, proxy, do)
                async with metadata() as work:
                    await work.uploads.add(location, LONG)
                    with refused(Kind.COMMIT_UNKNOWN):
                        await work.commit()
                assert hit.is_set()
                await proxy.come_back()
                assert (location.key in await metadata.named(location.backend, [location.key])) is happens

    @pytest.mark.parametrize(
        ("moment", "kind", "happens"),
        [
            (answering(STATEMENT), Kind.TIMEOUT, False),
            (before(COMMIT), Kind.COMMIT_UNKNOWN, False),
            (answering(COMMIT), Kind.COMMIT_UNKNOWN, True),
        ],
        ids=["after a statement", "before the commit", "after the commit"],
    )
    async def test_a_connection_that_stalls(self, server: Server, moment: Moment, kind: Kind, happens: bool) -> None:
        async with server.behind_a_proxy(connections=1, **IMPATIENT) as (proxy, database):
            metadata = SqlMetadata(database)
            async with asyncio.timeout(DEADLINE):
                with refused(kind):
                    await put_with(partial(moment, server, proxy, proxy.stall), metadata, "a")
            proxy.cut()  # else the commit that is held back would come after all
            proxy.go_on()
            assert await is_there(metadata, "a") is happens
            assert await put(metadata, blob("c"), CREATE_ONLY) is None

    async def test_a_server_that_is_silent_when_a_connection_is_made(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=1, **IMPATIENT) as (proxy, database):
            metadata = SqlMetadata(database)
            proxy.stall()
            for _ in range(2):  # it has a connection that is silent, and then none
                async with asyncio.timeout(DEADLINE):
                    with refused(Kind.TIMEOUT):
                        await put(metadata, blob("a"), CREATE_ONLY)
            proxy.go_on()
            assert await put(metadata, blob("a"), CREATE_ONLY) is None

    @pytest.mark.parametrize("moment", [before(SOUGHT), answering(SOUGHT)], ids=["asked", "answered"])
    async def test_a_reader_that_is_cut_off(self, server: Server, moment: Moment) -> None:
        async with server.behind_a_proxy(connections=1) as (proxy, database):
            metadata = SqlMetadata(database)
            await put(metadata, version := blob(SOUGHT.decode()))
            for do in (proxy.cut, proxy.go_down):
                cut = moment(server, proxy, do)
                with refused(Kind.UNAVAILABLE):
                    await metadata.blobs.get(version.id)
                assert cut.is_set()
                await proxy.come_back()
                assert await metadata.blobs.get(version.id) == version

    async def test_a_reader_that_hears_nothing(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=1, **IMPATIENT) as (proxy, database):
            metadata = SqlMetadata(database)
            await put(metadata, version := blob(SOUGHT.decode()))
            stalled = proxy.answering(SOUGHT, lambda: proxy.stall(Way.TO_CLIENT))
            async with asyncio.timeout(DEADLINE):
                with refused(Kind.TIMEOUT):
                    await metadata.blobs.get(version.id)
            assert stalled.is_set()
            proxy.go_on()
            assert await metadata.blobs.get(version.id) == version

    async def test_a_server_that_is_down(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=2) as (proxy, database):
            metadata = SqlMetadata(database)
            await put(metadata, version := blob("a"))
            proxy.go_down()
            failing = (call for _ in range(3) for call in (put(metadata, blob("b")), metadata.blobs.get(version.id)))
            assert set(await outcomes(*failing)) == {Kind.UNAVAILABLE}
            await proxy.come_back()
            assert await metadata.blobs.get(version.id) == version
            assert await put(metadata, blob("b")) is None

    async def test_a_server_that_is_down_at_the_start(self, server: Server) -> None:
        async with Proxy(server.url) as proxy:
            for do, kind in ((proxy.go_down, Kind.UNAVAILABLE), (proxy.stall, Kind.TIMEOUT)):
                do()
                async with asyncio.timeout(DEADLINE):
                    with refused(kind):
                        await server.database(proxy.url, **IMPATIENT).__aenter__()
                proxy.go_on()
                await proxy.come_back()
            async with SqlMetadata(server.database(proxy.url)) as metadata:
                assert await put(metadata, blob()) is None

    async def test_more_that_give_up_than_there_are_connections(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=1) as (proxy, database):
            metadata = SqlMetadata(database)
            for blob_id in ("gone-1", "gone-2", "gone-3"):
                stalled = proxy.before(blob_id.encode(), proxy.stall)
                giving_up = asyncio.create_task(put(metadata, blob(blob_id)))
                await asyncio.wait_for(stalled.wait(), DEADLINE)
                giving_up.cancel()
                await asyncio.wait({giving_up}, timeout=0.05)
                proxy.go_on()
                with pytest.raises(asyncio.CancelledError):
                    await giving_up
                assert not await is_there(metadata, blob_id)
            assert await put(metadata, blob("a"), CREATE_ONLY) is None

    async def test_what_a_client_had_locked_that_is_never_heard_of_again(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=1, **IMPATIENT) as (proxy, database):
            await put(SqlMetadata(database), blob("a"))
            async with SqlMetadata(database)() as work:
                await work.blobs.put(draft_of(blob("a")), ANY)
                proxy.stall()
                async with SqlMetadata(server.database(server.url)) as other:
                    async with asyncio.timeout(DEADLINE):
                        await put(other, newer := blob("a"))
                    assert await other.blobs.get(newer.id) == newer

    async def test_a_write_that_is_refused_replaces_all_connections(self, server: Server) -> None:
        def write_where_that_is_forbidden(connection: Connection) -> None:
            connection.execute(sa.text("START TRANSACTION READ ONLY"))
            connection.execute(sa.delete(BLOBS))

        async with server.behind_a_proxy(connections=3) as (proxy, database):
            await use_all(database, 3)
            before = proxy.accepted
            async with database.transaction() as transaction:
                with refused(Kind.UNAVAILABLE):
                    await transaction.run(write_where_that_is_forbidden)
            await use_all(database, 3)
            assert proxy.accepted == before + 3

    async def test_requests_of_reads_and_writes(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=1) as (proxy, database):
            metadata = SqlMetadata(database)
            for name in ("a", "b"):  # the first time, statements are prepared
                before, version = proxy.requests, blob(name)
                async with metadata() as work:
                    assert await work.blobs.find(version.id) is None
                    await work.uploads.add(version.location, LONG)
                    await work.commit()
                begun, before = proxy.requests - before, proxy.requests
                async with metadata() as work:
                    assert await work.uploads.remove(version.location.key)
                    await work.blobs.put(draft_of(version), CREATE_ONLY)
                    await work.commit()
                written, before = proxy.requests - before, proxy.requests
                assert await metadata.blobs.get(version.id) == version
                assert await metadata.blobs.get(version.id) == version
                read, before = proxy.requests - before, proxy.requests
                async with metadata() as work:
                    assert await work.blobs.remove(version.id, ANY) == version
                    await work.commit()
                removed = proxy.requests - before
            # a look at the blob, and the upload; BEGIN, the statements, COMMIT; a statement for each read; BEGIN, one
            # statement, COMMIT
            assert (begun, written, read, removed) == (2, server.requests_of_a_write, 2, 3)

    async def test_connections_that_the_server_has_closed_are_replaced(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=3) as (proxy, database):
            for closed in range(3, 9, 3):
                await use_all(database, 3)
                assert proxy.accepted == closed
                proxy.cut()
                await server.ask("SELECT 1")  # until the client has heard of it
                assert not await is_there(SqlMetadata(database), "a")

    async def test_an_idle_connection_that_is_lost_is_replaced(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "IDLE", 0.0)
        async with server.behind_a_proxy(connections=1) as (proxy, database):
            lost = proxy.before(server.ping, proxy.cut)
            assert not await is_there(SqlMetadata(database), "a")
            assert lost.is_set()

    async def test_a_connection_does_not_last_for_ever(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=1, max_age=0) as (proxy, database):
            for _ in range(3):
                before = proxy.accepted
                await use_all(database, 1)
                assert proxy.accepted == before + 1

    async def test_a_slow_connection_is_no_fault(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=1) as (proxy, database):
            metadata = SqlMetadata(database)
            proxy.rate = 10_000
            await put(metadata, version := blob("a"))
            assert await metadata.blobs.get(version.id) == version
            proxy.rate = None


@pytest.mark.docker
class TestPostgresql(FaultsContract):
    @pytest.fixture
    def server(self, postgresql_url: str) -> Server:
        return Postgresql(postgresql_url)


@pytest.mark.docker
class TestMariadb(FaultsContract):
    @pytest.fixture
    def server(self, mariadb_url: str) -> Server:
        return Mariadb(mariadb_url)


# What some port may answer that another service has: greetings, refusals, bytes without a meaning.
WORDS = [
    b"",
    b"220 mail.example ESMTP\r\n",
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.9\r\n",
]
BYTES = [
    bytes(200),
    b"\xff" * 200,
    b"\x05\0\0\0\x0a11.8",
    b"\x01\0\0\0\xff",
    b"\x30\0\0\0\x0a11.8.2-MariaDB\0\1\0\0\0saltsalt\0" + b"\xff" * 30,
]


@pytest.mark.parametrize(
    ("url", "nonsense"),
    [
        *(("postgresql://u:p@{}/d", nonsense) for nonsense in WORDS + BYTES),
        # Not the others: its driver takes a length below 4 for the begin of an endless message.
        *(("postgresql://u:p@{}/d?sslmode=disable", nonsense) for nonsense in WORDS),
        *(("mariadb://u:p@{}/d", nonsense) for nonsense in WORDS + BYTES),
    ],
)
async def test_another_service(url: str, nonsense: bytes) -> None:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(nonsense)
        writer.close()

    make = Mariadb(url).database if url.startswith("mariadb") else Postgresql(url).database
    async with no_task_left(), await asyncio.start_server(say, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with refused(Kind.UNAVAILABLE):
            await make(url.format(host)).__aenter__()
