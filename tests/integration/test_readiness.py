"""The readiness check."""

import asyncio
from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from adapters.storage.memory import MemoryBlobStore
from application.check_ready import CheckReady
from application.ports.blob_store import BlobStore, Stored
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from domain.blob import ObjectKey
from domain.errors import DriveError, Kind
from tests.integration.drive import Drive


class TestReadiness:
    def check(self, drive: Drive, store: BlobStore | None = None, units: UnitOfWorkFactory | None = None) -> CheckReady:
        stores = Stores("memory", {"memory": store or drive.active})
        return CheckReady(units or drive.metadata, stores, ObjectKey.random, timedelta(seconds=0.05))

    async def test_a_drive_that_takes_writes_is_ready_and_left_as_it_was(self, any_drive: Drive) -> None:
        assert await CheckReady(any_drive.metadata, any_drive.stores, ObjectKey.random)() == {}
        assert await any_drive.objects() == set()
        async with any_drive.metadata() as work:
            assert await work.uploads.remove_expired("memory", 10) == []

    async def test_a_storage_that_is_down(self, drive: Drive) -> None:
        class Refusing(MemoryBlobStore):
            async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
                raise DriveError(Kind.UNAVAILABLE, "down")

        faults = await self.check(drive, Refusing())()
        assert {part: fault.kind for part, fault in faults.items()} == {"storage": Kind.UNAVAILABLE}

    async def test_a_storage_that_hangs_even_when_cancelled(self, drive: Drive) -> None:
        released = asyncio.Event()

        class Hangs(MemoryBlobStore):
            async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
                try:
                    await asyncio.Event().wait()
                finally:
                    await released.wait()
                raise AssertionError

        faults = await self.check(drive, Hangs())()
        assert {part: fault.kind for part, fault in faults.items()} == {"storage": Kind.TIMEOUT}
        released.set()

    async def test_a_database_that_is_down(self, drive: Drive) -> None:
        faults = await self.check(drive, units=Down())()
        assert {part: fault.kind for part, fault in faults.items()} == {"database": Kind.UNAVAILABLE}


class Down(UnitOfWorkFactory):
    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        raise DriveError(Kind.UNAVAILABLE, "down")
