"""The readiness check."""

import asyncio
from collections.abc import AsyncIterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.storage.memory import MemoryBlobStore
from application.checks.readiness import CheckReady, ReadinessProblem, Severity
from application.ownership.markers import UnknownStorage
from application.ports.blob_store import BlobStore, Stored
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from application.uploads.lifecycle import Uploads
from domain.blob import ObjectKey
from domain.errors import Kind, NoSpace, Unavailable, error_class
from tests.contracts.blob_store import each, refused
from tests.integration.drive import Drive


class TestReadiness:
    def check(self, drive: Drive, store: BlobStore | None = None, units: UnitOfWorkFactory | None = None) -> CheckReady:
        stores = Stores("memory", {"memory": store or drive.active})
        return CheckReady(Uploads(units or drive.metadata, stores), ObjectKey.random, timedelta(seconds=0.05))

    async def test_a_drive_that_takes_writes_is_ready_and_left_as_it_was(self, any_drive: Drive) -> None:
        assert await CheckReady(any_drive.store.uploads, ObjectKey.random)() == []
        assert await any_drive.objects() == set()
        async with any_drive.metadata() as work:
            assert await work.uploads.remove_expired("memory", 10) == []

    async def test_a_storage_that_is_down(self, drive: Drive) -> None:
        class Refusing(MemoryBlobStore):
            async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
                raise Unavailable("down")

        assert summary(await self.check(drive, Refusing())()) == [("storage", "unavailable", Severity.NOT_READY)]

    async def test_a_storage_that_is_full_can_be_read(self, drive: Drive) -> None:
        class Full(MemoryBlobStore):
            async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
                raise NoSpace("full")

        assert summary(await self.check(drive, Full())()) == [("storage", "no_space", Severity.DEGRADED)]

    async def test_a_database_that_is_full_can_be_read(self, drive: Drive) -> None:
        found = await self.check(drive, units=Failing(Kind.NO_SPACE))()
        assert summary(found) == [("database", "no_space", Severity.DEGRADED)]

    async def test_a_full_database_does_not_hide_a_storage_that_is_down(self, drive: Drive) -> None:
        class Gone(MemoryBlobStore):
            async def check(self) -> None:
                raise Unavailable("down")

        found = await self.check(drive, Gone(), Failing(Kind.NO_SPACE))()
        assert summary(found)[1:] == [("storage", "unavailable", Severity.NOT_READY)]

    async def test_a_full_database_does_not_make_an_unmounted_disk_the_storage(
        self, drive: Drive, tmp_path: Path
    ) -> None:
        disk = tmp_path / "disk"
        async with FilesystemBlobStore(FilesystemConfig(disk, threads=2)) as store:
            await store.check()

            async def recognise(_: str) -> None:
                raise UnknownStorage("memory")

            disk.rename(tmp_path / "unmounted")
            found = await replace(self.check(drive, store, Failing(Kind.NO_SPACE)), recognise=recognise)()
            assert summary(found)[1:] == [("storage", "unavailable", Severity.NOT_READY)]
            disk.mkdir(exist_ok=True)
            with refused(Kind.UNAVAILABLE):
                await store.put(ObjectKey.random(), each([b"x"]))

    async def test_a_storage_that_hangs_even_when_cancelled(self, drive: Drive) -> None:
        released = asyncio.Event()

        class Hangs(MemoryBlobStore):
            async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
                try:
                    await asyncio.Event().wait()
                finally:
                    await released.wait()
                raise AssertionError

        assert summary(await self.check(drive, Hangs())()) == [("storage", "timeout", Severity.NOT_READY)]
        released.set()

    async def test_a_database_that_is_down(self, drive: Drive) -> None:
        assert summary(await self.check(drive, units=Failing(Kind.UNAVAILABLE))()) == [
            ("database", "unavailable", Severity.NOT_READY)
        ]


def summary(findings: Sequence[ReadinessProblem]) -> list[tuple[str, str, Severity]]:
    return [(found.part, found.reason, found.severity) for found in findings]


class Failing(UnitOfWorkFactory):
    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        raise error_class(self._kind)("it fails")
