"""Uploads that stand still, and the reaper."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import pytest

from adapters.metadata.memory.contents import MemoryTrash
from adapters.storage.memory import MemoryBlobStore
from application.blobs.multipart.uploads import MultipartUploads, NewUpload
from application.blobs.store import StoredBlob
from application.contents.retention import GRACE
from application.maintenance import expire
from application.maintenance.expire import Expire
from application.maintenance.reap import AGAIN, AT_ONCE, BATCH, CLAIM, Reap, Reaped
from application.ports.blob_store import Stored
from application.ports.metadata import Garbage, UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from application.uploads.lifecycle import LEASE
from domain.access import EVERYTHING
from domain.blob import BlobId, Location, ObjectKey
from domain.errors import Kind, TimedOut, Unavailable
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from tests.contracts.blob_store import each, refused
from tests.integration.drive import ID, Drive, new_blob, with_uploads
from tests.integration.renewing import Renewing


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

        return asyncio.create_task(drive.store(EVERYTHING, new_blob(ID, source())))

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
        drive.time.pass_by(AGAIN)
        await drive.reap()
        assert await drive.metadata.backlog() == []
        await self.send(steps, None)
        with refused(Kind.LEASE_LOST):
            await uploading
        # Its object was written after the reaper's last delete.
        assert await drive.get() == b"old"
        assert len(await drive.objects()) == 1

    @pytest.mark.parametrize(("client_timeout", "storage_timeout"), [(30, 60), (7200, 60), (30, 7200)])
    async def test_a_lease_outlasts_a_client_and_a_storage_that_stand_still_as_long_as_they_may(
        self, drive: Drive, client_timeout: float, storage_timeout: float
    ) -> None:
        given = Settings(storage="memory", client_timeout=client_timeout, storage_timeout=storage_timeout)
        lease = Container(settings=given).uploads().lease

        async def source() -> AsyncIterator[bytes]:
            yield b"it is not "
            drive.time.pass_by(lease / 3)  # too soon to be renewed
            yield b"renewed, "
            # The storage took the last chunk, there is no stream free for this one, and the client is slow.
            drive.time.pass_by(timedelta(seconds=2 * storage_timeout + client_timeout))
            await drive.reap()
            yield b"and holds"

        await with_uploads(drive.store, lease=lease)(EVERYTHING, new_blob(ID, source()))
        assert await drive.get() == b"it is not renewed, and holds"

    async def test_an_upload_keeps_its_lease_while_its_last_bytes_take_long(self, drive: Drive) -> None:
        lease = timedelta(milliseconds=3)  # so that a renewal is due after one
        renewals = Renewing(drive.metadata)
        arrived = asyncio.Event()
        put = drive.active.put

        async def put_slowly(key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
            stored = await put(key, chunks)
            await arrived.wait()
            return stored

        drive.active.put = put_slowly  # type: ignore[method-assign]  # a slow uplink
        store = with_uploads(drive.store, units=renewals, lease=lease)
        uploading = asyncio.create_task(store(EVERYTHING, new_blob(ID, each([b"data"]))))
        for _ in range(4):
            await renewals.one()
            drive.time.pass_by(lease / 2)
            await drive.reap()
        arrived.set()
        await uploading
        assert await drive.get() == b"data"

    async def test_an_upload_keeps_its_lease_while_its_storage_is_busy_with_a_chunk(self, drive: Drive) -> None:
        """A server that scans or forwards what it has replies late, also in the middle of an upload."""
        lease = timedelta(milliseconds=3)  # so that a renewal is due after one
        renewals = Renewing(drive.metadata)
        complete = asyncio.Event()
        put = drive.active.put

        async def put_slowly(key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
            async def slowly() -> AsyncIterator[bytes]:
                async for chunk in chunks:
                    await complete.wait()
                    yield chunk

            return await put(key, slowly())

        drive.active.put = put_slowly  # type: ignore[method-assign]  # a server that replies late
        store = with_uploads(drive.store, units=renewals, lease=lease)
        uploading = asyncio.create_task(store(EVERYTHING, new_blob(ID, each([b"first, ", b"second"]))))
        for _ in range(4):
            await renewals.one()
            drive.time.pass_by(lease / 2)
            await drive.reap()
        complete.set()
        await uploading
        assert await drive.get() == b"first, second"

    async def test_an_upload_that_was_given_up_fails_at_the_next_chunk(
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


class Frozen(MemoryBlobStore):
    """A storage whose server is frozen in a put until the lease is over. Its object is gone, and the put fails."""

    drive: Drive

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        await super().put(key, chunks)
        self.drive.time.pass_by(LEASE * 2)
        assert (await self.drive.reap()).deleted == 1
        await super().put(key, each([b"a part that lands late"]))
        raise Unavailable("the upload is gone")


async def test_a_put_that_fails_after_the_lease_is_lost(drive: Drive) -> None:
    store = Frozen()
    store.drive = Drive(drive.metadata, Stores("memory", {"memory": store}), drive.time)
    with refused(Kind.LEASE_LOST):
        await store.drive.put(b"data")
    assert await store.drive.objects() == set()


class Down(MemoryBlobStore):
    async def delete(self, key: ObjectKey) -> None:
        raise Unavailable("down", backend="down", subject=key)


class Refuses(MemoryBlobStore):
    """A storage that refuses to delete some objects."""

    def __init__(self, refused: Collection[ObjectKey]) -> None:
        super().__init__()
        self._refused = refused

    async def delete(self, key: ObjectKey) -> None:
        if key in self._refused:
            raise Unavailable("denied", backend="refuses", subject=key)
        await super().delete(key)


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

    async def discard(self, drive: Drive, backend: str, objects: int) -> None:
        async with drive.metadata() as work:
            for _ in range(objects):
                await work.garbage.add(Garbage(Location(backend, ObjectKey.random())), timedelta(0))
            await work.commit()

    @pytest.fixture
    def with_one_down(self, drive: Drive) -> Drive:
        """The drive, and a backend `down` beside it."""
        return Drive(drive.metadata, Stores("memory", {"down": Down(), "memory": drive.active}), drive.time)

    async def test_a_backend_that_is_down_holds_up_no_other_and_is_not_asked_for_all(
        self, with_one_down: Drive
    ) -> None:
        await self.discard(with_one_down, "down", BATCH + 1)
        await self.discard(with_one_down, "memory", 1)
        reaped = await with_one_down.reap("down")
        assert (reaped.deleted, reaped.more, len(reaped.errors)) == (0, False, AT_ONCE)
        assert (await with_one_down.reap("memory")).deleted == 1

    async def test_what_could_not_be_deleted_is_tried_more_and_more_seldom(self, with_one_down: Drive) -> None:
        await self.discard(with_one_down, "down", 1)
        tried = []
        for claims in range(200):
            if (await with_one_down.reap("down")).errors:
                tried.append(claims)
            with_one_down.time.pass_by(CLAIM)
        assert tried == [0, 1, 3, 7, 15, 31, 63, 127, 191]

    @pytest.mark.parametrize(("refused", "rounds"), [(1, 1), (AT_ONCE - 1, 1), (AT_ONCE, 2), (3 * AT_ONCE, 4)])
    async def test_objects_that_cannot_be_deleted_delay_no_other(self, drive: Drive, refused: int, rounds: int) -> None:
        objects = [Location("refuses", ObjectKey.random()) for _ in range(BATCH)]
        store = Refuses([location.key for location in objects[:refused]])
        mixed = Drive(drive.metadata, Stores("refuses", {"refuses": store}), drive.time)
        async with drive.metadata() as work:
            for age, location in enumerate(objects):
                await work.garbage.add(Garbage(location), -timedelta(seconds=BATCH - age))  # the refused ones first
            await work.commit()
        reaped = [await mixed.reap() for _ in range(rounds)]  # without a pause
        assert sum(each.deleted for each in reaped) == BATCH - refused
        assert sum(len(each.errors) for each in reaped) == refused
        assert await mixed.reap() == Reaped(0, more=False, errors=())
        drive.time.pass_by(CLAIM)
        assert len((await mixed.reap()).errors) == min(refused, AT_ONCE)

    async def test_garbage_on_a_backend_that_is_not_configured_waits(self, drive: Drive) -> None:
        await self.discard(drive, "elsewhere", 3)
        assert await drive.reap() == Reaped(0, more=False, errors=())
        [backlog] = await drive.metadata.backlog()
        assert (backlog.backend, backlog.due) == ("elsewhere", 3)

    async def test_one_round_is_bounded(self, drive: Drive) -> None:
        await self.discard(drive, "memory", BATCH + 1)
        rounds = [await drive.reap() for _ in range(3)]
        assert [(each.deleted, each.more) for each in rounds] == [(BATCH, True), (1, False), (0, False)]

    async def test_a_write_that_lands_after_its_upload_was_given_up_is_deleted(self, any_drive: Drive) -> None:
        """As one that was on its way through the network while its deadline passed."""
        late = Location(any_drive.stores.active, ObjectKey.random())
        async with any_drive.metadata() as work:
            await work.uploads.add(late, timedelta(hours=1))
            await work.commit()
        assert await any_drive.store.uploads.discard(late) == [late]
        reap = Reap(any_drive.metadata, any_drive.stores, again=timedelta(0))
        assert (await reap(late.backend)).deleted == 1
        await any_drive.active.put(late.key, each([b"late"]))
        assert (await reap(late.backend)).deleted == 1
        assert await any_drive.objects() == set()
        assert await any_drive.metadata.backlog() == []


class Slow:
    """Repositories of a unit whose releases of contents take too long for the database."""

    def __init__(self, work: UnitOfWork) -> None:
        self._work = work
        self.trash = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    async def move_expired(self, limit: int, grace: timedelta) -> int:
        return await self._work.trash.move_expired(limit, grace)

    async def release(self, _: int) -> int:
        raise TimedOut("the database did not respond in time", backend="database")


class TestExpiry:
    """Rows whose time has come, before the objects."""

    async def test_rows_that_cannot_be_removed_keep_no_object(self, any_drive: Drive) -> None:
        async def expire() -> bool:
            raise TimedOut("the database did not respond in time", backend="database")

        backend = any_drive.stores.active
        async with any_drive.metadata() as work:
            await work.garbage.add(Garbage(Location(backend, ObjectKey.random())), timedelta(0))
            await work.uploads.add(Location(backend, ObjectKey.random()), timedelta(0))
            await work.commit()
        reaped = await Reap(any_drive.metadata, any_drive.stores, expire=expire)(backend)
        assert reaped.deleted == 2
        assert reaped.expiry is not None
        assert reaped.expiry.kind is Kind.TIMEOUT

    async def test_contents_that_cannot_be_released_keep_no_upload(self, drive: Drive) -> None:
        @asynccontextmanager
        async def units() -> AsyncIterator[Slow]:
            async with drive.metadata() as work:
                yield Slow(work)

        await drive.put(b"deleted")
        upload = await MultipartUploads(drive.store.uploads, drive.metadata.multipart, ObjectKey.random, 10).begin(
            EVERYTHING, NewUpload(ID)
        )
        drive.time.pass_by(upload.expires_at - upload.created_at)
        with refused(Kind.TIMEOUT):
            await Expire(cast("UnitOfWorkFactory", units))()
        async with drive.metadata() as work:
            assert await work.multipart.discard_expired(1) == 0

    async def test_contents_of_many_segments_are_released_in_several_units(
        self, drive: Drive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(expire, "BATCH", 3)
        released: list[int] = []
        release = MemoryTrash.release

        async def release_few(trash: MemoryTrash, limit: int) -> int:
            released.append(await release(trash, min(limit, 2)))
            return released[-1]

        monkeypatch.setattr(MemoryTrash, "release", release_few)
        for number in range(4):
            await drive.put(b"old", BlobId(f"{number}"))
            await drive.put(b"new", BlobId(f"{number}"))
        drive.time.pass_by(GRACE)
        assert await Expire(drive.metadata)(), "a batch was released, so there may be more"
        assert released == [2, 1]
        assert not await Expire(drive.metadata)()
        assert released == [2, 1, 1, 0]
