"""Objects in databases, when the connection to the server fails half-way, or a transaction is rolled back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.database import Database
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.tables import CHUNKS
from adapters.storage.database import CHUNK, DatabaseBlobStore
from domain.blob import ObjectKey
from domain.errors import Kind, RolledBack
from tests.contracts.blob_store import chunked, each, keys, pattern, read, refused
from tests.contracts.leftovers import no_task_left
from tests.faults.databases import DEADLINE, IMPATIENT, Mariadb, Postgresql, Server
from tests.proxy import Proxy, Way

LARGE = pattern(4 * CHUNK)
FAULTS: dict[str, Callable[[Server, Proxy, Callable[[], None]], asyncio.Event]] = {
    "in a chunk": lambda server, proxy, do: proxy.after(2 * CHUNK, Way.TO_SERVER, do),
    "before a commit": lambda server, proxy, do: proxy.before(server.commit, do),
    "after a commit": lambda server, proxy, do: proxy.answering(server.commit, do),
}


async def rows(database: Database) -> int:
    def count(connection: Connection) -> int:
        return connection.scalars(sa.select(sa.func.count()).select_from(CHUNKS)).one()

    return await database.read(count)


class FaultsContract:
    """A subclass has a fixture for a `server`."""

    @pytest.fixture(autouse=True)
    async def nothing_under_way(self) -> AsyncIterator[None]:
        async with no_task_left():
            yield

    @pytest.mark.parametrize("moment", FAULTS)
    async def test_a_put_that_is_cut_off(self, server: Server, moment: str) -> None:
        async with server.behind_a_proxy(connections=1) as (proxy, database):
            store = DatabaseBlobStore(database)
            for do in (proxy.cut, proxy.go_down):
                key = ObjectKey.random()
                cut = FAULTS[moment](server, proxy, do)
                with refused(Kind.UNAVAILABLE):
                    await store.put(key, chunked(LARGE))
                assert cut.is_set()
                await proxy.come_back()
                if do == proxy.cut:  # it could clear up at once
                    assert await rows(database) == 0
                await store.delete(key)
                assert await rows(database) == 0
            await store.put(key, chunked(LARGE))
            assert await read(store, key) == LARGE

    @pytest.mark.parametrize("moment", ["in a chunk", "after a commit"])
    async def test_a_put_that_stalls(self, server: Server, moment: str) -> None:
        async with server.behind_a_proxy(connections=1, **IMPATIENT) as (proxy, database):
            store = DatabaseBlobStore(database)
            key = ObjectKey.random()
            stalled = FAULTS[moment](server, proxy, proxy.stall)
            async with asyncio.timeout(DEADLINE):
                with refused(Kind.TIMEOUT if moment == "in a chunk" else Kind.UNAVAILABLE):
                    await store.put(key, chunked(LARGE))
            assert stalled.is_set()
            proxy.cut()
            proxy.go_on()
            await store.delete(key)
            assert await rows(database) == 0
            await store.put(key, each([b"x"]))
            assert await read(store, key) == b"x"

    async def test_a_read_that_fails_half_way(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=1, **IMPATIENT) as (proxy, database):
            store = DatabaseBlobStore(database)
            await store.put(key := ObjectKey.random(), chunked(LARGE))
            for do, kind in ((proxy.cut, Kind.UNAVAILABLE), (proxy.stall, Kind.TIMEOUT)):
                hit = proxy.after(2 * CHUNK + CHUNK // 2, Way.TO_CLIENT, do)
                async with asyncio.timeout(DEADLINE):
                    with refused(kind):
                        await read(store, key)
                assert hit.is_set()
                proxy.go_on()
                assert await read(store, key) == LARGE

    async def test_a_server_that_is_down_is_not_an_empty_one(self, server: Server) -> None:
        async with server.behind_a_proxy(connections=1) as (proxy, database):
            store = DatabaseBlobStore(database)
            await store.put(key := ObjectKey.random(), each([b"x"]))
            proxy.go_down()
            for failing in (store.stat(key), read(store, key), store.delete(key), keys(store)):
                with refused(Kind.UNAVAILABLE):
                    await failing
            await proxy.come_back()
            assert await keys(store) == [key]

    @pytest.mark.parametrize("moment", ["before a commit", "after a commit"])
    async def test_a_delete_whose_answer_is_lost_can_be_repeated(self, server: Server, moment: str) -> None:
        async with server.behind_a_proxy(connections=1) as (proxy, database):
            store = DatabaseBlobStore(database)
            await store.put(key := ObjectKey.random(), each([b"x"]))
            FAULTS[moment](server, proxy, proxy.cut)
            with refused(Kind.UNAVAILABLE):
                await store.delete(key)
            await store.delete(key)
            assert await rows(database) == 0


@pytest.mark.docker
class TestPostgresql(FaultsContract):
    @pytest.fixture
    def server(self, postgresql_url: str) -> Server:
        return Postgresql(postgresql_url)

    async def test_a_commit_waits_until_it_is_durable_by_default(self, server: Server) -> None:
        def waits(connection: Connection) -> object:
            return connection.scalar(sa.text("SHOW synchronous_commit"))

        async with server.database(server.url, connections=1) as database:
            for durable in (False, True, False):
                async with database.transaction(durable=durable) as transaction:
                    assert await transaction.run(waits) == ("on" if durable else "off")
                    await transaction.commit()
                assert await database.read(waits) == "on"


@pytest.mark.docker
class TestMariadb(FaultsContract):
    @pytest.fixture
    def server(self, mariadb_url: str) -> Server:
        return Mariadb(mariadb_url)


class RollsBack(SqliteDatabase):
    """A database of which the next transactions are rolled back, so many of them, when they are to be committed."""

    times = 0

    @asynccontextmanager
    async def transaction(self, *, quick: bool = False, durable: bool = True) -> AsyncIterator[Any]:
        async with super().transaction(quick=quick, durable=durable) as transaction:
            if self.times:
                self.times -= 1
                transaction.commit = self._refuse  # type: ignore[method-assign]  # for this one only
            yield transaction

    async def _refuse(self) -> None:
        raise RolledBack("a deadlock")


async def test_what_is_rolled_back_can_be_repeated(tmp_path: Path) -> None:
    """Above a storage nobody knows of transactions: what they repeat is what is UNAVAILABLE."""
    async with RollsBack(SqliteConfig(tmp_path / "rows.db")) as database:
        store = DatabaseBlobStore(database)
        key = ObjectKey.random()
        database.times = 1
        with refused(Kind.UNAVAILABLE):
            await store.put(key, each([b"x"]))
        assert await rows(database) == 0
        await store.put(key, each([b"x"]))
        database.times = 1
        with refused(Kind.UNAVAILABLE):
            await store.delete(key)
        await store.delete(key)
        assert await rows(database) == 0


class RecordsCommits(SqliteDatabase):
    """A database that records which transactions begin and commit, and whether they are durable."""

    @asynccontextmanager
    async def transaction(self, *, quick: bool = False, durable: bool = True) -> AsyncIterator[Any]:
        self.recorded.append(("begin", durable))
        async with super().transaction(quick=quick, durable=durable) as transaction:
            yield transaction
        self.recorded.append(("end", durable))

    async def __aenter__(self) -> Any:
        self.recorded: list[tuple[str, bool]] = []
        return await super().__aenter__()


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_the_last_commit_of_a_put_makes_all_chunks_durable(tmp_path: Path, count: int) -> None:
    async with RecordsCommits(SqliteConfig(tmp_path / "rows.db")) as database:
        await DatabaseBlobStore(database).put(ObjectKey.random(), chunked(pattern(count * CHUNK)))
        *others, last_begins, last_ends = database.recorded
    assert [last_begins, last_ends] == [("begin", True), ("end", True)]
    assert sorted(others) == [("begin", False)] * (count - 1) + [("end", False)] * (count - 1)


@pytest.mark.parametrize("gone", [{1}, {2}, {3}, {4}, {1, 2}, {2, 3}, {3, 4}, {2, 3, 4}])
async def test_a_read_of_an_object_that_is_deleted_meanwhile_is_never_whole(tmp_path: Path, gone: set[int]) -> None:
    def delete(connection: Connection) -> None:
        connection.execute(sa.delete(CHUNKS).where(CHUNKS.c.seq.in_(gone)))

    async with SqliteDatabase(SqliteConfig(tmp_path / "rows.db")) as database:
        store = DatabaseBlobStore(database)
        data = pattern(5 * CHUNK)
        await store.put(key := ObjectKey.random(), chunked(data))
        gathered = b""
        with refused(Kind.NOT_FOUND):
            async with store.read(key) as chunks:
                async for chunk in chunks:
                    gathered += chunk
                    if len(gathered) == CHUNK:
                        async with database.transaction() as transaction:
                            await transaction.run(delete)
                            await transaction.commit()
        assert data.startswith(gathered)
