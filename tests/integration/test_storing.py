"""Storing and fetching, and what is left when that fails at any step."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.memory import MemoryBlobStore
from application.blobs.changes.delete import DeleteBlob
from application.blobs.store import NewBlob
from application.contents.retention import Retention
from application.ports.blob_store import Stored
from application.stores import Stores
from application.uploads.lifecycle import LEASE
from domain.access import EVERYTHING
from domain.blob import Blob, BlobId, Digest, ObjectKey
from domain.errors import BlobError, Kind
from domain.precondition import CREATE_ONLY, Precondition
from tests.contracts.blob_store import Fault, each, keys, pattern, refused
from tests.contracts.metadata import outcomes
from tests.integration.drive import ID, Drive, new_blob, with_uploads
from tests.integration.losing import DownFor, LosesAnAnswer, WithoutAStandby


class IdLast:
    """A source whose id comes after its last byte."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.id: BlobId | None = None
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        self.id = ID


class TestStoreAndFetch:
    @pytest.mark.parametrize("size", [0, 1, 5_000_000])
    async def test_what_was_stored_is_fetched(self, any_drive: Drive, size: int) -> None:
        data = pattern(size)
        stored = await any_drive.store(EVERYTHING, new_blob(ID, each([data[:100], data[100:]]), "image/png"))
        blob = stored.blob
        assert (blob.size, blob.properties.content_type) == (size, "image/png")
        assert blob.content.digest == Digest(hashlib.sha256(data).digest())
        assert await any_drive.get() == data
        async with any_drive.fetch(EVERYTHING, ID) as opened:
            assert (opened.blob, opened.blob.created_at) == (blob, blob.created_at)

    async def test_what_was_never_stored_is_not_found(self, any_drive: Drive) -> None:
        with refused(Kind.NOT_FOUND):
            await any_drive.get()

    async def test_create_only_keeps_the_first(self, any_drive: Drive) -> None:
        await any_drive.put(b"first", precondition=CREATE_ONLY)
        with refused(Kind.ALREADY_EXISTS):
            await any_drive.put(b"second", precondition=CREATE_ONLY)
        assert await any_drive.get() == b"first"
        assert len(await any_drive.objects()) == 1, "refused before a byte was written"

    async def test_an_id_that_comes_after_the_bytes(self, any_drive: Drive) -> None:
        stored = await any_drive.store(EVERYTHING, NewBlob(IdLast([b"first", b"second"]), precondition=CREATE_ONLY))
        assert stored.blob.id == ID
        with refused(Kind.ALREADY_EXISTS):
            await any_drive.store(EVERYTHING, NewBlob(IdLast([b"first", b"second"]), precondition=CREATE_ONLY))
        await any_drive.reap()
        assert await any_drive.objects() == {stored.blob.location.key}
        assert await any_drive.get() == b"firstsecond"

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
        async with any_drive.fetch(EVERYTHING, ID) as opened:
            data = b"".join([chunk async for chunk in opened])
            assert data in contents
            assert opened.blob.size == len(data)
            assert opened.blob.content.digest == Digest(hashlib.sha256(data).digest())

    @pytest.mark.parametrize("size", [1_000_000, 4_000_000, 8_000_000])
    async def test_a_reader_gets_all_of_the_version_that_it_opened(self, any_drive: Drive, size: int) -> None:
        old, new = pattern(size), pattern(size + 1)
        await any_drive.put(old)
        async with any_drive.fetch(EVERYTHING, ID) as opened:
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
            assert await work.uploads.remove_expired("memory", 10) == []

    @pytest.mark.parametrize("before", [0, 1, 3_000_000])
    async def test_a_source_that_fails(self, any_drive: Drive, before: int) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield pattern(before)
            raise Fault

        await any_drive.put(b"old")
        with pytest.raises(Fault):
            await any_drive.store(EVERYTHING, new_blob(ID, failing()))
        await self.expect_old_alone(any_drive)

    @pytest.mark.parametrize("before", [0, 1, 3_000_000])
    async def test_a_writer_that_is_cancelled(self, any_drive: Drive, before: int) -> None:
        stuck = asyncio.Event()

        async def sticking() -> AsyncIterator[bytes]:
            yield pattern(before)
            stuck.set()
            await asyncio.Event().wait()

        await any_drive.put(b"old")
        storing = asyncio.create_task(any_drive.store(EVERYTHING, new_blob(ID, sticking())))
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
        new = new_blob(ID, each([b"new"]))
        with refused(kind):
            await any_drive.store(EVERYTHING, replace(new, **change))  # type: ignore[arg-type]  # fields of NewBlob, in the list
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

    async def test_an_object_that_is_there_already_is_no_blob_that_exists(self, drive: Drive) -> None:
        key = ObjectKey.random()
        await drive.active.put(key, each([b"of an answer that was lost"]))
        with refused(Kind.UNAVAILABLE):
            await replace(drive.store, new_key=lambda: key)(EVERYTHING, new_blob(ID, each([b"new"])))
        await drive.reap()
        assert await drive.objects() == set()


class TestUnknownCommits:
    PUBLISHING = 2  # the first commit reserves

    async def test_one_that_happened_is_a_success(self, any_drive: Drive) -> None:
        await any_drive.put(b"old")
        units = LosesAnAnswer(any_drive.metadata, self.PUBLISHING, happens=True)
        stored = await with_uploads(any_drive.store, units=units)(EVERYTHING, new_blob(ID, each([b"new"])))
        assert stored.replaced
        await any_drive.reap()
        assert await any_drive.get() == b"new"
        assert stored.blob.location.key in await any_drive.objects()

    async def test_one_that_did_not_happen_is_an_error_and_leaves_nothing(self, any_drive: Drive) -> None:
        await any_drive.put(b"old")
        units = LosesAnAnswer(any_drive.metadata, self.PUBLISHING, happens=False)
        with pytest.raises(BlobError, match="nothing was stored"):
            await with_uploads(any_drive.store, units=units)(EVERYTHING, new_blob(ID, each([b"new"])))
        await any_drive.reap()
        assert await any_drive.get() == b"old"
        assert len(await any_drive.objects()) == 1

    @pytest.mark.parametrize("happens", [True, False])
    async def test_the_database_is_asked_until_it_responds(self, any_drive: Drive, happens: bool) -> None:
        await any_drive.put(b"old")
        losing = LosesAnAnswer(any_drive.metadata, self.PUBLISHING, happens=happens)
        coming_back = DownFor(losing, 3)
        store = with_uploads(any_drive.store, units=coming_back, waits=[0, 0, 0])
        storing = store(EVERYTHING, new_blob(ID, each([b"new"])))
        if happens:
            await storing
        else:
            with pytest.raises(BlobError, match="nothing was stored"):
                await storing
        assert coming_back.refusals == 0
        await any_drive.reap()
        assert await any_drive.get() == (b"new" if happens else b"old")

    @pytest.mark.parametrize("happens", [True, False])
    async def test_a_delete_is_seen_to(self, any_drive: Drive, happens: bool) -> None:
        await any_drive.put(b"old")
        coming_back = DownFor(LosesAnAnswer(any_drive.metadata, 1, happens=happens), 3)
        await DeleteBlob(coming_back, retention=Retention(timedelta(0), timedelta(0)), waits=[0, 0, 0])(EVERYTHING, ID)
        assert coming_back.refusals == 0
        with refused(Kind.NOT_FOUND):
            await any_drive.get()
        assert (await any_drive.reap()).deleted == 1
        assert await any_drive.metadata.backlog() == []

    async def test_a_delete_that_stays_unknown_says_so(self, any_drive: Drive) -> None:
        await any_drive.put(b"old")
        down = DownFor(LosesAnAnswer(any_drive.metadata, 1, happens=False), 100)
        with refused(Kind.COMMIT_UNKNOWN):
            await DeleteBlob(down, waits=[0, 0])(EVERYTHING, ID)
        assert await any_drive.get() == b"old"

    async def test_one_that_only_reserves_has_stored_nothing(self, any_drive: Drive) -> None:
        units = LosesAnAnswer(any_drive.metadata, 1, happens=True)
        with refused(Kind.UNAVAILABLE):
            await with_uploads(any_drive.store, units=units)(EVERYTHING, new_blob(ID, each([b"new"])))
        assert await any_drive.objects() == set()

    @pytest.mark.parametrize("happens", [True, False])
    async def test_one_that_only_renews_is_tried_again_in_time(self, drive: Drive, happens: bool) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield b"first"
            drive.time.pass_by(LEASE / 2)
            yield b"second"  # the renewal fails
            drive.time.pass_by(LEASE / 10)
            yield b"third"  # and succeeds
            drive.time.pass_by(LEASE * 0.95)  # longer than an earlier renewal would last
            await drive.reap()

        units = LosesAnAnswer(drive.metadata, 2, happens=happens)
        await with_uploads(drive.store, units=units)(EVERYTHING, new_blob(ID, slow()))
        assert await drive.get() == b"firstsecondthird"

    async def test_one_that_only_renews_has_stored_nothing(self, drive: Drive) -> None:
        """While the database stays away, the bytes go on until a third of the lease is left."""

        async def slow() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield b"chunk"
                drive.time.pass_by(LEASE / 10)

        assert isinstance(drive.metadata, MemoryMetadata)
        units = WithoutAStandby(drive.metadata, 2, 100)
        with refused(Kind.UNAVAILABLE):
            await with_uploads(drive.store, units=units)(EVERYTHING, new_blob(ID, slow()))
        assert drive.time.monotonic() == pytest.approx(LEASE.total_seconds() * 0.7)
        await drive.reap()
        assert await drive.objects() == set()

    async def test_one_that_stays_unknown_says_so(self, any_drive: Drive) -> None:
        down = DownFor(LosesAnAnswer(any_drive.metadata, self.PUBLISHING, happens=True), 100)
        with refused(Kind.COMMIT_UNKNOWN):
            await with_uploads(any_drive.store, units=down, waits=[0, 0])(EVERYTHING, new_blob(ID, each([b"new"])))
        assert await any_drive.get() == b"new"
