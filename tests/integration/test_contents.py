"""Contents that are shared or have segments, from their beginning to the deletion of their objects."""

import asyncio
import hashlib
import random
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.hashing import sha256
from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.layers.base import BlobStoreLayer
from adapters.storage.memory import MemoryBlobStore
from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.delete import DeleteBlob
from application.blobs.changes.operations import Copy, Delete, Move, Operation, Patch, Put, Rules
from application.blobs.changes.prefixes import DeletePrefix, MovePrefix
from application.blobs.changes.trash import Trash
from application.blobs.multipart.uploads import MultipartUploads, NewPart, NewUpload
from application.contents.expiry import Expiry
from application.contents.retention import Retention
from application.maintenance.digests import ComputeDigests
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from application.uploads.committer import Committer
from application.uploads.lifecycle import Uploads
from application.verification.report import VerifyOptions
from application.verification.verify import Verify
from domain.access import EVERYTHING
from domain.blob import Blob, BlobId, ByteRange, ObjectKey
from domain.errors import BlobError, Kind, Unavailable
from domain.precondition import ANY
from tests.contracts.blob_store import each, refused
from tests.integration.drive import ID, Drive, Time, new_blob
from tests.integration.losing import DownFor, LosesAnAnswer
from tests.integration.renewing import Renewing
from tests.integration.test_verifying import Notes

OTHER, THIRD = BlobId("other"), BlobId("third")
GRACE = timedelta(minutes=10)
LONG = timedelta(days=2)
SHORT = timedelta(milliseconds=3)  # the lifetime of an upload, which is renewed every millisecond
RETENTION = Retention(GRACE, GRACE)


async def expect(kind: Kind, call: Awaitable[object]) -> None:
    with refused(kind):
        await call


def committer(drive: Drive, units: UnitOfWorkFactory | None = None) -> Committer:
    return Committer(units or drive.metadata, ObjectKey.random, waits=(0.0,) * 5)


async def commit(drive: Drive, *operations: Operation, units: UnitOfWorkFactory | None = None) -> list[Any]:
    rules = Rules(RETENTION)
    commit = committer(drive, units)
    return await CommitOperations(commit, commit, rules)(EVERYTHING, operations)


def uploads(drive: Drive, *, units: UnitOfWorkFactory | None = None, **more: Any) -> MultipartUploads:
    lifecycle = Uploads(units or drive.metadata, drive.stores, monotonic=drive.time.monotonic)
    return MultipartUploads(lifecycle, drive.metadata.multipart, ObjectKey.random, 10**12, **more)


async def passing(drive: Drive, renewing: Renewing) -> AsyncIterator[bytes]:
    """Five bytes, which take longer than `SHORT`, with a renewal between any two."""
    for _ in range(5):
        yield b"x"
        drive.time.pass_by(SHORT * 2 / 3)
        await renewing.one()
        await drive.reap()


async def upload(drive: Drive, parts: Sequence[bytes], blob_id: BlobId = ID) -> Blob:
    """Store a blob of several parts."""
    multipart = uploads(drive)
    key = (await multipart.begin(EVERYTHING, NewUpload())).key
    for number, part in enumerate(parts, 1):
        await multipart.write(EVERYTHING, key, number, NewPart(each([part])))
    [changed] = await commit(drive, Put(blob_id, key))
    assert changed.blob is not None
    blob: Blob = changed.blob
    return blob


def always(part: ByteRange) -> Callable[[Blob], ByteRange]:
    return lambda _: part


async def come_to_rest(drive: Drive) -> None:
    """Let everything expire, and reap until there is nothing left."""
    for _ in range(6):
        drive.time.pass_by(LONG)
        await drive.reap()


class TestCopies:
    @pytest.mark.parametrize("order", [(ID, OTHER), (OTHER, ID)])
    async def test_the_object_goes_with_the_last_of_them(self, drive: Drive, order: tuple[BlobId, BlobId]) -> None:
        await drive.put(b"data")
        await commit(drive, Copy(ID, OTHER))
        assert len(await drive.objects()) == 1
        await DeleteBlob(drive.metadata, RETENTION)(EVERYTHING, order[0])
        await come_to_rest(drive)
        assert await drive.get(order[1]) == b"data"
        await DeleteBlob(drive.metadata, RETENTION)(EVERYTHING, order[1])
        drive.time.pass_by(GRACE / 2)
        await drive.reap()
        assert len(await drive.objects()) == 1
        drive.time.pass_by(GRACE)
        await drive.reap()
        assert await drive.objects() == set()

    async def test_copies_of_copies(self, drive: Drive) -> None:
        await upload(drive, [b"a", b"b", b"c"])
        ids = [BlobId(f"copy-{number}") for number in range(5)]
        for source, target in zip([ID, *ids], ids, strict=False):
            await commit(drive, Copy(source, target))
        await commit(drive, Move(ids[2], THIRD))
        await commit(drive, *(Delete(each) for each in (ID, ids[0], ids[1], ids[3], ids[4])))
        await come_to_rest(drive)
        assert await drive.get(THIRD) == b"abc"
        await commit(drive, Delete(THIRD))
        await come_to_rest(drive)
        assert await drive.objects() == set()

    async def test_a_restored_copy_counts(self, drive: Drive) -> None:
        await drive.put(b"data")
        await commit(drive, Copy(ID, OTHER))
        await commit(drive, Delete(ID), Delete(OTHER))
        trash = Trash(committer(drive), drive.metadata.trash, RETENTION)
        [_, version] = await trash.list(EVERYTHING, "", None, 9)
        await trash.restore(EVERYTHING, version.key, THIRD, may_replace=False)
        await come_to_rest(drive)
        assert await drive.get(THIRD) == b"data"

    async def test_a_patch_keeps_the_content(self, drive: Drive) -> None:
        blob = await drive.put(b"data")
        [changed] = await commit(drive, Patch(ID, metadata={"a": "1"}))
        assert changed.blob.content == blob.content
        await come_to_rest(drive)
        assert await drive.get() == b"data"


class TestSegments:
    async def test_every_range(self, drive: Drive) -> None:
        parts = [b"abc", b"", b"d", b"efgh"]
        whole = b"".join(parts)
        blob = await upload(drive, parts)
        assert (blob.content.segments, blob.content.digest, blob.size) == (3, None, len(whole))
        assert await drive.get() == whole
        for start in range(len(whole)):
            for stop in range(start + 1, len(whole) + 1):
                assert await drive.get(choose=always(ByteRange(start, stop))) == whole[start:stop]

    async def test_nothing_is_left_of_what_was_not_taken(self, drive: Drive) -> None:
        multipart = uploads(drive)
        key = (await multipart.begin(EVERYTHING, NewUpload())).key
        for number, data in [(1, b"first"), (1, b"second"), (2, b"not taken"), (3, b""), (4, b"end")]:
            await multipart.write(EVERYTHING, key, number, NewPart(each([data])))
        await commit(drive, Put(ID, key, [1, 3, 4]))
        await come_to_rest(drive)
        assert len(await drive.objects()) == 2
        assert await drive.get() == b"secondend"

    async def test_an_abandoned_upload_is_discarded(self, drive: Drive) -> None:
        multipart = uploads(drive, lifetime=timedelta(hours=1))
        key = (await multipart.begin(EVERYTHING, NewUpload())).key
        for number in (1, 2):
            await multipart.write(EVERYTHING, key, number, NewPart(each([b"x"])))
            drive.time.pass_by(timedelta(minutes=50))  # each part renews it
        drive.time.pass_by(timedelta(minutes=11))
        await expect(Kind.UPLOAD_NOT_FOUND, multipart.find(EVERYTHING, key))
        await expect(Kind.UPLOAD_NOT_FOUND, multipart.write(EVERYTHING, key, 3, NewPart(each([b"x"]))))
        await expect(Kind.UPLOAD_NOT_FOUND, commit(drive, Put(ID, key)))
        await come_to_rest(drive)
        assert await drive.objects() == set()

    async def test_an_upload_is_kept_while_a_part_arrives(self, drive: Drive) -> None:
        renewing = Renewing(drive.metadata)
        multipart = uploads(drive, lifetime=SHORT, units=renewing)
        key = (await multipart.begin(EVERYTHING, NewUpload())).key
        await multipart.write(EVERYTHING, key, 1, NewPart(passing(drive, renewing)))
        await multipart.append(EVERYTHING, key, 5, NewPart(passing(drive, renewing)))
        await commit(drive, Put(ID, key))
        assert await drive.get() == b"x" * 10

    async def test_a_quick_part_renews_nothing(self, drive: Drive) -> None:
        begun = []

        @asynccontextmanager
        async def units() -> AsyncIterator[UnitOfWork]:
            async with drive.metadata() as work:
                begun.append(work)
                yield work

        multipart = uploads(drive, units=units)
        key = (await multipart.begin(EVERYTHING, NewUpload())).key
        begun.clear()
        await multipart.write(EVERYTHING, key, 1, NewPart(each([b"x"])))
        assert len(begun) == 2, "to reserve it, and to record it"

    async def test_a_writer_that_was_ended_does_not_keep_the_upload(self, drive: Drive) -> None:
        renewing = Renewing(drive.metadata)
        multipart = uploads(drive, lifetime=SHORT, units=renewing)
        key = (await multipart.begin(EVERYTHING, NewUpload())).key
        began = asyncio.Event()

        async def hanging() -> AsyncIterator[bytes]:
            began.set()
            await asyncio.Event().wait()
            yield b"x"

        slow = asyncio.create_task(multipart.write(EVERYTHING, key, 1, NewPart(hanging())))
        await began.wait()
        await multipart.write(EVERYTHING, key, 1, NewPart(each([b"quick"])))
        drive.time.pass_by(SHORT * 2 / 3)
        await renewing.one()
        drive.time.pass_by(SHORT * 2 / 3)
        await expect(Kind.UPLOAD_NOT_FOUND, multipart.find(EVERYTHING, key))
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        await come_to_rest(drive)
        assert await drive.objects() == set()

    async def test_the_last_writer_of_a_part_wins(self, drive: Drive) -> None:
        multipart = uploads(drive)
        key = (await multipart.begin(EVERYTHING, NewUpload())).key
        began, goes_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            began.set()
            await goes_on.wait()
            yield b"slow"

        slow = asyncio.create_task(multipart.write(EVERYTHING, key, 1, NewPart(slowly())))
        await began.wait()
        await expect(Kind.PART_IN_PROGRESS, commit(drive, Put(ID, key)))
        await multipart.write(EVERYTHING, key, 1, NewPart(each([b"quick"])))
        goes_on.set()
        await expect(Kind.LEASE_LOST, slow)
        await commit(drive, Put(ID, key))
        await come_to_rest(drive)
        assert await drive.get() == b"quick"
        assert len(await drive.objects()) == 1

    async def test_a_failed_part_leaves_nothing(self, drive: Drive) -> None:
        multipart = uploads(drive)
        key = (await multipart.begin(EVERYTHING, NewUpload())).key
        await expect(Kind.SIZE_MISMATCH, multipart.write(EVERYTHING, key, 1, NewPart(each([b"abc"]), size=4)))
        assert await multipart.parts(EVERYTHING, key) == []
        await expect(Kind.INVALID_PARTS, commit(drive, Put(ID, key)))
        await multipart.discard(EVERYTHING, key)
        await come_to_rest(drive)
        assert await drive.objects() == set()

    async def test_the_parts_of_a_discarded_upload_are_left_to_the_reaper(self, any_drive: Drive) -> None:
        """There may be too many of them for the time of a request."""
        multipart, parts = uploads(any_drive), any_drive.metadata.multipart.parts
        key = (await multipart.begin(EVERYTHING, NewUpload())).key
        await multipart.write(EVERYTHING, key, 1, NewPart(each([b"abc"])))
        await multipart.discard(EVERYTHING, key)
        await expect(Kind.UPLOAD_NOT_FOUND, multipart.find(EVERYTHING, key))
        await expect(Kind.UPLOAD_NOT_FOUND, multipart.discard(EVERYTHING, key))
        assert len(await parts(key, 0, 9)) == 1
        await any_drive.reap()
        assert await parts(key, 0, 9) == []
        assert await any_drive.objects() == set()

    async def test_a_segment_that_is_gone_is_damage_and_found_by_verify(self, drive: Drive) -> None:
        blob = await upload(drive, [b"abc", b"def", b"ghi"])
        segments = await drive.metadata.contents.segments(blob.content.key, 0, 9)
        await drive.active.delete(segments[1].location.key)
        await expect(Kind.INTEGRITY, drive.get())
        verify = Verify(
            drive.metadata,
            drive.metadata.blobs,
            drive.metadata.contents,
            drive.metadata.named,
            drive.metadata.backlog,
            drive.stores,
        )
        verified = await verify(VerifyOptions(), notes := Notes())
        assert verified.wrong == 1
        [finding] = notes.findings
        assert (finding.location, finding.blob) == (segments[1].location, blob)

    @pytest.mark.parametrize(
        ("there", "part", "sent"),
        [
            (b"d", ByteRange(5, 9), b""),  # it begins after the end of the object
            (b"d", None, b"abcd"),
            (b"defX", None, b"abc"),  # no byte is sent in the place of another
        ],
    )
    async def test_a_segment_of_another_size_is_damage(
        self, drive: Drive, there: bytes, part: ByteRange | None, sent: bytes
    ) -> None:
        blob = await upload(drive, [b"abc", b"def", b"ghi"])
        segments = await drive.metadata.contents.segments(blob.content.key, 0, 9)
        await drive.active.delete(segments[1].location.key)
        await drive.active.put(segments[1].location.key, each([there]))
        received = bytearray()
        with refused(Kind.INTEGRITY):
            async with drive.fetch(EVERYTHING, ID, lambda _: part) as opened:
                async for chunk in opened:
                    received += chunk
        assert received == sent

    async def test_ten_thousand_segments_in_constant_memory(self, drive: Drive) -> None:
        parts = [b"%06d" % number for number in range(10_000)]
        blob = await upload(drive, parts)
        assert blob.content.segments == 10_000
        assert await drive.get(choose=lambda _: ByteRange(59_990, 60_000)) == b"9998009999"
        tracemalloc.start()
        try:
            size = 0
            async with drive.fetch(EVERYTHING, ID) as opened:
                async for chunk in opened:
                    size += len(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size == 60_000
        assert peak < 2_000_000


class CountsReads(BlobStoreLayer):
    """A storage that counts the bytes read, and fails after so many."""

    def __init__(self, store: MemoryBlobStore) -> None:
        super().__init__(store)
        self.count = 0
        self.fails_after: int | None = None

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self.store.read(key, byte_range) as chunks:
            yield self._counted(chunks)

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            for start in range(0, len(chunk), 100):
                if self.fails_after is not None and self.count >= self.fails_after:
                    raise Unavailable("the storage is down")
                self.count += len(chunk[start : start + 100])
                yield chunk[start : start + 100]


class TestDigests:
    @pytest.fixture
    def store(self) -> CountsReads:
        return CountsReads(MemoryBlobStore())

    @pytest.fixture
    def drive(self, store: CountsReads) -> Drive:
        time = Time()

        return Drive(MemoryMetadata(time), Stores("memory", {"memory": store}), time)

    def digests(self, drive: Drive, **more: Any) -> ComputeDigests:
        compute = ComputeDigests(drive.metadata, drive.metadata.contents, drive.stores, sha256, rate=10**9)
        return replace(compute, kept_every=1000, **more)

    async def test_every_version_gets_it(self, drive: Drive) -> None:
        parts = [random.randbytes(size) for size in (5000, 1, 3333)]  # noqa: S311
        blob = await upload(drive, parts)
        await commit(drive, Copy(ID, OTHER))
        await commit(drive, Delete(ID))
        assert await self.digests(drive)()
        assert not await self.digests(drive)()
        digest = hashlib.sha256(b"".join(parts)).digest()
        copy = await drive.metadata.blobs.get(OTHER)
        assert copy.content.digest is not None
        assert (copy.content.digest.sha256, copy.etag) == (digest, blob.etag)
        [version] = await drive.metadata.trash.between("", 0, None, 9)
        assert version.blob.content.digest == copy.content.digest

    async def test_one_that_was_missed_gets_it_later(self, drive: Drive) -> None:
        """A copy that was in progress when the digest was recorded."""
        await upload(drive, [b"ab", b"cd"])
        without = await drive.metadata.blobs.get(ID)
        assert await self.digests(drive)()
        async with drive.metadata() as work:
            await work.blobs.put(without.draft(), ANY)
            await work.commit()
        drive.time.pass_by(timedelta(hours=1))
        assert await self.digests(drive)()
        assert (await drive.metadata.blobs.get(ID)).content.digest is not None
        drive.time.pass_by(LONG)
        assert not await self.digests(drive)()

    async def test_another_replica_goes_on_where_one_has_died(self, drive: Drive, store: CountsReads) -> None:
        parts = [random.randbytes(5000) for _ in range(4)]  # noqa: S311
        await upload(drive, parts)
        store.fails_after = 12_500
        with pytest.raises(BlobError):
            await self.digests(drive)()
        assert not await self.digests(drive)()  # claimed
        drive.time.pass_by(timedelta(minutes=11))
        store.fails_after, store.count = None, 0
        assert await self.digests(drive)()
        assert store.count == 10_000  # from the end of a segment on
        digest = hashlib.sha256(b"".join(parts)).digest()
        found = (await drive.metadata.blobs.get(ID)).content.digest
        assert found is not None
        assert found.sha256 == digest

    async def test_bytes_that_have_changed_get_no_digest(self, drive: Drive, store: CountsReads) -> None:
        blob = await upload(drive, [bytes(5000), bytes(5001)])
        [segment, _] = await drive.metadata.contents.segments(blob.content.key, 0, 9)
        for changed in (bytes(4999), bytes(4999) + b"x"):
            await store.delete(segment.location.key)
            await store.put(segment.location.key, each([changed]))
            await expect(Kind.INTEGRITY, self.digests(drive)())
            drive.time.pass_by(timedelta(minutes=11))
        assert (await drive.metadata.blobs.get(ID)).content.digest is None

    async def test_one_without_a_state_begins_again(self, drive: Drive, store: CountsReads) -> None:
        parts = [random.randbytes(5000) for _ in range(2)]  # noqa: S311
        await upload(drive, parts)
        store.fails_after = 7_500
        with pytest.raises(BlobError):
            await self.digests(drive)()
        drive.time.pass_by(timedelta(minutes=11))
        store.fails_after, store.count = None, 0
        assert await self.digests(drive, new_hash=lambda state: None if state else sha256())()
        assert store.count == 10_000
        found = (await drive.metadata.blobs.get(ID)).content.digest
        assert found is not None
        assert found.sha256 == hashlib.sha256(b"".join(parts)).digest()

    async def test_the_rate_is_bounded(self, drive: Drive) -> None:
        await upload(drive, [bytes(5000), bytes(5000)])
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await self.digests(drive, rate=50_000)()
        assert loop.time() - began > 0.1


CHANGES: dict[str, Operation] = {
    "copy": Copy(ID, OTHER),
    "move": Move(ID, OTHER),
    "patch": Patch(ID, metadata={"a": "1"}),
    "delete": Delete(ID),
}


class TestLostCommits:
    @pytest.mark.parametrize("happens", [True, False])
    @pytest.mark.parametrize("refusals", [0, 3])
    @pytest.mark.parametrize("name", CHANGES)
    async def test_the_outcome_is_found_out(self, any_drive: Drive, name: str, happens: bool, refusals: int) -> None:
        await any_drive.put(b"data")
        units = DownFor(LosesAnAnswer(any_drive.metadata, 1, happens=happens), refusals)
        if happens:
            await commit(any_drive, CHANGES[name], units=units)
        else:
            await expect(Kind.UNAVAILABLE, commit(any_drive, CHANGES[name], units=units))
            assert await any_drive.get() == b"data"
            await commit(any_drive, CHANGES[name])
        expected = {"copy": [ID, OTHER], "move": [OTHER], "patch": [ID], "delete": []}
        assert [blob.id for blob in await any_drive.metadata.blobs.between("", None, 9)] == expected[name]

    @pytest.mark.parametrize("happens", [True, False])
    async def test_of_prefixes(self, any_drive: Drive, happens: bool) -> None:
        for number in range(3):
            await any_drive.put(b"x", BlobId(f"a/{number}"))
        blobs = any_drive.metadata.blobs

        def move(units: UnitOfWorkFactory) -> Awaitable[int]:
            return MovePrefix(committer(any_drive, units), blobs)(EVERYTHING, "a/", "b/")

        def delete(units: UnitOfWorkFactory) -> Awaitable[int]:
            return DeletePrefix(committer(any_drive, units), blobs)(EVERYTHING, "b/")

        for call in (move, delete):
            lost = call(LosesAnAnswer(any_drive.metadata, 1, happens=happens))
            if happens:
                assert await lost == 3
            else:
                await expect(Kind.UNAVAILABLE, lost)
                assert await call(any_drive.metadata) == 3
        assert await any_drive.metadata.blobs.between("", None, 9) == []


class TestExpiry:
    @pytest.mark.parametrize("how", ["store", "put", "patch"])
    async def test_a_time_that_is_past_at_the_publication_is_refused(self, drive: Drive, how: str) -> None:
        """By the clock of the database: the one of this machine is behind it, or the time has passed since."""
        await drive.put(b"former")
        drive.time.now = datetime(2100, 1, 1, tzinfo=UTC)
        expiry = Expiry(at=datetime(2099, 1, 1, tzinfo=UTC))
        with refused(Kind.INVALID_EXPIRY):
            if how == "store":
                await drive.store(EVERYTHING, new_blob(ID, each([b"new"]), expiry=expiry))
            elif how == "put":
                key = (await uploads(drive).begin(EVERYTHING, NewUpload(ID, expiry=expiry))).key
                await uploads(drive).write(EVERYTHING, key, 1, NewPart(each([b"new"])))
                await commit(drive, Put(ID, key))
            else:
                await commit(drive, Patch(ID, expiry=expiry))
        assert await drive.get() == b"former"
        await come_to_rest(drive)
        assert len(await drive.objects()) == 1, "what was refused is reclaimed"

    async def test_a_move_by_prefix_handles_only_the_expired_blobs_in_its_way(self, drive: Drive) -> None:
        await drive.put(b"moved", BlobId("a/1"))
        for name in ("a/2", "b/1", "b/2", "c"):
            await drive.put(b"expires", BlobId(name))
            await commit(drive, Patch(BlobId(name), expiry=Expiry(after=timedelta(hours=1))))
        drive.time.pass_by(timedelta(hours=2))
        assert await MovePrefix(committer(drive), drive.metadata.blobs)(EVERYTHING, "a/", "b/") == 1
        assert await drive.get(BlobId("b/1")) == b"moved"
        async with drive.metadata() as work:
            assert await work.trash.move_expired(10, timedelta(0)) == 3

    async def test_an_expired_blob_is_reclaimed(self, drive: Drive) -> None:
        await drive.put(b"data")
        await commit(drive, Patch(ID, expiry=Expiry(after=timedelta(hours=1))))
        await commit(drive, Copy(ID, OTHER))
        drive.time.pass_by(timedelta(minutes=59))
        assert await drive.get(OTHER) == b"data"
        drive.time.pass_by(timedelta(minutes=1, microseconds=1))  # the patch came a microsecond after the blob
        await expect(Kind.NOT_FOUND, drive.get())
        await expect(Kind.NOT_FOUND, commit(drive, Copy(ID, THIRD)))
        await drive.reap()
        assert len(await drive.objects()) == 1  # for those who began to read it
        await come_to_rest(drive)
        assert await drive.objects() == set()
        assert await drive.metadata.trash.between("", 0, None, 9) == []
