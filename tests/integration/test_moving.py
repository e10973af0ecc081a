"""Objects that are moved to another storage, next to readers, writers and other moves."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.storage.memory import MemoryBlobStore
from application.blobs.collect import CollectBlobs, Selection
from application.contents.retention import GRACE
from application.maintenance.move import LEASE, PATIENCE, MoveObjects
from application.maintenance.move_report import MoveOptions, MoveReport, Problem, Unheard
from application.maintenance.rate import Rate
from application.maintenance.reap import AGAIN
from application.ports.blob_store import Stored
from application.ports.metadata import BlobReader
from application.stores import Stores
from application.uploads.retry import Retry
from application.verification.report import Repair, VerifyOptions
from application.verification.verify import Verify
from domain.access import EVERYTHING
from domain.blob import Blob, BlobId, ByteRange, Digest, Location, ObjectKey, Segment
from domain.errors import IntegrityError, NoSpace, NotFound, Unavailable
from tests.contracts.blob_store import each, keys, pattern
from tests.contracts.contents import add_segmented, copy, delete, segmented
from tests.contracts.metadata import Metadata
from tests.integration.drive import Drive, Time
from tests.integration.renewing import Renewing

OLD, NEW = "old", "new"
SIZES = (0, 1, 1000, 300_000)
LIST = BlobId("list")
OFTEN = 1_000_000  # renewals in a grace: one every millisecond


class Store(MemoryBlobStore):
    """A store that can be damaged, be down, and be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.down = 0
        self.full = False
        self.reading = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.gone: set[ObjectKey] = set()
        self.changed: dict[ObjectKey, bytes] = {}

    def read(  # type: ignore[override]
        self, key: ObjectKey, byte_range: ByteRange | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        if self.down:
            self.down -= 1
            raise Unavailable("It is down.")
        if key in self.gone:
            raise NotFound(subject=key)
        return self._read(key, byte_range)

    @asynccontextmanager
    async def _read(self, key: ObjectKey, byte_range: ByteRange | None) -> AsyncIterator[AsyncIterator[bytes]]:
        async def waiting(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            async for chunk in chunks:
                self.reading.set()
                await self.may_read.wait()
                yield chunk

        async with super().read(key, byte_range) as chunks:
            yield waiting(chunks)

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        if self.full:
            raise NoSpace("It is full.")

        async def waiting() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                self.reading.set()
                await self.may_read.wait()
                yield chunk

        return await super().put(key, waiting())

    async def damage(self, key: ObjectKey, data: bytes) -> None:
        await self.delete(key)
        await super().put(key, each([data]))


@dataclass
class Mover:
    """A drive whose blobs are on the storage OLD, and the move of them to NEW."""

    drive: Drive
    old: Store
    new: Store

    def __post_init__(self) -> None:
        self.findings = Findings()
        uploads = replace(self.drive.store.uploads, lease=LEASE)
        self.move = MoveObjects(uploads, self.drive.metadata.moves, ObjectKey.random, sleep=self._sleep)
        self.slept = list[float]()

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.drive.time.pass_by(timedelta(seconds=seconds))
        await asyncio.sleep(0)

    async def __call__(self, **options: object) -> MoveReport:
        chosen = replace(MoveOptions(frozenset({OLD}), NEW), **options)  # type: ignore[arg-type]
        move = replace(self.move, monotonic=self.drive.time.monotonic)
        return await move(chosen, self.findings)

    async def fill(self) -> dict[str, bytes]:
        """Store blobs, copies and a list, which is returned by their ids."""
        there = {f"{size}": pattern(size) for size in SIZES}
        for blob_id, data in there.items():
            await self.drive.put(data, BlobId(blob_id))
        await copy(self.drive.metadata, BlobId("1000"), BlobId("copy"))
        there["copy"] = there["1000"]
        there[LIST.value] = b"".join([pattern(5), pattern(70_000), pattern(3)])
        await self.add_list([pattern(5), pattern(70_000), pattern(3)])
        return there

    async def add_list(self, parts: Sequence[bytes]) -> Blob:
        segments = list[Segment]()
        for data in parts:
            where = Location(OLD, ObjectKey.random())
            await self.old.put(where.key, each([data]))
            start = segments[-1].stop if segments else 0
            segments.append(Segment(where, start, len(data), Digest(hashlib.sha256(data).digest())))
        return await add_segmented(self.drive.metadata, segmented(LIST.value, segments), segments)

    async def read(self) -> dict[str, bytes]:
        found = await self.drive.metadata.blobs.between("", None, 100)
        return {blob.id.value: await self.drive.get(blob.id) for blob in found}

    async def objects(self) -> tuple[int, int]:
        """Return how many objects are on OLD, and on NEW."""
        return len(await keys(self.old)), len(await keys(self.new))

    async def reap(self) -> None:
        for time in (GRACE, AGAIN, AGAIN):
            self.drive.time.pass_by(time)
            for backend in (OLD, NEW):
                await self.drive.reap(backend)

    async def wrong(self) -> int:
        """Return the number of faults that a deep verification finds."""
        metadata = self.drive.metadata
        verify = Verify(
            metadata, metadata.blobs, metadata.contents, metadata.named, metadata.backlog, self.drive.stores
        )
        return (await verify(VerifyOptions(deep=True), _Silent())).wrong


class Findings(Unheard):
    def __init__(self) -> None:
        self.all = list[tuple[Problem, ObjectKey]]()

    def found(self, finding: object) -> None:
        self.all.append((finding.problem, finding.object.location.key))  # type: ignore[attr-defined]


class _Silent:
    def found(self, finding: object) -> None:
        pass

    def reached(self, step: str, key: ObjectKey) -> None:
        pass


@pytest.fixture
def mover() -> Mover:
    time = Time()
    old, new = Store(), Store()
    return Mover(Drive(MemoryMetadata(time), Stores(OLD, {OLD: old, NEW: new}), time), old, new)


class TestMoves:
    async def test_everything_is_moved_and_nothing_else_changes(self, mover: Mover) -> None:
        there = await mover.fill()
        before = await mover.drive.metadata.blobs.between("", None, 100)
        report = await mover()
        assert (report.objects, report.bytes) == (len(SIZES) + 3, sum(SIZES) + 70_008)
        assert report.is_done
        assert await mover.read() == there
        after = await mover.drive.metadata.blobs.between("", None, 100)
        assert [(each.etag, each.created_at) for each in after] == [(each.etag, each.created_at) for each in before]
        assert {each.location.backend for each in after} == {NEW}
        await mover.reap()
        assert await mover.objects() == (0, len(SIZES) + 3)
        assert await mover.wrong() == 0
        assert await mover.read() == there

    async def test_a_second_move_finds_nothing(self, mover: Mover) -> None:
        await mover.fill()
        await mover()
        report = await mover()
        assert (report.objects, report.is_done) == (0, True)

    async def test_a_dry_run_counts_each_object_once(self, mover: Mover) -> None:
        await mover.fill()
        before = await mover.objects()
        report = await mover(dry_run=True)
        assert (report.objects, report.bytes, report.is_done) == (len(SIZES) + 3, sum(SIZES) + 70_008, True)
        assert await mover.objects() == before
        assert await mover.drive.metadata.backlog() == []

    async def test_a_range_of_ids_takes_along_what_shares_its_objects(self, mover: Mover) -> None:
        await mover.fill()
        assert (await mover(start="copy", stop="copz")).objects == 1
        for blob_id, backend in (("copy", NEW), ("1000", NEW), ("1", OLD)):
            assert (await mover.drive.metadata.blobs.get(BlobId(blob_id))).location.backend == backend

    async def test_small_blobs_stay_in_the_database(self) -> None:
        time = Time()
        old, new = Store(), Store()
        mover = Mover(Drive(MemoryMetadata(time), Stores("database", {"database": old, NEW: new}), time), old, new)
        for size in SIZES:
            await mover.drive.put(pattern(size), BlobId(f"{size}"))
        all_of_them = mover.move
        mover.move = replace(mover.move, small_bytes=1000)
        report = await mover(sources=frozenset({"database"}))
        assert (report.objects, report.kept, report.is_done) == (1, 3, True)
        mover.move = all_of_them
        report = await mover(sources=frozenset({"database"}))
        assert (report.objects, report.kept, report.is_done) == (3, 0, True)

    async def test_a_small_blob_that_is_a_segment_too_leaves_the_database(self) -> None:
        old, new = Store(), Store()
        mover = Mover(Drive(MemoryMetadata(Time()), Stores("database", {"database": old, NEW: new}), Time()), old, new)
        small = await mover.drive.put(b"small", BlobId("small"))
        await copy(mover.drive.metadata, small.id, BlobId("copy"))
        segment = Segment(small.location, 0, small.size, Digest(hashlib.sha256(b"small").digest()))
        await add_segmented(mover.drive.metadata, segmented("list", [segment]), [segment])
        mover.move = replace(mover.move, small_bytes=1000)
        report = await mover(sources=frozenset({"database"}))
        assert (report.objects, report.kept, report.is_done) == (1, 0, True)
        assert await mover.read() == {"copy": b"small", "list": b"small", "small": b"small"}

    async def test_two_moves_share_the_work(self, mover: Mover) -> None:
        for number in range(50):
            await mover.drive.put(pattern(number), BlobId(f"{number}"))
        reports = await asyncio.gather(mover(), mover(at_once=3), mover(at_once=1))
        assert sum(report.objects for report in reports) == 50
        assert len(await keys(mover.new)) == 50
        assert await mover.wrong() == 0


class TestFaults:
    async def test_what_is_damaged_or_missing_stays(self, mover: Mover) -> None:
        there = await mover.fill()
        shorter, other, gone = [
            (await mover.drive.metadata.blobs.get(BlobId(each))).location.key for each in ("1", "300000", "1000")
        ]
        await mover.old.damage(shorter, b"")
        await mover.old.damage(other, b"\xff" * 300_000)
        mover.old.gone.add(gone)
        report = await mover()
        expected = {(Problem.DAMAGED, shorter), (Problem.DAMAGED, other), (Problem.MISSING, gone)}
        assert {*mover.findings.all} == expected
        assert len(mover.findings.all) == 3, "each is reported once"
        assert (report.objects, report.is_done) == (len(there) - 2, True)
        await mover.reap()
        assert await mover.objects() == (3, len(there) - 2)

    async def test_a_storage_that_fails_is_tried_again(self, mover: Mover) -> None:
        await mover.drive.put(b"bytes")
        mover.move = replace(mover.move, retry=Retry(3))
        mover.old.down = 2
        report = await mover()
        assert (report.objects, report.found.total()) == (1, 0)
        await mover.reap()
        assert await mover.objects() == (0, 1)

    async def test_a_storage_that_is_down_ends_the_move(self, mover: Mover) -> None:
        for number in range(PATIENCE + 30):
            await mover.drive.put(b"bytes", BlobId(f"{number}"))
        mover.old.down = 10**9
        report = await mover(at_once=1)
        assert (report.objects, report.found[Problem.FAILED], report.is_done) == (0, PATIENCE, False)
        assert "It is down." in report.stopped

    async def test_a_full_storage_ends_the_move(self, mover: Mover) -> None:
        await mover.fill()
        mover.new.full = True
        report = await mover()
        assert report.stopped == "It is full."
        assert not report.objects

    async def test_a_storage_of_another_database_is_refused(self, mover: Mover) -> None:
        async def require(backend: str) -> None:
            if backend == NEW:
                raise Unavailable("Another database deletes there.")

        await mover.fill()
        mover.move = replace(mover.move, require=require)
        report = await mover()
        assert "Another database" in report.stopped
        assert (await mover.objects())[1] == 0

    async def test_a_cancelled_move_leaves_nothing(self, mover: Mover) -> None:
        there = await mover.fill()
        mover.new.may_read.clear()
        moving = asyncio.create_task(mover(at_once=3))
        await mover.new.reading.wait()
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving
        mover.new.may_read.set()
        assert sum(backlog.uploads for backlog in await mover.drive.metadata.backlog()) == 0
        assert await mover.read() == there
        report = await mover()
        assert report.is_done
        await mover.reap()
        assert await mover.objects() == (0, len(SIZES) + 3)

    async def test_the_object_of_a_killed_move_is_moved_after_its_lease(self, mover: Mover) -> None:
        await mover.drive.put(b"bytes")
        blob = await mover.drive.metadata.blobs.get(BlobId("k5"))
        dead = Location(NEW, ObjectKey.random())
        async with mover.drive.metadata() as work:
            await work.moves.claim(blob.location, dead, LEASE)
            await work.commit()
        await mover.new.put(dead.key, each([b"byt"]))
        report = await mover(waits=False)
        assert (report.objects, report.busy, report.is_done) == (0, 1, False)
        report = await mover()
        assert (report.objects, report.busy, report.is_done) == (1, 0, True)
        assert sum(mover.slept) >= LEASE.total_seconds()
        await mover.reap()
        assert await mover.objects() == (0, 1)

    async def test_a_blob_that_is_deleted_meanwhile_is_not_moved(self, mover: Mover) -> None:
        await mover.drive.put(b"bytes")
        mover.new.may_read.clear()
        moving = asyncio.create_task(mover())
        await mover.new.reading.wait()
        await delete(mover.drive.metadata, BlobId("k5"))
        await mover.drive.reap(OLD)
        mover.new.may_read.set()
        report = await moving
        assert (report.objects, report.found.total(), report.is_done) == (0, 0, True)
        await mover.reap()
        assert await mover.objects() == (0, 0)

    @pytest.mark.parametrize("still", [OLD, NEW])
    async def test_a_lease_is_kept_while_a_storage_stands_still(self, mover: Mover, still: str) -> None:
        store = mover.old if still == OLD else mover.new
        await mover.drive.put(b"bytes")
        renewing = Renewing(mover.drive.metadata)
        uploads = replace(mover.move.uploads, units=renewing, lease=timedelta(milliseconds=3))
        mover.move = replace(mover.move, uploads=uploads)
        store.may_read.clear()
        moving = asyncio.create_task(mover())
        await store.reading.wait()
        for _ in range(3):
            await renewing.one()
        store.may_read.set()
        assert (await moving).objects == 1


class TestReaders:
    @pytest.mark.parametrize("blob_id", ["300000", LIST.value])
    async def test_a_read_that_has_begun_is_finished(self, mover: Mover, blob_id: str) -> None:
        await mover.fill()
        blob = await mover.drive.metadata.blobs.get(BlobId(blob_id))
        rows = await mover.drive.metadata.contents.segments(blob.content.key, 0, 1)
        old = rows[0].location if rows else blob.location
        renewing = Renewing(mover.drive.metadata)
        fetch = replace(mover.drive.fetch, units=renewing, renewals=1_000_000)
        async with fetch(EVERYTHING, BlobId(blob_id)) as opened:
            read = await anext(opened)
            await mover()
            for _ in range(4):
                mover.drive.time.pass_by(GRACE * 2 / 3)
                await renewing.one()
                await mover.drive.reap(OLD)
                assert old.key in await keys(mover.old)
            read += b"".join([chunk async for chunk in opened])
        assert read == await mover.drive.get(BlobId(blob_id))

    async def test_a_reader_with_an_old_row_is_served(self, mover: Mover) -> None:
        there = await mover.fill()
        rows = {each.id: each for each in await mover.drive.metadata.blobs.between("", None, 100)}
        await mover()
        await mover.reap()
        for blob_id in rows:
            stale = _Stale(mover.drive.metadata, rows[blob_id])
            fetch = replace(mover.drive.fetch, blobs=cast("BlobReader", stale))
            async with fetch(EVERYTHING, blob_id) as opened:
                assert b"".join([chunk async for chunk in opened]) == there[blob_id.value]

    async def test_a_reader_of_many_segments_follows_them(self, mover: Mover) -> None:
        parts = [pattern(10 + number) for number in range(30)]
        await mover.add_list(parts)
        async with mover.drive.fetch(EVERYTHING, LIST) as opened:
            read = await anext(opened) + await anext(opened)  # now it knows all rows
            await mover()
            await mover.reap()
            read += b"".join([chunk async for chunk in opened])
        assert read == b"".join(parts)

    async def test_a_collection_is_read_to_its_end(self, mover: Mover) -> None:
        """For much longer than the grace, with the rows of before the move."""
        there, renewing = await mover.fill(), Renewing(mover.drive.metadata)
        metadata = mover.drive.metadata
        collect = CollectBlobs(metadata.blobs, metadata.contents, mover.drive.stores, renewing, renewals=OFTEN)
        found = dict[str, bytes]()
        async with collect(EVERYTHING, Selection(prefixes=[""])) as collection:
            await mover()
            for _ in range(5):
                mover.drive.time.pass_by(GRACE * 2 / 3)
                await renewing.one()
                await mover.drive.reap(OLD)
            async for version in collection.versions():
                async with collection.read(version) as chunks:
                    found[version.id] = b"".join([chunk async for chunk in chunks])
        assert found == there

    async def test_a_segment_that_is_really_gone_is_an_error(self, mover: Mover) -> None:
        await mover.add_list([pattern(5), pattern(6)])
        blob = await mover.drive.metadata.blobs.get(LIST)
        [*_, last] = await mover.drive.metadata.contents.segments(blob.content.key, 0, 10)
        mover.old.gone.add(last.location.key)
        with pytest.raises(IntegrityError):
            await mover.drive.get(LIST)

    async def test_a_verification_next_to_a_move_drops_nothing(self, mover: Mover) -> None:
        """It has read the rows of the segments before they were moved, and looks for the objects after that."""
        await mover.fill()
        metadata = mover.drive.metadata
        blob = await metadata.blobs.get(LIST)
        stale = await metadata.contents.segments(blob.content.key, 0, 10)
        await mover()
        await mover.reap()
        contents = _StaleSegments(metadata, stale)
        verify = Verify(metadata, metadata.blobs, contents, metadata.named, metadata.backlog, mover.drive.stores)
        repair = Repair(timedelta(0), drop_missing=True, even_if_most_are=True, even_if_missing=True)
        assert (await verify(VerifyOptions(repair=repair), _Silent())).wrong == 0
        assert await metadata.blobs.find(LIST) is not None


class _Stale:
    """A reader of blobs whose first look is an old one."""

    def __init__(self, metadata: Metadata, row: Blob) -> None:
        self._metadata = metadata
        self._row: Blob | None = row

    async def get(self, blob_id: BlobId) -> Blob:
        row, self._row = self._row, None
        return row or await self._metadata.blobs.get(blob_id)


class _StaleSegments:
    def __init__(self, metadata: Metadata, rows: Sequence[Segment]) -> None:
        self._metadata = metadata
        self._rows: Sequence[Segment] | None = rows

    async def segments(self, content: ObjectKey, position: int, limit: int) -> Sequence[Segment]:
        rows, self._rows = self._rows, None
        return rows or await self._metadata.contents.segments(content, position, limit)


async def test_the_rate_is_shared(tmp_path: Path) -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    rate = Rate(1_000_000, monotonic=lambda: now, sleep=sleep)
    sizes = [len(piece) async for piece in rate.limited(each([bytes(3_000_000), b"", bytes(1_000_000)]))]
    assert (sum(sizes), max(sizes)) == (4_000_000, 250_000)
    assert 3.5 < now <= 4
    assert [piece async for piece in Rate(None).limited(each([b"a", b""]))] == [b"a", b""]


async def test_on_sqlite(tmp_path: Path) -> None:
    """A move that is cancelled at any moment leaves no upload, and the last one is complete."""
    async with SqlMetadata(SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))) as metadata:
        old, new = Store(), Store()
        mover = Mover(Drive(metadata, Stores(OLD, {OLD: old, NEW: new}), Time()), old, new)
        there = await mover.fill()
        for steps in range(1, 40):
            moving = asyncio.create_task(mover())
            for _ in range(steps):
                await asyncio.sleep(0)
            moving.cancel()
            await asyncio.gather(moving, return_exceptions=True)
            assert sum(backlog.uploads for backlog in await metadata.backlog()) == 0
            assert await mover.read() == there
        assert (await mover()).is_done
        assert await mover.read() == there
        assert await mover.wrong() == 0
