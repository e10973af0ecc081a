"""A clock that jumps: the database's, by which blobs are dated and leases end."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from application.blobs.store import StoredBlob
from application.contents.retention import GRACE
from application.maintenance.reap import AGAIN
from application.stores import Stores
from domain.access import EVERYTHING
from domain.errors import Kind
from domain.precondition import Precondition
from tests.contracts.blob_store import refused
from tests.integration.drive import ID, Drive, Time, new_blob, with_uploads

DAY = timedelta(days=1)
UNIX_EPOCH = 2440587.5  # as a Julian day


@pytest.fixture
def database_time() -> Time:
    return Time()


@pytest.fixture
async def drive(tmp_path: Path, database_time: Time) -> AsyncIterator[Drive]:
    """On SQLite and files, with a clock of the database's own."""
    database = SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))

    def julianday(_: str) -> float:
        return UNIX_EPOCH + database_time.now.timestamp() / DAY.total_seconds()

    event.listen(
        database._engine, "connect", lambda connection, _: connection.create_function("julianday", 1, julianday)
    )
    async with (
        SqlMetadata(database) as metadata,
        FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs")) as files,
    ):
        await files.check()
        drive = Drive(metadata, Stores("fs", {"fs": files}), Time())
        drive.store = with_uploads(drive.store, monotonic=time.monotonic)  # which never jumps
        yield drive


class Upload:
    """One that has sent some bytes, and sends the rest when it may go on."""

    def __init__(self, drive: Drive) -> None:
        self._sent, self._goes_on = asyncio.Event(), asyncio.Event()
        self._storing = asyncio.create_task(drive.store(EVERYTHING, new_blob(ID, self._bytes())))

    async def _bytes(self) -> AsyncIterator[bytes]:
        yield b"new, "
        self._sent.set()
        await self._goes_on.wait()
        yield b"and whole"

    async def under_way(self) -> None:
        await self._sent.wait()

    async def end(self) -> StoredBlob:
        self._goes_on.set()
        return await self._storing


async def test_blobs_are_dated_by_the_databases_clock(drive: Drive, database_time: Time) -> None:
    for jump in (timedelta(0), DAY):
        database_time.pass_by(jump)
        assert (await drive.put(b"new")).created_at == database_time.now


async def test_a_version_is_never_taken_for_an_older_one_when_the_databases_clock_jumps_back(
    drive: Drive, database_time: Time
) -> None:
    await drive.put(b"old")
    database_time.pass_by(timedelta(seconds=2))
    known = (await drive.metadata.blobs.get(ID)).last_modified
    for jump in (timedelta(seconds=-1), -DAY, timedelta(seconds=30), DAY):
        database_time.pass_by(jump)
        with refused(Kind.PRECONDITION_FAILED):
            await drive.put(b"lost", precondition=Precondition(unmodified_since=known - timedelta(seconds=1)))
        before = await drive.metadata.blobs.get(ID)
        after = await drive.put(b"new")
        assert after.created_at > before.created_at
        assert after.unchanged_since > known
        with refused(Kind.PRECONDITION_FAILED):
            await drive.put(b"lost", precondition=Precondition(unmodified_since=known))
    assert await drive.get() == b"new"


async def test_an_upload_ends_with_its_lease_when_the_databases_clock_jumps_ahead(
    drive: Drive, database_time: Time
) -> None:
    await drive.put(b"old")
    upload = Upload(drive)
    await upload.under_way()
    database_time.pass_by(DAY)
    await drive.reap()
    with refused(Kind.LEASE_LOST):
        await upload.end()
    assert await drive.get() == b"old"
    database_time.pass_by(AGAIN)
    await drive.reap()
    assert len(await drive.objects()) == 1
    assert await drive.metadata.backlog() == []


async def test_nothing_is_lost_when_the_databases_clock_jumps_back(drive: Drive, database_time: Time) -> None:
    await drive.put(b"old")
    upload = Upload(drive)
    await upload.under_way()
    database_time.pass_by(-DAY)
    assert (await drive.reap()).deleted == 0
    await upload.end()
    assert await drive.get() == b"new, and whole"
    database_time.pass_by(DAY + GRACE)
    assert (await drive.reap()).deleted == 1
    assert len(await drive.objects()) == 1
