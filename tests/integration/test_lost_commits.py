"""Commits whose answer is lost, while others act before the first look at what became of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.servers.mariadb import MariadbConfig, MariadbDatabase
from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.storage.memory import MemoryBlobStore
from application.blobs.changes.delete import DeleteBlob, DeleteBlobs
from application.blobs.changes.prefixes import DeletePrefix, MovePrefix
from application.contents.retention import GRACE, Retention
from application.ownership.mark import MarkStorage
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from application.uploads.committer import Committer
from application.uploads.lifecycle import Uploads
from application.uploads.small_blobs import SmallBlobs
from domain.access import EVERYTHING
from domain.blob import BlobId, ObjectKey
from domain.errors import Kind
from tests.contracts.blob_store import each, refused
from tests.contracts.metadata import Metadata
from tests.integration.drive import ID, Drive, Time, new_blob, with_uploads
from tests.integration.losing import DownFor, LetsOthersIn, LosesAnAnswer, WithoutAStandby

PUBLISHING = 2  # the first commit reserves
AT_ONCE = timedelta(0)


class CancelsACommit(UnitOfWorkFactory):
    """Units of work of which the commit with this number happens, and is cancelled meanwhile."""

    def __init__(self, units: UnitOfWorkFactory, number: int) -> None:
        self.units = units
        self.left = number

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self.units() as work:
            commit = work.commit

            async def commit_and_cancel() -> None:
                await commit()
                self.left -= 1
                if not self.left:
                    raise asyncio.CancelledError

            work.commit = commit_and_cancel  # type: ignore[method-assign]  # for this unit alone
            yield work


class LostCommitCases:
    """A subclass has a fixture for the `metadata`, opened."""

    @pytest.fixture
    def drive(self, metadata: Metadata) -> Drive:
        return Drive(metadata, Stores("memory", {"memory": MemoryBlobStore()}), Time())

    @pytest.fixture
    def blob_id(self) -> BlobId:
        """An id of its own for each case, because a class has one database."""
        return BlobId(ObjectKey.random().value)

    @pytest.mark.parametrize("happens", [True, False])
    async def test_a_newer_version_outlives_a_delete_whose_answer_was_lost(
        self, drive: Drive, blob_id: BlobId, happens: bool
    ) -> None:
        await drive.put(b"old", blob_id)
        units = LetsOthersIn(LosesAnAnswer(drive.metadata, 1, happens=happens), lambda: drive.put(b"newer", blob_id))
        await DeleteBlob(units, retention=Retention(AT_ONCE, AT_ONCE))(EVERYTHING, blob_id)
        assert units.acted
        await drive.reap()
        assert await drive.get(blob_id) == b"newer"

    async def test_an_upload_that_was_reaped_before_the_first_look_is_not_acknowledged(
        self, drive: Drive, blob_id: BlobId
    ) -> None:
        await drive.put(b"old", blob_id)
        units = LetsOthersIn(LosesAnAnswer(drive.metadata, PUBLISHING, happens=False), drive.reap)
        with refused(Kind.COMMIT_UNKNOWN):
            await with_uploads(drive.store, units=units, lease=AT_ONCE)(EVERYTHING, new_blob(blob_id, each([b"new"])))
        assert units.acted
        assert await drive.get(blob_id) == b"old"
        assert len(await drive.objects()) == 1

    async def test_a_published_version_that_was_replaced_before_the_first_look_is_not_acknowledged(
        self, drive: Drive, blob_id: BlobId
    ) -> None:
        units = LetsOthersIn(
            LosesAnAnswer(drive.metadata, PUBLISHING, happens=True), lambda: drive.put(b"newer", blob_id)
        )
        with refused(Kind.COMMIT_UNKNOWN):
            await with_uploads(drive.store, units=units)(EVERYTHING, new_blob(blob_id, each([b"new"])))
        assert units.acted
        assert await drive.get(blob_id) == b"newer"

    async def test_the_clean_up_after_an_unknown_commit_leaves_a_published_object_alone(
        self, drive: Drive, blob_id: BlobId
    ) -> None:
        down = DownFor(LosesAnAnswer(drive.metadata, PUBLISHING, happens=True), 1)
        with refused(Kind.COMMIT_UNKNOWN):
            await with_uploads(drive.store, units=down, waits=[])(EVERYTHING, new_blob(blob_id, each([b"new"])))
        assert down.refusals == 0, "the clean-up has no database"
        await drive.reap()
        assert await drive.get(blob_id) == b"new"

    async def test_the_clean_up_after_a_cancelled_commit_leaves_a_published_object_alone(
        self, drive: Drive, blob_id: BlobId
    ) -> None:
        units = CancelsACommit(drive.metadata, PUBLISHING)
        with pytest.raises(asyncio.CancelledError):
            await with_uploads(drive.store, units=units)(EVERYTHING, new_blob(blob_id, each([b"new"])))
        await drive.reap()
        assert await drive.get(blob_id) == b"new"


async def test_a_repeated_delete_is_not_acknowledged_before_the_first_one_is_durable() -> None:
    metadata = MemoryMetadata()
    drive = Drive(metadata, Stores("memory", {"memory": MemoryBlobStore()}), Time())
    await drive.put(b"old")
    delete = DeleteBlob(WithoutAStandby(metadata, 1, losses=3), waits=[])
    for _ in range(2):  # the commit, and the one that confirms it; then one that confirms that there is no blob
        with refused(Kind.COMMIT_UNKNOWN):
            await delete(EVERYTHING, ID)
    with refused(Kind.NOT_FOUND):
        await delete(EVERYTHING, ID)


@pytest.mark.parametrize("change", ["delete", "move"])
async def test_a_repeated_change_of_a_prefix_is_not_acknowledged_before_the_first_one_is_durable(change: str) -> None:
    metadata = MemoryMetadata()
    drive = Drive(metadata, Stores("memory", {"memory": MemoryBlobStore()}), Time())
    await drive.put(b"old", BlobId("a/1"))
    commit = Committer(WithoutAStandby(metadata, 1, losses=4), ObjectKey.random, waits=[])
    delete, move = DeletePrefix(commit, metadata.blobs), MovePrefix(commit, metadata.blobs)
    for _ in range(2):
        with refused(Kind.COMMIT_UNKNOWN):
            await (delete(EVERYTHING, "a/") if change == "delete" else move(EVERYTHING, "a/", "b/"))
    assert await (delete(EVERYTHING, "a/") if change == "delete" else move(EVERYTHING, "a/", "b/")) == 0


@pytest.mark.parametrize("happens", [True, False])
async def test_markers_are_known_or_discarded_after_an_unknown_commit(happens: bool) -> None:
    """The database is asked whether the markers apply."""
    metadata, disk = MemoryMetadata(), MemoryBlobStore()
    units = LosesAnAnswer(metadata, PUBLISHING, happens=happens)
    uploads = Uploads(units, Stores("disk", {"disk": disk}))
    mark = MarkStorage(uploads, metadata.blobs, metadata.contents, metadata.known_storage, ObjectKey.random)
    if happens:
        known, is_ours = await mark("disk", timedelta(hours=1))
        assert is_ours
        assert known == await metadata.known_storage("disk")
    else:
        with refused(Kind.UNAVAILABLE):
            await mark("disk", timedelta(hours=1))
        assert (len(metadata.rows.garbage), metadata.rows.uploads, metadata.rows.storages) == (2, {}, {})


class TestWithoutAStandby:
    """Commits that others see, although they may be lost with the primary: the synchronous standby has not got them."""

    FEW, TOO_MANY = 3, 100  # lost commits
    WAITS = (0.0,) * (FEW - 1)

    @pytest.fixture
    def drive(self) -> Drive:
        return Drive(MemoryMetadata(), Stores("memory", {"memory": MemoryBlobStore()}), Time())

    @pytest.fixture(params=[FEW, TOO_MANY])
    def losses(self, request: pytest.FixtureRequest) -> int:
        losses: int = request.param
        return losses

    def units(self, drive: Drive, losses: int, number: int = 1) -> WithoutAStandby:
        assert isinstance(drive.metadata, MemoryMetadata)
        return WithoutAStandby(drive.metadata, number, losses)

    async def expect(self, losses: int, change: Awaitable[object]) -> None:
        """The change succeeds once the standby is back, and not before."""
        if losses == self.FEW:
            await change
        else:
            with refused(Kind.COMMIT_UNKNOWN):
                await change

    async def test_a_publication(self, drive: Drive, losses: int) -> None:
        store = with_uploads(drive.store, units=self.units(drive, losses, PUBLISHING), waits=self.WAITS)
        await self.expect(losses, store(EVERYTHING, new_blob(ID, each([b"new"]))))
        assert await drive.get() == b"new"

    async def test_a_small_blob(self, drive: Drive, losses: int) -> None:
        assert isinstance(drive.metadata, MemoryMetadata)
        small = SmallBlobs(self.units(drive, losses), 10, GRACE, waits=self.WAITS)
        await self.expect(losses, replace(drive.store, small=small)(EVERYTHING, new_blob(ID, each([b"new"]))))
        assert [*drive.metadata.rows.objects.values()] == [b"new"]

    async def test_a_change(self, drive: Drive, losses: int) -> None:
        await drive.put(b"old")
        commit = Committer(self.units(drive, losses), ObjectKey.random, self.WAITS)
        await self.expect(losses, DeleteBlobs(commit)(EVERYTHING, [ID]))
        with refused(Kind.NOT_FOUND):
            await drive.get()

    async def test_a_delete(self, drive: Drive, losses: int) -> None:
        await drive.put(b"old")
        await self.expect(losses, DeleteBlob(self.units(drive, losses), waits=self.WAITS)(EVERYTHING, ID))
        with refused(Kind.NOT_FOUND):
            await drive.get()

    async def test_a_delete_that_a_newer_version_has_followed(self, drive: Drive, losses: int) -> None:
        await drive.put(b"old")
        units = LetsOthersIn(self.units(drive, losses), lambda: drive.put(b"newer"))
        await self.expect(losses, DeleteBlob(units, waits=self.WAITS)(EVERYTHING, ID))
        assert units.acted
        assert await drive.get() == b"newer"


class TestMemory(LostCommitCases):
    @pytest.fixture
    def metadata(self) -> Metadata:
        return MemoryMetadata()


class TestSqlite(LostCommitCases):
    @pytest.fixture
    async def metadata(self, tmp_path: Path) -> AsyncIterator[Metadata]:
        async with SqlMetadata(SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))) as metadata:
            yield metadata


@pytest.mark.docker
class TestPostgresql(LostCommitCases):
    @pytest.fixture
    async def metadata(self, class_postgresql_url: str) -> AsyncIterator[Metadata]:
        async with SqlMetadata(PostgresqlDatabase(PostgresqlConfig(class_postgresql_url))) as metadata:
            yield metadata


@pytest.mark.docker
class TestMariadb(LostCommitCases):
    @pytest.fixture
    async def metadata(self, class_mariadb_url: str) -> AsyncIterator[Metadata]:
        async with SqlMetadata(MariadbDatabase(MariadbConfig(class_mariadb_url))) as metadata:
            yield metadata
