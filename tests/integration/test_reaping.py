"""Uploads that stand still, and the reaper."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from adapters.storage.memory import MemoryBlobStore
from application.ports.metadata import Garbage
from application.reap import AGAIN, BATCH
from application.store_blob import GRACE, LEASE, NewBlob, StoredBlob
from application.stores import Stores
from domain.blob import Location, ObjectKey
from domain.errors import DriveError, Kind
from tests.contracts.blob_store import each, refused
from tests.integration.drive import ID, Drive


class TestLeases:
    @pytest.fixture
    def steps(self) -> "asyncio.Queue[bytes | None]":
        return asyncio.Queue()

    def upload(self, drive: Drive, steps: "asyncio.Queue[bytes | None]") -> "asyncio.Task[StoredBlob]":
        """An upload that gets its chunks through `steps`, and ends with None."""

        async def source() -> AsyncIterator[bytes]:
            while (chunk := await steps.get()) is not None:
                yield chunk
                steps.task_done()
            steps.task_done()

        return asyncio.create_task(drive.store(NewBlob(ID, source())))

    async def send(self, steps: "asyncio.Queue[bytes | None]", chunk: bytes | None) -> None:
        await steps.put(chunk)
        await steps.join()

    async def test_an_upload_whose_bytes_flow_keeps_its_lease(
        self, drive: Drive, steps: "asyncio.Queue[bytes | None]"
    ) -> None:
        uploading = self.upload(drive, steps)
        for turn in range(10):
            await self.send(steps, b"%d" % turn)
            drive.time.pass_by(LEASE / 2)
            await drive.reap()
        await self.send(steps, None)
        await uploading
        assert await drive.get() == b"0123456789"

    async def test_an_upload_that_stood_still_is_never_published(
        self, drive: Drive, steps: "asyncio.Queue[bytes | None]"
    ) -> None:
        await drive.put(b"old")
        uploading = self.upload(drive, steps)
        await self.send(steps, b"new")
        drive.time.pass_by(LEASE * 2)
        await drive.reap()
        await self.send(steps, None)
        with refused(Kind.LEASE_LOST):
            await uploading
        # Its object was written after the reaper's first delete. The second one gets it.
        assert len(await drive.objects()) == 2
        drive.time.pass_by(AGAIN)
        await drive.reap()
        assert await drive.get() == b"old"
        assert len(await drive.objects()) == 1

    async def test_an_upload_that_was_given_up_is_told_at_the_next_chunk(
        self, drive: Drive, steps: "asyncio.Queue[bytes | None]"
    ) -> None:
        uploading = self.upload(drive, steps)
        await self.send(steps, b"first")
        drive.time.pass_by(LEASE * 2)
        await drive.reap()
        await steps.put(b"second")
        with refused(Kind.LEASE_LOST):
            await uploading
        assert await drive.objects() == set()


class TestReaping:
    async def test_a_replaced_object_is_kept_for_its_readers(self, drive: Drive) -> None:
        old = await drive.put(b"old")
        await drive.put(b"new")
        await drive.reap()
        assert old.location.key in await drive.objects()
        drive.time.pass_by(GRACE)
        assert (await drive.reap()).deleted == 1
        assert old.location.key not in await drive.objects()
        assert await drive.get() == b"new"

    async def test_what_a_killed_writer_left_is_deleted_when_its_lease_is_over(self, any_drive: Drive) -> None:
        left, written = (Location(any_drive.stores.active, ObjectKey.random()) for _ in range(2))
        async with any_drive.metadata() as work:
            await work.uploads.add(left, timedelta(0))
            await work.uploads.add(written, timedelta(0))
            await work.commit()
        await any_drive.active.put(written.key, each([b"half of i"]))
        assert (await any_drive.reap()).deleted == 2
        assert await any_drive.objects() == set()
        assert (await any_drive.reap()).deleted == 0

    async def test_a_fault_holds_up_nothing_else_and_is_tried_again(self, drive: Drive) -> None:
        class Down(MemoryBlobStore):
            async def delete(self, key: ObjectKey) -> None:
                raise DriveError(Kind.UNAVAILABLE, "down", backend="down", subject=key)

        key = await drive.put(b"x")
        both = Drive(drive.metadata, Stores("memory", {"down": Down(), "memory": drive.active}), drive.time)
        async with drive.metadata() as work:
            for backend in ("down", "memory", "not configured"):
                await work.garbage.add(Garbage(Location(backend, ObjectKey.random())), timedelta(0))
            await work.commit()
        reaped = await both.reap()
        assert (reaped.deleted, [fault.backend for fault in reaped.faults]) == (1, ["down"])
        assert await both.reap() == type(reaped)(0, ())
        drive.time.pass_by(GRACE)
        assert len((await both.reap()).faults) == 1
        assert await drive.objects() == {key.location.key}

    async def test_one_round_is_bounded(self, drive: Drive) -> None:
        async with drive.metadata() as work:
            for _ in range(BATCH + 1):
                await work.garbage.add(Garbage(Location("memory", ObjectKey.random())), timedelta(0))
            await work.commit()
        assert [(await drive.reap()).deleted for _ in range(3)] == [BATCH, 1, 0]
