"""Readers that take longer than the grace of what was replaced or deleted."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.database import Database
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.tables import MICROSECOND, TRASH
from adapters.storage.database import CHUNK, DatabaseBlobStore
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.storage.memory import MemoryBlobStore
from application.blobs.changes.delete import DeleteBlob
from application.contents.retention import GRACE
from application.ports.metadata import UnitOfWork
from application.stores import Stores
from domain.access import EVERYTHING
from domain.errors import Unavailable
from tests.contracts.blob_store import pattern
from tests.contracts.metadata import Metadata
from tests.integration.drive import ID, Drive, Time
from tests.integration.renewing import Renewing

OLD = pattern(4 * CHUNK + 1)
OFTEN = 1_000_000  # renewals in a grace: one every millisecond


class LongReader:
    """A drive, of which the reader renews often, and the time passes on demand."""

    def __init__(self, metadata: Metadata, store: DatabaseBlobStore | FilesystemBlobStore | MemoryBlobStore) -> None:
        self.drive = Drive(metadata, Stores("storage", {"storage": store}), Time())
        self.renewing = Renewing(metadata)
        self.drive.fetch = replace(self.drive.fetch, units=self.renewing, renewals=OFTEN)

    async def let_pass(self, time: timedelta) -> None:
        raise NotImplementedError


class InMemory(LongReader):
    def __init__(self) -> None:
        self.time = Time()
        super().__init__(MemoryMetadata(self.time), MemoryBlobStore())

    async def let_pass(self, time: timedelta) -> None:
        self.time.pass_by(time)


class OnSqlite(LongReader):
    def __init__(self, database: Database, store: DatabaseBlobStore | FilesystemBlobStore) -> None:
        self.database = database
        super().__init__(SqlMetadata(database), store)

    async def let_pass(self, time: timedelta) -> None:
        """All versions in the trash become due sooner by so much."""

        def put_back(connection: Connection) -> None:
            connection.execute(sa.update(TRASH).values(due_at=TRASH.c.due_at - time // MICROSECOND))

        async with self.database.transaction() as transaction:
            await transaction.run(put_back)
            await transaction.commit()


@pytest.fixture(params=["memory", "files", "database"])
async def long(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LongReader]:
    if request.param == "memory":
        yield InMemory()
        return
    async with (
        SqliteDatabase(SqliteConfig(tmp_path / "rows.db")) as database,
        FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs")) as files,
    ):
        await files.check()
        yield OnSqlite(database, DatabaseBlobStore(database) if request.param == "database" else files)


@pytest.mark.parametrize("change", ["replaced", "deleted"])
async def test_what_is_being_read_is_kept(long: LongReader, change: str) -> None:
    await long.drive.put(OLD)
    async with long.drive.fetch(EVERYTHING, ID) as opened:
        chunks = aiter(opened)
        read = [await anext(chunks)]
        if change == "replaced":
            await long.drive.put(b"new")
        else:
            await DeleteBlob(long.drive.metadata)(EVERYTHING, ID)
        for _ in range(5):  # the client stalls
            await long.let_pass(GRACE * 2 / 3)
            await long.renewing.one()
            assert (await long.drive.reap()).deleted == 0
        read += [chunk async for chunk in chunks]
    assert b"".join(read) == OLD
    await long.let_pass(GRACE)
    assert (await long.drive.reap()).deleted == 1
    assert len(await long.drive.objects()) == (1 if change == "replaced" else 0)


async def test_a_renewal_that_fails_is_made_up_for(long: LongReader) -> None:
    await long.drive.put(OLD)
    async with long.drive.fetch(EVERYTHING, ID) as opened:
        await long.drive.put(b"new")
        long.renewing.refused = 2
        await long.let_pass(GRACE * 2 / 3)
        await long.renewing.one()
        await long.let_pass(GRACE * 2 / 3)
        assert (await long.drive.reap()).deleted == 0
        assert b"".join([chunk async for chunk in opened]) == OLD


async def test_what_is_current_is_no_garbage_for_being_read(long: LongReader) -> None:
    await long.drive.put(OLD)
    async with long.drive.fetch(EVERYTHING, ID) as opened:
        await long.renewing.one()
        assert await long.drive.metadata.backlog() == []
        assert b"".join([chunk async for chunk in opened]) == OLD


@pytest.mark.parametrize("unhurried", [{"renewals": 3}, {"grace": timedelta(0)}], ids=["short", "no grace"])
async def test_an_ordinary_reading_asks_the_database_for_nothing(
    long: LongReader, unhurried: dict[str, object]
) -> None:
    asked = []

    def units() -> AbstractAsyncContextManager[UnitOfWork]:
        asked.append("for a unit of work")
        raise Unavailable("not for a short reading")

    await long.drive.put(OLD)
    fetch = replace(long.drive.fetch, units=units, **unhurried)  # type: ignore[arg-type]  # fields of FetchBlob
    async with fetch(EVERYTHING, ID) as opened:
        assert b"".join([chunk async for chunk in opened]) == OLD
    assert asked == []
