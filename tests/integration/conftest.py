"""Drives for the tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.storage.memory import MemoryBlobStore
from application.stores import Stores
from tests.integration.drive import Drive, Time


@pytest.fixture
def drive() -> Drive:
    """In memory, with a clock that can be moved."""
    time = Time()
    return Drive(MemoryMetadata(time), Stores("memory", {"memory": MemoryBlobStore()}), time)


@pytest.fixture(params=["memory", "sqlite and files"])
async def any_drive(request: pytest.FixtureRequest, tmp_path: Path, drive: Drive) -> AsyncIterator[Drive]:
    if request.param == "memory":
        yield drive
        return
    async with (
        SqlMetadata(SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))) as metadata,
        FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs")) as files,
    ):
        await files.check()
        yield Drive(metadata, Stores("fs", {"fs": files}), Time())
