"""Verifying: what is wrong is found, and nothing else, whatever changes meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.metadata.memory.rows import Rows, Tables
from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.memory.verifications import MemoryVerifications
from adapters.storage.layers.base import BlobStoreLayer
from adapters.storage.memory import MemoryBlobStore
from application.blobs.changes.delete import DeleteBlob
from application.blobs.store import StoreBlob
from application.contents.retention import Retention
from application.maintenance.reap import Reap
from application.ports.blob_store import BlobStore, Stored
from application.ports.metadata import BlobReader, Garbage, UnitOfWork
from application.ports.verifications import Verification
from application.stores import Stores
from application.verification import blobs as verify_blobs
from application.verification.report import (
    PATIENCE,
    Defect,
    Finding,
    Repair,
    VerificationListener,
    Verified,
    VerifyOptions,
)
from application.verification.verify import Verify
from domain import access
from domain.blob import Blob, BlobId, ByteRange, Location, ObjectKey
from domain.errors import BlobError, NotFound, Unavailable
from tests.contracts.blob_store import each, keys
from tests.contracts.metadata import Metadata
from tests.integration.drive import Drive, Time

NOW = timedelta(0)
AT_ONCE = Retention(NOW, NOW)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DATA = b"some bytes"
EVERYTHING = Repair(NOW, drop_missing=True, even_if_most_are=True, even_if_missing=True)


class Notes(VerificationListener):
    """Keeps what is reported to it."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def found(self, finding: Finding) -> None:
        self.findings.append(finding)

    def reached(self, step: str, key: ObjectKey) -> None:
        pass

    @property
    def faults(self) -> set[tuple[Defect, ObjectKey]]:
        found = {(finding.defect, finding.location.key) for finding in self.findings}
        assert len(found) == len(self.findings), "one is reported twice"
        return found


def verifier(drive: Drive, metadata: Metadata | None = None, stores: Stores | None = None, at_once: int = 3) -> Verify:
    metadata = metadata or drive.metadata
    return Verify(
        metadata,
        metadata.blobs,
        metadata.contents,
        metadata.named,
        metadata.backlog,
        stores or drive.stores,
        now=drive.time,
        at_once=at_once,
    )


async def verified(drive: Drive, wanted: VerifyOptions | None = None) -> tuple[Verified, Notes]:
    notes = Notes()
    return await verifier(drive)(wanted or VerifyOptions(), notes), notes


async def faults(drive: Drive, *, deep: bool = False, repair: Repair | None = None) -> set[tuple[Defect, ObjectKey]]:
    _, notes = await verified(drive, VerifyOptions(deep=deep, repair=repair))
    return notes.faults


async def overwrite(store: BlobStore, key: ObjectKey, data: bytes) -> None:
    await store.delete(key)
    await store.put(key, each([data]))


# What may be there, each with the faults that it is.

Plant = Callable[[Drive, int], Awaitable[tuple[Defect, ObjectKey] | None]]


async def a_blob(drive: Drive, number: int) -> None:
    await drive.put(DATA, BlobId(f"{number}"))


async def a_blob_without_bytes(drive: Drive, number: int) -> None:
    await drive.put(b"", BlobId(f"{number}"))


async def a_missing_object(drive: Drive, number: int) -> tuple[Defect, ObjectKey]:
    key = (await drive.put(DATA, BlobId(f"{number}"))).location.key
    await drive.active.delete(key)
    return Defect.MISSING, key


async def a_cut_object(drive: Drive, number: int) -> tuple[Defect, ObjectKey]:
    key = (await drive.put(DATA, BlobId(f"{number}"))).location.key
    await overwrite(drive.active, key, DATA[:-1])
    return Defect.DAMAGED, key


async def a_longer_object(drive: Drive, number: int) -> tuple[Defect, ObjectKey]:
    key = (await drive.put(b"", BlobId(f"{number}"))).location.key
    await overwrite(drive.active, key, DATA)
    return Defect.DAMAGED, key


async def an_orphan(drive: Drive, number: int) -> tuple[Defect, ObjectKey]:
    key = ObjectKey.random()
    await drive.active.put(key, each([DATA]))
    return Defect.ORPHAN, key


async def an_object_named_on_another_backend(drive: Drive, number: int) -> tuple[Defect, ObjectKey]:
    key = ObjectKey.random()
    await drive.active.put(key, each([DATA]))
    async with drive.metadata() as work:
        await work.garbage.add(Garbage(Location("another", key)), HOUR)
        await work.commit()
    return Defect.ORPHAN, key


async def an_upload(drive: Drive, number: int) -> None:
    key = ObjectKey.random()
    async with drive.metadata() as work:
        await work.uploads.add(Location(drive.stores.active, key), NOW)
        await work.commit()
    if number % 2:
        await drive.active.put(key, each([DATA]))


async def garbage(drive: Drive, number: int) -> None:
    key = ObjectKey.random()
    async with drive.metadata() as work:
        await work.garbage.add(Garbage(Location(drive.stores.active, key), number % 3 + 1), NOW)
        await work.commit()
    if number % 2:
        await drive.active.put(key, each([DATA]))


async def a_replaced_blob(drive: Drive, number: int) -> None:
    for _ in range(2):
        await drive.put(DATA, BlobId(f"{number}"))


PLANTS: list[Plant] = [
    a_blob,
    a_blob_without_bytes,
    a_missing_object,
    a_cut_object,
    a_longer_object,
    an_orphan,
    an_object_named_on_another_backend,
    an_upload,
    garbage,
    a_replaced_blob,
]


def new_drive() -> Drive:
    time = Time()
    return Drive(MemoryMetadata(time), Stores("memory", {"memory": MemoryBlobStore(now=time)}), time)


@given(plants=st.lists(st.sampled_from(PLANTS), max_size=25), deep=st.booleans())
@settings(max_examples=200)
async def test_what_is_wrong_is_found_and_nothing_else(plants: list[Plant], deep: bool) -> None:
    drive = new_drive()
    planted = {fault for number, plant in enumerate(plants) if (fault := await plant(drive, number))}
    assert await faults(drive, deep=deep) == planted
    rows, objects = await drive.metadata.blobs.by_content(None, 1000), await drive.objects()
    repaired = await faults(drive, deep=deep, repair=Repair(NOW, even_if_most_are=True, even_if_missing=True))
    assert repaired == planted
    assert await drive.metadata.blobs.by_content(None, 1000) == rows
    assert await drive.objects() == objects - {key for fault, key in planted if fault is Defect.ORPHAN}
    await faults(drive, deep=deep, repair=EVERYTHING)
    gone = {key for fault, key in planted if fault is Defect.MISSING}
    assert await drive.metadata.blobs.by_content(None, 1000) == [row for row in rows if row.location.key not in gone]
    left = {(fault, key) for fault, key in planted if fault is Defect.DAMAGED}
    assert await faults(drive, deep=deep) == left


# What happens meanwhile

Meddle = Callable[[], Awaitable[None]]


class Meddled(BlobStoreLayer):
    """A store around which something happens before and after each call, and while a list goes on."""

    def __init__(self, store: BlobStore, meddle: Meddle) -> None:
        super().__init__(store)
        self.meddle = meddle

    async def stat(self, key: ObjectKey) -> Stored:
        await self.meddle()
        try:
            return await self.store.stat(key)
        finally:
            await self.meddle()

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        await self.meddle()
        async with self.store.read(key, byte_range) as chunks:
            yield self._meddled(key, chunks)

    async def _meddled(self, key: ObjectKey, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """As on a backend where a reading does not outlive a delete."""
        async for chunk in chunks:
            await self.meddle()
            await self.store.stat(key)
            yield chunk

    async def delete(self, key: ObjectKey) -> None:
        await self.meddle()
        await self.store.delete(key)

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        async for key in self.store.list(after):
            await self.meddle()
            yield key
            await self.meddle()


class MeddledReader(BlobReader):
    def __init__(self, blobs: BlobReader, meddle: Meddle) -> None:
        self.blobs = blobs
        self.meddle = meddle

    async def find(self, blob_id: BlobId) -> Blob | None:
        await self.meddle()
        try:
            return await self.blobs.find(blob_id)
        finally:
            await self.meddle()

    async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
        raise AssertionError

    async def rolled_up(
        self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
    ) -> Sequence[Blob | str]:
        raise AssertionError

    async def count(self, start: str, stop: str | None, limit: int) -> int:
        raise AssertionError

    async def by_content(self, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
        await self.meddle()
        found = await self.blobs.by_content(after, limit)
        await self.meddle()
        return found


class Life:
    """What users and the reaper do, a step at a time: each as it is in the product."""

    def __init__(self, steps: list[tuple[int, int]]) -> None:
        self.drive = new_drive()
        self.steps = iter(steps)
        self.uploads: list[Location] = []
        drive = self.drive
        self.store = StoreBlob(drive.store.uploads, ObjectKey.random, 1000, retention=AT_ONCE)
        self.delete = DeleteBlob(drive.metadata, retention=AT_ONCE)
        self.reap = Reap(drive.metadata, drive.stores, again=NOW)

    async def step(self) -> None:
        what, number = next(self.steps, (0, 0))
        blob_id = BlobId(f"{number}")
        drive = self.drive
        if what == 1:
            drive.store = self.store
            await drive.put(DATA, blob_id)
        elif what == 2:
            with suppress(BlobError):  # there may be none
                await self.delete(access.EVERYTHING, blob_id)
        elif what == 3:
            await self.reap("memory")
        elif what == 4:
            location = Location("memory", ObjectKey.random())
            async with drive.metadata() as work:
                await work.uploads.add(location, HOUR)
                await work.commit()
            await drive.active.put(location.key, each([DATA]))
            self.uploads.append(location)
        elif what == 5 and self.uploads:
            await drive.store.uploads.discard(self.uploads.pop())


@given(
    before=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), max_size=20),
    during=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=20, max_size=400),
    deep=st.booleans(),
    repair=st.sampled_from([None, EVERYTHING]),
    at_once=st.integers(1, 4),
)
@settings(max_examples=300)
async def test_what_changes_meanwhile_is_not_taken_for_a_fault(
    before: list[tuple[int, int]],
    during: list[tuple[int, int]],
    deep: bool,
    repair: Repair | None,
    at_once: int,
) -> None:
    life = Life(before)
    for _ in before:
        await life.step()
    planted = {await plant(life.drive, 100 + number) for number, plant in enumerate((a_missing_object, an_orphan))}
    life.steps = iter(during)
    drive = life.drive

    async def named(backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        await life.step()
        found = await drive.metadata.named(backend, keys)
        await life.step()
        return found

    notes = Notes()
    verify = Verify(
        drive.metadata,
        MeddledReader(drive.metadata.blobs, life.step),
        drive.metadata.contents,
        named,
        drive.metadata.backlog,
        Stores("memory", {"memory": Meddled(drive.active, life.step)}),
        at_once=at_once,
    )
    await verify(VerifyOptions(deep=deep, repair=repair), notes)
    assert notes.faults == planted
    if repair is not None:
        assert {finding.repaired for finding in notes.findings} == {True}
    for row in await drive.metadata.blobs.by_content(None, 1000):
        if (Defect.MISSING, row.location.key) not in planted:
            assert await drive.get(row.id) == DATA


# Repair


async def test_only_old_orphans_are_removed(drive: Drive) -> None:
    store = MemoryBlobStore(now=drive.time)
    drive = Drive(drive.metadata, Stores("memory", {"memory": store}), drive.time)
    for number in range(3):
        await a_blob(drive, number)
    (_, old), (_, unknown) = await an_orphan(drive, 0), await an_orphan(drive, 1)
    del store._written[unknown]
    drive.time.pass_by(DAY)
    _, young = await an_orphan(drive, 2)
    drive.time.pass_by(HOUR)
    result, notes = await verified(drive, VerifyOptions(repair=Repair(DAY)))
    assert {finding.location.key: finding.repaired for finding in notes.findings} == {
        old: True,
        unknown: False,
        young: False,
    }
    assert result.wrong == 2
    reported = {finding.location.key: finding.detail for finding in notes.findings}
    assert reported[unknown].endswith("It stays, because its age is unknown.")
    assert reported[young].endswith("It stays, because it is too young.")
    result, _ = await verified(drive, VerifyOptions(repair=Repair(NOW)))
    assert result.wrong == 0
    assert await faults(drive) == set()


async def test_a_storage_of_which_most_are_orphans_is_not_repaired(drive: Drive) -> None:
    """As with an empty database, or another one's storage."""
    planted = {await an_orphan(drive, number) for number in range(3)} | {await a_missing_object(drive, 10)}
    for number in range(2):
        await a_blob(drive, number)
    repair = Repair(NOW, drop_missing=True)
    result, notes = await verified(drive, VerifyOptions(repair=repair))
    assert (notes.faults, result.wrong, result.complete) == (planted, 4, True)
    assert result.counts[0].not_repaired.startswith("Nothing is there, or most of it are orphans.")
    await a_blob(drive, 3)
    result, notes = await verified(drive, VerifyOptions(repair=repair))
    assert (notes.faults, result.wrong, result.counts[0].not_repaired) == (planted, 0, "")


async def test_rows_are_not_dropped_where_nothing_is_stored(drive: Drive) -> None:
    """As with a disk that is not mounted, or a new bucket."""
    for number in range(3):
        await a_missing_object(drive, number)
    result, _ = await verified(drive, VerifyOptions(repair=Repair(NOW, drop_missing=True)))
    assert (result.wrong, len(await drive.metadata.blobs.by_content(None, 10))) == (3, 3)
    result, _ = await verified(drive, VerifyOptions(repair=EVERYTHING))
    assert (result.wrong, await drive.metadata.blobs.by_content(None, 10)) == (0, [])


async def test_rows_are_not_dropped_where_most_objects_are_missing(drive: Drive) -> None:
    """As on a wrong disk on which a blob was stored since."""
    await a_blob(drive, 0)
    for number in range(30):
        await a_missing_object(drive, 1 + number)
    _, orphan = await an_orphan(drive, 0)
    repair = Repair(NOW, drop_missing=True)
    result, notes = await verified(drive, VerifyOptions(repair=repair))
    assert (result.wrong, len(notes.faults)) == (31, 31)
    assert len(await drive.metadata.blobs.by_content(None, 100)) == 31
    assert orphan in await drive.objects(), "objects may be those of whoever this storage belongs to"
    assert result.counts[0].not_repaired.startswith("The objects of 30 of 31 blobs are missing.")
    result, _ = await verified(drive, VerifyOptions(repair=replace(repair, even_if_most_are=True)))
    assert result.wrong == 31
    result, _ = await verified(drive, VerifyOptions(repair=replace(repair, even_if_missing=True)))
    assert (result.wrong, len(await drive.metadata.blobs.by_content(None, 100))) == (0, 1)


@pytest.mark.parametrize(("there", "missing", "dropped"), [(5, 5, 5), (4, 5, 0), (113, 6, 0), (114, 6, 6)])
async def test_how_many_may_be_missing(drive: Drive, there: int, missing: int, dropped: int) -> None:
    """A handful, or 5 %."""
    for number in range(there):
        await a_blob(drive, number)
    for number in range(missing):
        await a_missing_object(drive, there + number)
    result, _ = await verified(drive, VerifyOptions(repair=Repair(NOW, drop_missing=True)))
    assert result.counts[0].repaired[Defect.MISSING] == dropped
    assert len(await drive.metadata.blobs.by_content(None, 1000)) == there + missing - dropped


async def test_no_row_is_dropped_if_not_all_was_looked_at(drive: Drive) -> None:
    store = Failing()
    drive = Drive(drive.metadata, Stores("memory", {"memory": store}), drive.time)
    await a_missing_object(drive, 0)
    for number in range(3 * PATIENCE):
        await a_blob(drive, 1 + number)
    last = (await drive.metadata.blobs.by_content(None, 1000))[-PATIENCE:]
    store.bad = frozenset(row.location.key for row in last)
    result, _ = await verified(drive, VerifyOptions(repair=Repair(NOW, drop_missing=True)))
    assert result.counts[0].unverified
    assert len(await drive.metadata.blobs.by_content(None, 1000)) == 3 * PATIENCE + 1


async def test_an_object_that_is_back_keeps_its_row(drive: Drive) -> None:
    _, key = await a_missing_object(drive, 0)
    await a_blob(drive, 1)

    async def bring_back() -> None:
        await drive.active.put(key, each([DATA]))

    looks = iter([False, True, False])  # before the first object is looked at, after the last, and before their list

    async def recognise(_: str) -> None:
        if next(looks, False):
            await bring_back()

    notes = Notes()
    await replace(verifier(drive), recognise=recognise)(VerifyOptions(repair=Repair(NOW, drop_missing=True)), notes)
    assert notes.findings == []
    assert await drive.get(BlobId("0")) == DATA


async def test_a_run_drops_a_bounded_number_of_rows(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_blobs, "HELD", 2)
    for number in range(5):
        await a_missing_object(drive, number)
    left = [(await verified(drive, VerifyOptions(repair=EVERYTHING)))[0].wrong for _ in range(3)]
    assert left == [3, 1, 0]


async def test_what_is_held_is_reported_if_the_database_is_lost(drive: Drive) -> None:
    planted = {await a_missing_object(drive, number) for number in range(3)}

    class Lost(MeddledReader):
        async def by_content(self, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
            if after is not None:
                raise Unavailable("the database is gone")
            return await self.blobs.by_content(after, limit)

    notes = Notes()
    verify = replace(verifier(drive), blobs=Lost(drive.metadata.blobs, a_turn))
    result = await verify(VerifyOptions(repair=EVERYTHING), notes)
    assert (result.stopped, notes.faults) == ("unavailable: the database is gone", planted)


async def test_the_same_bytes_stored_again_are_not_dropped(drive: Drive) -> None:
    await a_missing_object(drive, 0)

    class StoredAnew(MeddledReader):
        async def find(self, blob_id: BlobId) -> Blob | None:
            found = await self.blobs.find(blob_id)
            await drive.put(DATA, blob_id)  # after the last look at the row, and before it is dropped
            return found

    verify = replace(verifier(drive), blobs=StoredAnew(drive.metadata.blobs, a_turn))
    notes = Notes()
    await verify(VerifyOptions(repair=EVERYTHING), notes)
    assert notes.findings == []
    assert await drive.get(BlobId("0")) == DATA


async def a_turn() -> None:
    await asyncio.sleep(0)


async def test_an_object_with_a_hole_is_damaged_and_not_missing(drive: Drive) -> None:
    class WithAHole(MemoryBlobStore):
        @asynccontextmanager
        async def read(
            self, key: ObjectKey, byte_range: ByteRange | None = None
        ) -> AsyncIterator[AsyncIterator[bytes]]:
            async def hole() -> AsyncIterator[bytes]:
                yield DATA[:3]
                raise NotFound("The object was deleted while it was read.")

            yield hole()

    drive = Drive(drive.metadata, Stores("memory", {"memory": WithAHole()}), drive.time)
    location = (await drive.put(DATA)).location
    assert await faults(drive, deep=True, repair=EVERYTHING) == {(Defect.DAMAGED, location.key)}
    assert await faults(drive) == set()


# What can't be verified


class Failing(MemoryBlobStore):
    """Fails in the calls named; others work."""

    failing: frozenset[str] = frozenset()
    bad: frozenset[ObjectKey] = frozenset()
    asked = 0

    def fault(self, operation: str) -> BlobError:
        return Unavailable(f"no {operation} today", operation=operation, backend="failing")

    async def check(self) -> None:
        if "check" in self.failing:
            raise self.fault("check")

    async def stat(self, key: ObjectKey) -> Stored:
        self.asked += 1
        if "stat" in self.failing or key in self.bad:
            raise self.fault("stat")
        return await super().stat(key)

    async def delete(self, key: ObjectKey) -> None:
        if "delete" in self.failing:
            raise self.fault("delete")
        await super().delete(key)

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        async for key in super().list(after):
            yield key
            if "list" in self.failing:
                raise self.fault("list")


class TestWhatFails:
    @pytest.fixture
    def failing(self) -> Failing:
        return Failing()

    @pytest.fixture
    async def both(self, drive: Drive, failing: Failing) -> Drive:
        """A drive on `failing`, with a storage beside it that works and has a fault of its own."""
        await a_missing_object(drive, 1000)
        stores = {"failing": failing, "memory": drive.active}
        both = Drive(drive.metadata, Stores("failing", stores), drive.time)
        for number in range(2 * PATIENCE):
            await a_blob(both, number)
        return both

    @pytest.mark.parametrize("operation", ["check", "stat", "list"])
    async def test_one_that_is_down_is_reported_and_the_others_are_verified(
        self, both: Drive, failing: Failing, operation: str
    ) -> None:
        failing.failing = frozenset({operation})
        result, _ = await verified(both, VerifyOptions(repair=Repair(NOW, drop_missing=True)))
        down, other = result.counts
        assert (down.unverified, down.wrong, down.verified) == (f"no {operation} today", 0, False)
        assert (other.found, other.verified) == ({Defect.MISSING: 1}, True)
        assert (result.wrong, result.complete, result.stopped) == (1, False, "")
        assert down.objects == 0, "what is down is not listed, too"
        assert failing.asked < PATIENCE + 3, "it is asked for each object, and down"
        assert len(await both.metadata.blobs.by_content(None, 1000)) == 2 * PATIENCE + 1

    async def test_one_object_that_can_not_be_looked_at_holds_up_no_other(self, both: Drive, failing: Failing) -> None:
        every = [row.location.key for row in await both.metadata.blobs.by_content(None, 1000)]
        failing.bad = frozenset(every[::2])
        result, notes = await verified(both, VerifyOptions(frozenset({"failing"})))
        assert {finding.defect for finding in notes.findings} == {Defect.UNREADABLE}
        bad = failing.bad & set(await keys(failing))
        assert {finding.location.key for finding in notes.findings} == bad
        assert (result.wrong, result.complete, result.counts[0].unverified) == (0, False, "")

    async def test_an_orphan_that_can_not_be_removed(self, both: Drive, failing: Failing) -> None:
        _, key = await an_orphan(both, 0)
        failing.failing = frozenset({"delete"})
        result, notes = await verified(both, VerifyOptions(frozenset({"failing"}), repair=Repair(NOW)))
        [finding] = notes.findings
        assert (finding.location.key, finding.repaired) == (key, False)
        assert finding.detail == "It can't be removed: no delete today"
        assert result.wrong == 1

    async def test_a_backend_that_is_not_configured(self, both: Drive) -> None:
        alone = Drive(both.metadata, Stores("memory", {"memory": both.stores.by_name["memory"]}), both.time)
        result, _ = await verified(alone, VerifyOptions(repair=EVERYTHING))
        gone, _ = result.counts
        assert (gone.backend, gone.blobs, gone.found) == ("failing", 2 * PATIENCE, {})
        assert gone.unverified.startswith("It is not configured.")
        assert not result.complete
        result, _ = await verified(alone, VerifyOptions(frozenset({"memory"})))
        assert ([tally.backend for tally in result.counts], result.complete) == (["memory"], True)

    async def test_a_database_that_is_lost_ends_it(self, both: Drive) -> None:
        async def down(backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
            raise Unavailable("the database is gone")

        result = await replace(verifier(both), named=down)(VerifyOptions(), Notes())
        assert (result.stopped, result.complete) == ("unavailable: the database is gone", False)
        assert result.wrong == 1


async def test_other_bytes_of_the_same_size_are_found_by_a_deep_look(drive: Drive) -> None:
    for size in (len(DATA), 200_000):  # hashed here, and in a thread
        await drive.put(b"a" * size, BlobId(f"{size}"))
    key = (await drive.put(b"a" * 200_000)).location.key
    await overwrite(drive.active, key, b"a" * 199_999 + b"b")
    assert await faults(drive) == set()
    assert await faults(drive, deep=True) == {(Defect.DAMAGED, key)}


async def test_what_was_seen_is_counted(drive: Drive) -> None:
    for number in range(5):
        await a_replaced_blob(drive, number)
    await an_upload(drive, 1)
    await an_orphan(drive, 0)
    result, _ = await verified(drive)
    [tally] = result.counts
    assert (tally.blobs, tally.bytes, tally.objects) == (5, 5 * len(DATA), 12)
    assert (tally.uploads, tally.garbage, tally.found) == (1, 5, {Defect.ORPHAN: 1})


async def test_a_leftover_that_is_no_object_is_an_orphan_of_unknown_age(drive: Drive) -> None:
    class WithAnOpenUpload(MemoryBlobStore):
        """As S3 has them: `list` shows what `stat` does not find."""

        async def stat(self, key: ObjectKey) -> Stored:
            stored = await super().stat(key)
            if not stored.size:
                raise NotFound("There is no object under this key.", subject=key)
            return stored

    store = WithAnOpenUpload()
    drive = Drive(drive.metadata, Stores("memory", {"memory": store}), drive.time)
    await a_blob(drive, 0)
    for key in (ObjectKey("0" * 32), ObjectKey("f" * 32)):
        await store.put(key, each([]))
    planted = {(Defect.ORPHAN, ObjectKey(digit * 32)) for digit in "0f"}
    assert await faults(drive, repair=Repair(HOUR, even_if_most_are=True)) == planted
    assert await faults(drive, repair=Repair(NOW, even_if_most_are=True)) == planted
    assert await faults(drive) == set()


async def test_its_outcome_is_recorded_for_each_storage(drive: Drive) -> None:
    """Numbers of what was verified and found, with the times and whether all bytes were read."""
    first = await drive.put(DATA, BlobId("a"))
    await drive.put(b"", BlobId("b"))
    drive.time.pass_by(HOUR)
    _, notes = await verified(drive)
    assert notes.faults == set()
    [clean] = [each for each in await drive.metadata.verifications.last() if each.storage == first.location.backend]
    assert (clean.begun_at, clean.ended_at) == (drive.time(), drive.time())
    assert (clean.deep, clean.complete) == (False, True)
    assert (clean.blobs, clean.bytes, clean.objects) == (2, len(DATA), 2)
    assert (clean.missing, clean.damaged, clean.orphans, clean.unreadable, clean.repaired) == (0, 0, 0, 0, 0)
    await a_missing_object(drive, 1)
    await a_cut_object(drive, 2)
    await drive.active.put(ObjectKey.random(), each([DATA]))
    await verified(drive, VerifyOptions(deep=True, repair=EVERYTHING))
    [found] = [each for each in await drive.metadata.verifications.last() if each.storage == first.location.backend]
    assert (found.deep, found.complete) == (True, True)
    assert (found.missing, found.damaged, found.orphans, found.unreadable) == (1, 1, 1, 0)
    assert found.repaired == 2


async def test_an_outcome_that_can_not_be_recorded_is_reported(drive: Drive) -> None:
    class RefusesRecords(MemoryVerifications):
        async def record(self, verification: Verification) -> None:
            raise Unavailable("no disk")

    @asynccontextmanager
    async def units() -> AsyncIterator[UnitOfWork]:
        async with drive.metadata() as work:
            work.verifications = RefusesRecords(Tables(Rows()))
            yield work

    await drive.put(DATA, BlobId("a"))
    outcome = await replace(verifier(drive), units=units)(VerifyOptions(), Notes())
    assert (outcome.wrong, outcome.complete) == (0, True)
    assert "no disk" in outcome.not_recorded
    assert await drive.metadata.verifications.last() == []
