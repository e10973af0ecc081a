"""Small blobs in the database, and a storage for the others: where each goes, and commits whose response is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.database import Database
from adapters.sql.servers.mariadb import MariadbConfig, MariadbDatabase
from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.storage.database import DatabaseBlobStore
from adapters.storage.memory import MemoryBlobStore
from application.blobs.changes.delete import DeleteBlob
from application.blobs.store import NewBlob, StoreBlob
from application.contents.retention import GRACE, USUAL, Retention
from application.ports.blob_store import BlobStore
from application.ports.metadata import DATABASE, UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from application.uploads.small_blobs import SmallBlobs
from domain.access import EVERYTHING, Action, Grant
from domain.blob import BlobId, ByteRange, Digest, ObjectKey
from domain.errors import CommitUnknown, Kind, NoSpace
from domain.precondition import CREATE_ONLY
from tests.contracts.blob_store import each, keys, pattern, refused
from tests.contracts.metadata import Metadata, outcomes
from tests.integration.drive import Drive, Time, new_blob
from tests.integration.losing import DownFor, LetsOthersIn, LosesAnAnswer
from tests.integration.test_storing import IdLast

LIMIT = 1000  # bytes
AT_ONCE = Retention(timedelta(0), timedelta(0))


class CountsCommits(UnitOfWorkFactory):
    def __init__(self, units: UnitOfWorkFactory) -> None:
        self.units = units
        self.commits = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self.units() as work:
            commit = work.commit

            async def count() -> None:
                self.commits += 1
                await commit()

            work.commit = count  # type: ignore[method-assign]  # for this unit alone
            yield work


class CommitsLater(UnitOfWorkFactory):
    """Units of work of which the first one's commit loses its answer, and happens only once it may `go_on`."""

    def __init__(self, units: UnitOfWorkFactory) -> None:
        self.units = units
        self.is_lost, self.go_on = asyncio.Event(), asyncio.Event()
        self.commit: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        opening = self.units()
        work = await opening.__aenter__()
        if self.commit is not None:
            try:
                yield work
            finally:
                await opening.__aexit__(None, None, None)
            return
        commit = work.commit

        async def commit_later() -> None:
            await self.go_on.wait()
            await commit()
            await opening.__aexit__(None, None, None)

        async def lose() -> None:
            self.commit = asyncio.create_task(commit_later())
            self.is_lost.set()
            raise CommitUnknown("the connection was lost")

        work.commit = lose  # type: ignore[method-assign]  # for this unit alone
        yield work


def with_units(store: StoreBlob, units: UnitOfWorkFactory, **changes: object) -> StoreBlob:
    """The use case with other units of work for small blobs. `changes`: to its other fields."""
    assert store.small is not None
    return replace(store, small=replace(store.small, units=units, **changes))  # type: ignore[arg-type]


class SmallBlobCases:
    """A subclass has a fixture for the `metadata`, opened, and one for the `small` objects in it."""

    @pytest.fixture
    def drive(self, metadata: Metadata, small: BlobStore) -> Drive:
        drive = Drive(metadata, Stores("memory", {"memory": MemoryBlobStore(), DATABASE: small}), Time())
        drive.store = replace(drive.store, small=SmallBlobs(metadata, LIMIT, GRACE, monotonic=drive.time.monotonic))
        return drive

    @pytest.fixture(autouse=True)
    async def nothing_is_left(self, metadata: Metadata, small: BlobStore) -> AsyncIterator[None]:
        yield
        for key in await keys(small):
            await small.delete(key)

    @pytest.fixture
    def blob_id(self) -> BlobId:
        """An id of its own for each case, because a class has one database."""
        return BlobId(ObjectKey.random().value)

    @pytest.mark.parametrize("size", [0, 1, LIMIT])
    @pytest.mark.parametrize("is_declared", [True, False])
    async def test_a_small_blob_takes_one_commit(
        self, drive: Drive, blob_id: BlobId, small: BlobStore, size: int, is_declared: bool
    ) -> None:
        data, units = pattern(size), CountsCommits(drive.metadata)
        new = new_blob(blob_id, each([data[:7], data[7:]]), size=size if is_declared else None)
        blob = (await with_units(drive.store, units)(EVERYTHING, new)).blob
        assert (blob.location.backend, blob.size, units.commits) == (DATABASE, size, 1)
        assert await drive.get(blob_id) == data
        assert await drive.get(blob_id, lambda _: ByteRange(0, 1) if size else None) == data[:1]
        assert await drive.objects() == set()
        assert [backlog for backlog in await drive.metadata.backlog() if backlog.uploads] == []

    @pytest.mark.parametrize("cut", [1, LIMIT, LIMIT + 1])
    @pytest.mark.parametrize("is_declared", [True, False])
    async def test_a_larger_blob_goes_to_the_storage(
        self, drive: Drive, blob_id: BlobId, small: BlobStore, cut: int, is_declared: bool
    ) -> None:
        data = pattern(LIMIT + 1)
        new = new_blob(blob_id, each([data[:cut], data[cut:]]), size=len(data) if is_declared else None)
        blob = (await drive.store(EVERYTHING, new)).blob
        assert await drive.get(blob_id) == data
        assert (await drive.objects(), await keys(small)) == ({blob.location.key}, [])

    async def test_an_id_that_comes_after_the_bytes(self, drive: Drive, small: BlobStore) -> None:
        stored = await drive.store(EVERYTHING, NewBlob(IdLast([b"first", b"second"])))
        assert await drive.get(stored.blob.id) == b"firstsecond"
        limited = Grant(frozenset(Action), prefixes=("others/",))
        with refused(Kind.FORBIDDEN):
            await drive.store(limited, NewBlob(IdLast([b"third"])))
        assert await keys(small) == [stored.blob.location.key]
        await DeleteBlob(drive.metadata, retention=AT_ONCE)(EVERYTHING, stored.blob.id)
        assert (await drive.reap(DATABASE)).deleted == 1

    async def test_what_is_refused_leaves_nothing(self, drive: Drive, blob_id: BlobId, small: BlobStore) -> None:
        async def full(size: int) -> None:
            assert size == 3
            raise NoSpace("The disk is full.")

        assert drive.store.small is not None
        first = await drive.put(b"first", blob_id)
        with refused(Kind.ALREADY_EXISTS):
            await drive.put(b"second", blob_id, CREATE_ONLY)
        with refused(Kind.SIZE_MISMATCH):
            await drive.store(EVERYTHING, new_blob(blob_id, each([b"new"]), size=4))
        with refused(Kind.DIGEST_MISMATCH):
            await drive.store(EVERYTHING, new_blob(blob_id, each([b"new"]), digest=Digest(bytes(32))))
        with refused(Kind.TOO_LARGE):
            await replace(drive.store, max_bytes=2)(EVERYTHING, new_blob(blob_id, each([b"new"])))
        with refused(Kind.NO_SPACE):
            limited = replace(drive.store, small=replace(drive.store.small, require_space=full))
            await limited(EVERYTHING, new_blob(blob_id, each([b"new"])))
        assert (await drive.get(blob_id), await keys(small)) == (b"first", [first.location.key])

    async def test_a_version_is_reaped_wherever_the_next_one_goes(
        self, drive: Drive, blob_id: BlobId, small: BlobStore
    ) -> None:
        drive.store = replace(drive.store, retention=AT_ONCE)
        for size in (1, 2, LIMIT + 1, LIMIT + 2, 3):
            last = await drive.put(pattern(size), blob_id)
            for backend in ("memory", DATABASE):
                await drive.reap(backend)
            assert await drive.get(blob_id) == pattern(size)
            assert [*await drive.objects(), *await keys(small)] == [last.location.key]

    async def test_one_of_many_creators_wins_and_the_rest_leaves_nothing(
        self, drive: Drive, blob_id: BlobId, small: BlobStore
    ) -> None:
        contents = [pattern(size) for size in range(LIMIT - 5, LIMIT + 5)]
        ended = await outcomes(*(drive.put(data, blob_id, CREATE_ONLY) for data in contents))
        assert ended.count(Kind.ALREADY_EXISTS) == 9
        [number] = [number for number, outcome in enumerate(ended) if not isinstance(outcome, Kind)]
        await drive.reap()
        assert await drive.get(blob_id) == contents[number]
        left = [*await drive.objects(), *await keys(small)]
        assert left == [(await drive.metadata.blobs.get(blob_id)).location.key]

    # Commits whose answer is lost

    @pytest.mark.parametrize("happens", [True, False])
    async def test_the_outcome_of_a_lost_commit_is_found_out(
        self, drive: Drive, blob_id: BlobId, small: BlobStore, happens: bool
    ) -> None:
        await drive.put(pattern(LIMIT + 1), blob_id)
        units = DownFor(LosesAnAnswer(drive.metadata, 1, happens=happens), 2)
        store = with_units(drive.store, units, waits=[0, 0])
        if happens:
            stored = await store(EVERYTHING, new_blob(blob_id, each([b"new"])))
            assert stored.replaced
            assert await keys(small) == [stored.blob.location.key]
            assert await drive.get(blob_id) == b"new"
        else:
            with refused(Kind.UNAVAILABLE):
                await store(EVERYTHING, new_blob(blob_id, each([b"new"])))
            assert await keys(small) == []
            assert await drive.get(blob_id) == pattern(LIMIT + 1)
        assert units.refusals == 0

    @pytest.mark.parametrize("is_reaped", [True, False])
    async def test_a_version_that_was_replaced_before_the_first_look_is_not_acknowledged(
        self, drive: Drive, blob_id: BlobId, small: BlobStore, is_reaped: bool
    ) -> None:
        """Nor refused as if it had never been there: others may have read it."""
        drive.store = replace(drive.store, retention=AT_ONCE if is_reaped else USUAL)

        async def replace_it() -> None:
            newer.append(await drive.put(b"newer", blob_id))
            assert (await drive.reap(DATABASE)).deleted == is_reaped

        newer = list[object]()
        units = LetsOthersIn(LosesAnAnswer(drive.metadata, 1, happens=True), replace_it)
        with refused(Kind.COMMIT_UNKNOWN):
            grace = drive.store.retention.grace
            await with_units(drive.store, units, grace=grace)(EVERYTHING, new_blob(blob_id, each([b"new"])))
        assert units.acted
        assert await drive.get(blob_id) == b"newer"

    async def test_a_database_that_stays_away_leaves_the_outcome_unknown(
        self, drive: Drive, blob_id: BlobId, small: BlobStore
    ) -> None:
        units = DownFor(LosesAnAnswer(drive.metadata, 1, happens=True), 3)
        with refused(Kind.COMMIT_UNKNOWN):
            await with_units(drive.store, units, waits=[0])(EVERYTHING, new_blob(blob_id, each([b"new"])))
        assert await drive.get(blob_id) == b"new"

    async def test_a_commit_that_is_under_way_is_awaited(self, drive: Drive, blob_id: BlobId, small: BlobStore) -> None:
        """The server has the COMMIT, and executes it only after the client has asked what became of it."""
        units = CommitsLater(drive.metadata)
        storing = asyncio.create_task(with_units(drive.store, units)(EVERYTHING, new_blob(blob_id, each([b"new"]))))
        await units.is_lost.wait()
        await asyncio.wait({storing}, timeout=0.2)  # as long as it would take if it did not wait
        units.go_on.set()
        await storing
        assert await drive.get(blob_id) == b"new"
        assert units.commit is not None
        await units.commit


class TestMemory(SmallBlobCases):
    @pytest.fixture
    def metadata(self) -> MemoryMetadata:
        return MemoryMetadata()

    @pytest.fixture
    def small(self, metadata: MemoryMetadata) -> BlobStore:
        return MemoryBlobStore(objects=metadata.rows.objects)


class DatabaseCases(SmallBlobCases):
    """A subclass has a fixture for the `database`, not opened."""

    @pytest.fixture
    async def metadata(self, database: Database) -> AsyncIterator[Metadata]:
        async with SqlMetadata(database) as metadata:
            yield metadata

    @pytest.fixture
    def small(self, database: Database) -> BlobStore:
        return DatabaseBlobStore(database)

    async def test_a_small_blob_is_read_without_its_storage(self, drive: Drive, blob_id: BlobId) -> None:
        assert isinstance(drive.metadata, SqlMetadata)
        data = pattern(LIMIT)
        await drive.put(data, blob_id)
        del drive.stores.by_name[DATABASE]  # type: ignore[attr-defined]
        drive.fetch = replace(drive.fetch, together=drive.metadata.find_with_bytes)
        assert await drive.get(blob_id) == data
        assert await drive.get(blob_id, lambda _: ByteRange(3, 5)) == data[3:5]
        async with drive.fetch(EVERYTHING, blob_id) as opened:
            assert (opened.size, await opened.read()) == (LIMIT, data)
        with refused(Kind.NOT_FOUND):
            await drive.get(BlobId("missing"))
        with refused(Kind.FORBIDDEN):
            async with drive.fetch(Grant(frozenset(), prefixes=("others/",)), blob_id):
                pass


class TestSqlite(DatabaseCases):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        return SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))


@pytest.mark.docker
class TestPostgresql(DatabaseCases):
    @pytest.fixture
    def database(self, class_postgresql_url: str) -> Database:
        return PostgresqlDatabase(PostgresqlConfig(class_postgresql_url))


@pytest.mark.docker
class TestMariadb(DatabaseCases):
    @pytest.fixture
    def database(self, class_mariadb_url: str) -> Database:
        return MariadbDatabase(MariadbConfig(class_mariadb_url))
