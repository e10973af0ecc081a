"""The use cases on real adapters, and what they make of faults at each step of the commit protocol."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.metadata.memory import MemoryMetadata
from adapters.metadata.sql import SqlMetadata
from adapters.sql.sqlite import SqliteConfig, SqliteDatabase
from adapters.storage.filesystem import FilesystemBlobStore, FilesystemConfig
from adapters.storage.memory import MemoryBlobStore
from application.check_ready import CheckReady
from application.fetch_blob import FetchBlob
from application.ports.blob_store import BlobStore, Stored
from application.ports.metadata import Garbage, UnitOfWork, UnitOfWorkFactory
from application.reap import AGAIN, BATCH, Reap
from application.store_blob import GRACE, LEASE, NewBlob, StoreBlob
from application.stores import Stores
from domain.blob import Blob, BlobId, ByteRange, Digest, Location, ObjectKey
from domain.errors import DriveError, Kind
from domain.precondition import ANY, CREATE_ONLY, Precondition
from tests.contracts.blob_store import Fault, each, keys, pattern, refused
from tests.contracts.metadata import Metadata, outcomes

ID = BlobId("k5")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Time:
    """A clock that stands still until it is moved: the database's, the application's and the monotonic one."""

    def __init__(self) -> None:
        self.now = LONG_AGO

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return (self.now - LONG_AGO).total_seconds()

    def pass_by(self, time: timedelta) -> None:
        self.now += time


@dataclass
class Drive:
    """The use cases put together, and a look at what lies underneath."""

    metadata: Metadata
    stores: Stores
    time: Time

    def __post_init__(self) -> None:
        self.store = StoreBlob(
            self.metadata, self.stores, ObjectKey.random, 100_000_000, self.time, self.time.monotonic
        )
        self.fetch = FetchBlob(self.metadata.blobs, self.stores)
        self.reap = Reap(self.metadata, self.stores)

    @property
    def active(self) -> BlobStore:
        return self.stores.by_name[self.stores.active]

    async def put(self, data: bytes, blob_id: BlobId = ID, precondition: Precondition = ANY) -> Blob:
        return await self.store(NewBlob(blob_id, each([data]), precondition=precondition))

    async def get(self, blob_id: BlobId = ID) -> bytes:
        async with await self.fetch(blob_id) as opened:
            return b"".join([chunk async for chunk in opened])

    async def objects(self) -> set[ObjectKey]:
        return set(await keys(self.active))


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
        yield Drive(metadata, Stores("fs", {"fs": files}), Time())


class TestStoreAndFetch:
    @pytest.mark.parametrize("size", [0, 1, 5_000_000])
    async def test_what_was_stored_is_fetched(self, any_drive: Drive, size: int) -> None:
        data = pattern(size)
        blob = await any_drive.store(NewBlob(ID, each([data[:100], data[100:]]), "image/png"))
        assert (blob.size, blob.content_type, blob.created_at) == (size, "image/png", LONG_AGO)
        assert blob.digest == Digest(hashlib.sha256(data).digest())
        assert await any_drive.get() == data
        async with await any_drive.fetch(ID) as opened:
            assert opened.blob == blob

    async def test_what_was_never_stored_is_not_found(self, any_drive: Drive) -> None:
        with refused(Kind.NOT_FOUND):
            await any_drive.get()

    async def test_create_only_keeps_the_first(self, any_drive: Drive) -> None:
        await any_drive.put(b"first", precondition=CREATE_ONLY)
        with refused(Kind.ALREADY_EXISTS):
            await any_drive.put(b"second", precondition=CREATE_ONLY)
        assert await any_drive.get() == b"first"
        assert len(await any_drive.objects()) == 1, "refused before a byte was written"

    async def test_one_of_many_creators_wins_and_the_rest_leaves_nothing(self, any_drive: Drive) -> None:
        contents = [pattern(size) for size in range(1000, 1020)]
        ended = await outcomes(*(any_drive.put(data, precondition=CREATE_ONLY) for data in contents))
        [winner] = [outcome for outcome in ended if isinstance(outcome, Blob)]
        assert ended.count(Kind.ALREADY_EXISTS) == 19
        assert await any_drive.get() == contents[ended.index(winner)]
        await any_drive.reap()
        assert await any_drive.objects() == {winner.location.key}

    async def test_racing_writers_leave_one_whole_version(self, any_drive: Drive) -> None:
        contents = [pattern(size) for size in range(1_000_000, 1_000_010)]
        await asyncio.gather(*(any_drive.put(data) for data in contents))
        async with await any_drive.fetch(ID) as opened:
            data = b"".join([chunk async for chunk in opened])
            assert data in contents
            assert opened.blob.size == len(data)
            assert opened.blob.digest == Digest(hashlib.sha256(data).digest())

    @pytest.mark.parametrize("size", [1_000_000, 4_000_000, 8_000_000])
    async def test_a_reader_gets_all_of_the_version_that_it_opened(self, any_drive: Drive, size: int) -> None:
        old, new = pattern(size), pattern(size + 1)
        await any_drive.put(old)
        async with await any_drive.fetch(ID) as opened:
            read = [await anext(chunks := aiter(opened))]
            await any_drive.put(new)
            await any_drive.reap()
            read += [chunk async for chunk in chunks]
        assert b"".join(read) == old
        assert await any_drive.get() == new


class TestWhatFailsLeavesTheOldVersion:
    async def expect_old_alone(self, drive: Drive) -> None:
        assert await drive.get() == b"old"
        await drive.reap()
        assert len(await drive.objects()) == 1
        async with drive.metadata() as work:
            assert await work.uploads.remove_expired(10) == []

    @pytest.mark.parametrize("before", [0, 1, 3_000_000])
    async def test_a_source_that_fails(self, any_drive: Drive, before: int) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield pattern(before)
            raise Fault

        await any_drive.put(b"old")
        with pytest.raises(Fault):
            await any_drive.store(NewBlob(ID, failing()))
        await self.expect_old_alone(any_drive)

    @pytest.mark.parametrize("before", [0, 1, 3_000_000])
    async def test_a_writer_that_is_cancelled(self, any_drive: Drive, before: int) -> None:
        stuck = asyncio.Event()

        async def sticking() -> AsyncIterator[bytes]:
            yield pattern(before)
            stuck.set()
            await asyncio.Event().wait()

        await any_drive.put(b"old")
        storing = asyncio.create_task(any_drive.store(NewBlob(ID, sticking())))
        await stuck.wait()
        with refused(Kind.PRECONDITION_FAILED):  # what is on its way can't be seen
            await any_drive.put(b"", precondition=Precondition(etags=frozenset({"?"})))
        assert await any_drive.get() == b"old"
        storing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await storing
        await self.expect_old_alone(any_drive)

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            ({"size": 2}, Kind.SIZE_MISMATCH),
            ({"size": 4}, Kind.SIZE_MISMATCH),
            ({"size": 100_000_001}, Kind.TOO_LARGE),
            ({"digest": Digest(bytes(32))}, Kind.DIGEST_MISMATCH),
            ({"precondition": CREATE_ONLY}, Kind.ALREADY_EXISTS),
            ({"precondition": Precondition(etags=frozenset({"x"}))}, Kind.PRECONDITION_FAILED),
        ],
    )
    async def test_what_is_not_as_declared(self, any_drive: Drive, change: dict[str, object], kind: Kind) -> None:
        await any_drive.put(b"old")
        new = NewBlob(ID, each([b"new"]))
        with refused(kind):
            await any_drive.store(replace(new, **change))  # type: ignore[arg-type]  # fields of NewBlob, in the list
        await self.expect_old_alone(any_drive)

    async def test_a_storage_that_keeps_less_than_it_was_given(self, drive: Drive) -> None:
        class DropsTheLastByte(MemoryBlobStore):
            async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
                data = b"".join([chunk async for chunk in chunks])
                return await super().put(key, each([data[:-1]]))

        await drive.put(b"old")
        careless = {"memory": drive.active, "careless": DropsTheLastByte()}
        with refused(Kind.INTEGRITY):
            await Drive(drive.metadata, Stores("careless", careless), drive.time).put(b"new")
        assert await drive.get() == b"old"
        await Drive(drive.metadata, Stores("careless", careless), drive.time).reap()
        assert await keys(careless["careless"]) == []


class LosesAnAnswer(UnitOfWorkFactory):
    """Units of work of which the commit with this number loses its answer, after or before it happened."""

    def __init__(self, units: UnitOfWorkFactory, number: int, *, happens: bool) -> None:
        self.units = units
        self.left = number
        self.happens = happens

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self.units() as work:
            commit = work.commit

            async def lose() -> None:
                self.left -= 1
                if self.left or self.happens:
                    await commit()
                if not self.left:
                    raise DriveError(Kind.COMMIT_UNKNOWN, "the connection was lost")

            work.commit = lose  # type: ignore[method-assign]  # for this unit alone
            yield work


class TestUnknownCommits:
    PUBLISHING = 2  # the first commit reserves

    async def test_one_that_happened_is_a_success(self, any_drive: Drive) -> None:
        await any_drive.put(b"old")
        units = LosesAnAnswer(any_drive.metadata, self.PUBLISHING, happens=True)
        blob = await replace(any_drive.store, units=units)(NewBlob(ID, each([b"new"])))
        await any_drive.reap()
        assert await any_drive.get() == b"new"
        assert blob.location.key in await any_drive.objects()

    async def test_one_that_did_not_happen_is_an_error_and_leaves_nothing(self, any_drive: Drive) -> None:
        await any_drive.put(b"old")
        units = LosesAnAnswer(any_drive.metadata, self.PUBLISHING, happens=False)
        with refused(Kind.COMMIT_UNKNOWN):
            await replace(any_drive.store, units=units)(NewBlob(ID, each([b"new"])))
        await any_drive.reap()
        assert await any_drive.get() == b"old"
        assert len(await any_drive.objects()) == 1

    async def test_one_that_stays_unknown_says_so(self, any_drive: Drive) -> None:
        @asynccontextmanager
        async def units() -> AsyncIterator[UnitOfWork]:
            if losing.left <= 0:
                raise DriveError(Kind.UNAVAILABLE, "the database is down")
            async with losing() as work:
                yield work

        losing = LosesAnAnswer(any_drive.metadata, self.PUBLISHING, happens=True)
        with refused(Kind.COMMIT_UNKNOWN):
            await replace(any_drive.store, units=units)(NewBlob(ID, each([b"new"])))
        assert await any_drive.get() == b"new"


class TestLeases:
    @pytest.fixture
    def steps(self) -> "asyncio.Queue[bytes | None]":
        return asyncio.Queue()

    def upload(self, drive: Drive, steps: "asyncio.Queue[bytes | None]") -> "asyncio.Task[Blob]":
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


class Interrupted(MemoryBlobStore):
    """Something happens between the reading of the row and the next reading of an object."""

    before_the_next_open: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def open(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        if happening := self.before_the_next_open:
            self.before_the_next_open = None
            await happening()
        async with super().open(key, byte_range) as chunks:
            yield chunks


class TestFetchFindsTheTruth:
    async def test_a_reader_that_loses_the_race_against_the_reaper_gets_the_new_version(self, drive: Drive) -> None:
        store = Interrupted()
        raced = Drive(drive.metadata, Stores("memory", {"memory": store}), drive.time)

        async def replace_and_reap() -> None:
            await raced.put(b"new")
            drive.time.pass_by(GRACE)
            await raced.reap()

        await raced.put(b"old")
        store.before_the_next_open = replace_and_reap
        assert await raced.get() == b"new"

    async def test_a_row_without_its_object_is_damage_not_absence(self, any_drive: Drive) -> None:
        blob = await any_drive.put(b"here")
        await any_drive.active.delete(blob.location.key)
        with pytest.raises(DriveError, match=r"is gone; it should have 4 bytes") as caught:
            await any_drive.get()
        assert (caught.value.kind, caught.value.subject) == (Kind.INTEGRITY, blob.location.key.value)

    @pytest.mark.parametrize(
        ("there", "why"), [(b"", "ends after 0"), (b"her", "ends after 3"), (b"here!", "is longer")]
    )
    async def test_an_object_of_another_size_is_damage(self, any_drive: Drive, there: bytes, why: str) -> None:
        blob = await any_drive.put(b"here")
        await any_drive.active.delete(blob.location.key)
        await any_drive.active.put(blob.location.key, each([there]))
        with pytest.raises(DriveError, match=why) as caught:
            await any_drive.get()
        assert caught.value.kind is Kind.INTEGRITY

    async def test_blobs_are_read_from_where_they_are(self, drive: Drive) -> None:
        await drive.put(b"old")
        both = {"memory": drive.active, "other": MemoryBlobStore()}
        switched = Drive(drive.metadata, Stores("other", both), drive.time)
        await switched.put(b"new", BlobId("new"))
        assert (await switched.get(), await switched.get(BlobId("new"))) == (b"old", b"new")
        alone = Drive(drive.metadata, Stores("other", {"other": both["other"]}), drive.time)
        with pytest.raises(DriveError, match="'memory', which is not configured") as caught:
            await alone.get()
        assert caught.value.kind is Kind.UNAVAILABLE


class TestReadiness:
    def check(self, drive: Drive, store: BlobStore | None = None, units: UnitOfWorkFactory | None = None) -> CheckReady:
        stores = Stores("memory", {"memory": store or drive.active})
        return CheckReady(units or drive.metadata, stores, ObjectKey.random, timedelta(seconds=0.05))

    async def test_a_drive_that_takes_writes_is_ready_and_left_as_it_was(self, any_drive: Drive) -> None:
        assert await CheckReady(any_drive.metadata, any_drive.stores, ObjectKey.random)() == {}
        assert await any_drive.objects() == set()
        async with any_drive.metadata() as work:
            assert await work.uploads.remove_expired(10) == []

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
