"""A storage that is another one, and a database that is a copy: nothing is deleted, and nothing is forgotten."""

import asyncio
import random
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from datetime import timedelta

import pytest

from adapters.metadata.memory.rows import Rows
from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.layers.base import BlobStoreLayer
from adapters.storage.memory import MemoryBlobStore
from application.checks.readiness import CheckReady
from application.contents.retention import GRACE
from application.maintenance.reap import BATCH, Reap, Reaped
from application.ownership.adopt import AdoptStorage
from application.ownership.mark import MarkStorage
from application.ownership.markers import UnknownStorage, claim_key, interval_for, read_marker
from application.ownership.ownership import INTERVALS, Ownership, Standing
from application.ownership.sample import ENOUGH, sample
from application.ports.blob_store import BlobStore, Stored
from application.ports.metadata import KnownStorage, UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from application.uploads.lifecycle import Uploads
from application.verification.report import Defect, Repair, Verified, VerifyOptions
from application.verification.verify import Verify
from domain.blob import Blob, BlobId, ByteRange, Content, Draft, Location, ObjectKey
from domain.errors import Kind, NoSpace, Unavailable
from domain.precondition import ANY
from domain.properties import Properties
from tests.contracts.blob_store import each, keys, refused
from tests.integration.drive import Drive, Time
from tests.integration.test_verifying import Notes

DISK = "disk"
INTERVAL = timedelta(seconds=30)
WATCHED = INTERVALS * INTERVAL
NOW = timedelta(0)
HOUR = timedelta(hours=1)
Hook = Callable[[], Awaitable[None]]


async def at_once() -> None:
    pass


class Hooked(BlobStoreLayer):
    """A store, with something that happens before each call."""

    def __init__(self, store: BlobStore, hook: Hook) -> None:
        super().__init__(store)
        self.hook = hook

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        await self.hook()
        return await self.store.put(key, chunks)

    async def stat(self, key: ObjectKey) -> Stored:
        await self.hook()
        return await self.store.stat(key)

    async def delete(self, key: ObjectKey) -> None:
        await self.hook()
        await self.store.delete(key)


class HookedUnits(UnitOfWorkFactory):
    """Metadata, with something that happens before each unit and each commit."""

    def __init__(self, metadata: MemoryMetadata, hook: Hook) -> None:
        self.metadata = metadata
        self.hook = hook

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        await self.hook()
        async with self.metadata() as work:
            commit = work.commit

            async def hooked() -> None:
                await self.hook()
                await commit()

            work.commit = hooked  # type: ignore[method-assign]
            yield work


class Site:
    """A server: a database, and a disk that others may use too."""

    def __init__(
        self, disk: MemoryBlobStore, time: Time, metadata: MemoryMetadata | None = None, hook: Hook = at_once
    ) -> None:
        self.time = time
        self.metadata = metadata or MemoryMetadata(time)
        self.hook = hook
        self.mount(disk)

    def mount(self, disk: BlobStore) -> None:
        """Let this be the disk. The process, and what it has seen, stay."""
        stores = Stores(DISK, {DISK: Hooked(disk, lambda: self.hook())})
        self.drive = Drive(self.metadata, stores, self.time)
        self.units = HookedUnits(self.metadata, lambda: self.hook())
        self.mark = MarkStorage(
            Uploads(self.units, stores),
            self.metadata.blobs,
            self.metadata.contents,
            self.metadata.known_storage,
            ObjectKey.random,
            self.time,
        )
        if hasattr(self, "ownership"):
            self.ownership._mark = self.mark
        else:
            self.restart()

    def restart(self) -> None:
        self.ownership = Ownership(self.mark, INTERVAL, monotonic=self.time.monotonic)

    def copy(self) -> "Site":
        """A server on the same disk, with a copy of the database as it is now."""
        copy = MemoryMetadata(self.time)
        for table in fields(Rows):
            if table.name not in ("objects", "trash_keys"):
                getattr(copy.rows, table.name).update(getattr(self.metadata.rows, table.name))
        hooked = self.drive.active
        assert isinstance(hooked, Hooked)
        assert isinstance(hooked.store, MemoryBlobStore)
        return Site(hooked.store, self.time, copy)

    async def standing(self) -> Standing:
        return await self.ownership.standing(DISK)

    async def keep(self) -> Standing:
        return await self.ownership.keep(DISK)

    async def reap(self) -> Reaped:
        return await Reap(self.metadata, self.drive.stores, self.ownership.may_delete)(DISK)

    async def known(self) -> KnownStorage:
        known = await self.metadata.known_storage(DISK)
        assert known is not None
        return known

    async def verify(self, wanted: VerifyOptions) -> tuple[Verified, Notes]:
        """As the command does it: a process of its own."""
        notes = Notes()
        ownership = Ownership(self.mark, monotonic=self.time.monotonic)

        async def acquire(backend: str, _: object) -> None:
            async def wait(time: timedelta) -> None:
                self.time.pass_by(time)

            await ownership.acquire(backend, wait)

        verify = Verify(
            self.metadata,
            self.metadata.blobs,
            self.metadata.contents,
            self.metadata.named,
            self.metadata.backlog,
            self.drive.stores,
            ownership.recognise,
            acquire,
            ownership.may_delete,
            now=self.time,
        )
        return await verify(wanted, notes), notes


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def disk(time: Time) -> MemoryBlobStore:
    return MemoryBlobStore(now=time)


@pytest.fixture
async def site(disk: MemoryBlobStore, time: Time) -> Site:
    """A server that has started for the first time."""
    site = Site(disk, time)
    await site.ownership.open(DISK)
    return site


async def live(*sites: Site, time: timedelta = 2 * WATCHED) -> None:
    """Let time pass for servers that are running."""
    for _ in range(int(time / INTERVAL) * 3):
        sites[0].time.pass_by(INTERVAL / 3)
        for site in sites:
            await site.keep()


async def replaced(site: Site, blob_id: str = "a") -> Blob:
    """A version whose grace is over."""
    old = await site.drive.put(b"old", BlobId(blob_id))
    await site.drive.put(b"new", BlobId(blob_id))
    site.time.pass_by(GRACE)
    return old


class TestMarkers:
    async def test_a_storage_is_marked_at_the_first_start_and_recognised_at_the_next(self, site: Site) -> None:
        known = await site.known()
        assert set(await keys(site.drive.active)) == {known.identity, known.epoch}
        assert (site.metadata.rows.uploads, site.metadata.rows.garbage) == ({}, {})
        site.restart()
        await site.ownership.open(DISK)
        assert await site.known() == known
        assert await site.metadata.named(DISK, [known.identity, known.epoch]) == known.keys

    async def test_a_process_that_has_just_marked_it_deletes_at_once(self, site: Site) -> None:
        old = await replaced(site)
        assert (await site.reap()).deleted == 1
        assert old.location.key not in await site.drive.objects()

    async def test_of_many_that_start_together_one_marks_it(self, disk: MemoryBlobStore, time: Time) -> None:
        first = Site(disk, time)
        sites = [first, *(Site(disk, time, first.metadata) for _ in range(5))]
        await asyncio.gather(*(each.ownership.open(DISK) for each in sites))
        assert [await each.standing() for each in sites].count(Standing.OURS) == 1
        await live(*sites)
        assert {await each.standing() for each in sites} == {Standing.OURS}
        for _ in range(2):
            await first.reap()
            time.pass_by(HOUR)
            await live(*sites)
        assert set(await keys(disk)) == (await first.known()).keys

    async def test_an_interval_has_bounds(self) -> None:
        assert interval_for(0.1) == timedelta(seconds=1)
        assert interval_for(30) == timedelta(seconds=30)
        assert interval_for(1e300) == timedelta(minutes=5)

    async def test_a_storage_that_lacks_most_blobs_is_not_marked(self, disk: MemoryBlobStore, time: Time) -> None:
        """As one that is not mounted when the version that knows of markers is installed."""
        site = Site(disk, time)
        for number in range(10):
            blob = await site.drive.put(b"x", BlobId(f"{number}"))
            if number < 6:
                await disk.delete(blob.location.key)
        with pytest.raises(UnknownStorage, match="6 of 10 sampled objects are missing"):
            await site.ownership.open(DISK)
        assert (len(await keys(disk)), site.metadata.rows.uploads, site.metadata.rows.storages) == (4, {}, {})
        await site.drive.put(b"x", BlobId("0"))
        await site.drive.put(b"x", BlobId("1"))
        await site.ownership.open(DISK)

    @pytest.mark.parametrize("backend", ["database", "memory"])
    async def test_what_keeps_its_bytes_beside_the_rows_needs_none(self, backend: str, time: Time) -> None:
        store = MemoryBlobStore()
        metadata = MemoryMetadata(time)
        mark = MarkStorage(
            Uploads(metadata, Stores(backend, {backend: store})),
            metadata.blobs,
            metadata.contents,
            metadata.known_storage,
            ObjectKey.random,
        )
        ownership = Ownership(mark, INTERVAL)
        await ownership.open(backend)
        assert await ownership.keep(backend) is Standing.OURS
        assert (await keys(store), metadata.rows.storages) == ([], {})


class TestAnotherStorage:
    """A disk that is not mounted, another bucket, another folder."""

    async def test_a_start_is_refused(self, site: Site) -> None:
        site.mount(MemoryBlobStore())
        with pytest.raises(UnknownStorage, match=r"its marker is missing.*drivebay adopt --storage disk"):
            await site.ownership.open(DISK)

    async def test_it_is_not_ready_and_becomes_so_when_it_is_back(self, site: Site, disk: MemoryBlobStore) -> None:
        async def faults() -> dict[str, str]:
            check = CheckReady(
                Uploads(site.metadata, site.drive.stores), ObjectKey.random, recognise=site.ownership.recognise
            )
            return {found.part: found.reason for found in await check()}

        assert await faults() == {}
        site.mount(MemoryBlobStore())
        assert await faults() == {"storage": "unavailable"}
        assert site.metadata.rows.uploads == {}
        site.mount(disk)
        assert await faults() == {}

    async def test_garbage_is_neither_deleted_nor_forgotten(self, site: Site, disk: MemoryBlobStore) -> None:
        old = await replaced(site)
        site.mount(MemoryBlobStore())
        with pytest.raises(UnknownStorage):
            await site.reap()
        site.mount(disk)
        site.time.pass_by(HOUR)
        assert (await site.reap()).deleted == 1
        assert old.location.key not in await keys(disk)

    @pytest.mark.parametrize("number", [1, BATCH])
    async def test_garbage_is_not_forgotten_if_it_vanishes_during_a_round(
        self, site: Site, disk: MemoryBlobStore, number: int
    ) -> None:
        for each_ in range(number):
            await replaced(site, f"{each_}")

        class Vanishes(MemoryBlobStore):
            """It is there until the first delete, which reaches the folder below it and finds nothing."""

            gone = False

            async def stat(self, key: ObjectKey) -> Stored:
                return await (MemoryBlobStore() if self.gone else disk).stat(key)

            async def delete(self, key: ObjectKey) -> None:
                self.gone = True

        site.mount(Vanishes())
        with pytest.raises(UnknownStorage):
            await site.reap()
        site.mount(disk)
        site.time.pass_by(HOUR)
        assert (await site.reap()).deleted == number
        assert len(await keys(disk)) == number + 2

    async def test_the_epoch_stays_as_it_is(self, site: Site, disk: MemoryBlobStore) -> None:
        elsewhere = MemoryBlobStore()
        site.mount(elsewhere)
        for _ in range(10):
            site.time.pass_by(INTERVAL)
            with pytest.raises(UnknownStorage):
                await site.keep()
        assert await keys(elsewhere) == []
        site.mount(disk)
        assert await site.keep() is Standing.OURS

    async def test_it_can_not_be_verified(self, site: Site) -> None:
        for number in range(3):
            await site.drive.put(b"x", BlobId(f"{number}"))
        elsewhere = MemoryBlobStore()
        orphan = ObjectKey.random()
        await elsewhere.put(orphan, each([b"of somebody else"]))
        site.mount(elsewhere)
        repair = Repair(NOW, drop_missing=True, even_if_most_are=True, even_if_missing=True)
        for wanted in (VerifyOptions(), VerifyOptions(repair=repair)):
            result, notes = await site.verify(wanted)
            assert (notes.findings, result.complete) == ([], False)
            assert "its marker is missing" in result.counts[0].unverified
        assert (len(site.metadata.rows.blobs), await keys(elsewhere)) == (3, [orphan])

    async def test_no_row_is_dropped_if_it_vanishes_during_a_verification(
        self, site: Site, disk: MemoryBlobStore
    ) -> None:
        for number in range(50):
            await site.drive.put(b"x", BlobId(f"{number}"))
        last = max(site.metadata.rows.blobs.values(), key=lambda blob: blob.location.key).location.key

        class VanishesAtLast(Hooked):
            gone = False

            async def stat(self, key: ObjectKey) -> Stored:
                self.gone = self.gone or key == last
                return await (MemoryBlobStore() if self.gone else self.store).stat(key)

        site.mount(VanishesAtLast(disk, at_once))
        repair = Repair(NOW, drop_missing=True, even_if_most_are=True, even_if_missing=True)
        result, _ = await site.verify(VerifyOptions(repair=repair))
        assert "its marker is missing" in result.counts[0].not_repaired
        assert len(site.metadata.rows.blobs) == 50


class TestCopies:
    """A database, and a copy of it that is started next to it."""

    async def test_a_copy_deletes_nothing_that_was_published_since(self, site: Site, time: Time) -> None:
        """An upload that was in progress when the database was copied, and that the original has published."""
        location = Location(DISK, ObjectKey.random())
        async with site.metadata() as work:
            await work.uploads.add(location, timedelta(minutes=10))
            await work.commit()
        copy = site.copy()
        await site.drive.active.put(location.key, each([b"published"]))
        blob = await site.drive.put(b"unrelated")
        async with site.metadata() as work:
            await work.uploads.remove(location.key)
            await work.blobs.put(Draft(BlobId("b"), Content(location, 9, blob.content.digest), Properties("")), ANY)
            await work.commit()
        for _ in range(30):
            await live(site, copy, time=INTERVAL)
            assert await copy.reap() == Reaped(0, more=False, errors=())
        assert await copy.standing() is Standing.TAKEN
        assert location.key in await site.drive.objects()
        assert await site.drive.get(BlobId("b")) == b"published"

    async def test_a_copy_waits_even_while_nothing_speaks_against_it(self, site: Site) -> None:
        copy = site.copy()
        for _ in range(INTERVALS * 3 - 1):
            assert await copy.keep() is Standing.WATCHING
            assert await copy.reap() == Reaped(0, more=False, errors=())
            site.time.pass_by(INTERVAL / 3)
        assert await copy.standing() is Standing.WATCHING

    async def test_a_copy_of_a_database_that_is_gone_takes_over_and_the_original_stays_out(self, site: Site) -> None:
        copy = site.copy()
        await live(copy)
        assert await copy.standing() is Standing.OURS
        assert await site.standing() is Standing.TAKEN
        await live(copy, site)
        assert [await each_.standing() for each_ in (copy, site)] == [Standing.OURS, Standing.TAKEN]
        await copy.ownership.require(DISK)
        with refused(Kind.UNAVAILABLE):
            await site.ownership.require(DISK)
        assert len(await keys(site.drive.active)) == 2

    async def test_a_copy_can_not_repair(self, site: Site) -> None:
        copy = site.copy()
        blob = await site.drive.put(b"stored since")
        await live(site)
        result, notes = await copy.verify(VerifyOptions(repair=Repair(NOW, even_if_most_are=True)))
        assert (Defect.ORPHAN, blob.location.key) in notes.faults
        assert "Another database deletes in the storage disk" in result.counts[0].not_repaired
        assert await site.drive.get() == b"stored since"

    async def test_a_repair_waits_until_it_is_certain(self, site: Site) -> None:
        """Nothing speaks against it, and no server of its own is running."""
        await site.drive.put(b"x")
        orphan = ObjectKey.random()
        await site.drive.active.put(orphan, each([b"nobody's"]))
        began = site.time.now
        result, _ = await site.verify(VerifyOptions(repair=Repair(NOW)))
        assert (result.wrong, site.time.now - began) == (0, WATCHED)
        assert (await site.known()).interval == INTERVAL

    async def test_a_repair_stops_when_another_database_takes_over(self, site: Site, disk: MemoryBlobStore) -> None:
        for number in range(20):
            await site.drive.put(b"x", BlobId(f"{number}"))
            await disk.put(ObjectKey.random(), each([b"of the other"]))
        deletes = 0

        class Slow(Hooked):
            async def delete(self, key: ObjectKey) -> None:
                nonlocal deletes
                deletes += 1
                await self.store.delete(key)
                if deletes == 10:  # longer than any server would be away
                    await live(copied())

        def copied() -> Site:
            site.mount(disk)
            return site.copy()

        site.mount(Slow(disk, at_once))
        site.restart()
        result, _ = await site.verify(VerifyOptions(repair=Repair(NOW)))
        assert result.counts[0].not_repaired
        assert result.counts[0].repaired[Defect.ORPHAN] < 15

    async def test_another_process_of_the_same_database_is_known_by_its_row(self, site: Site, time: Time) -> None:
        other = Site(MemoryBlobStore(), time, site.metadata)
        other.mount(site.drive.active)
        assert await other.keep() is Standing.WATCHING
        await live(site, other, time=2 * INTERVAL)
        assert await other.standing() is Standing.OURS

    async def test_a_restart_takes_the_watch_and_no_more(self, site: Site) -> None:
        await live(site)
        site.restart()
        assert await site.keep() is Standing.WATCHING
        await live(site, time=WATCHED)
        assert await site.standing() is Standing.OURS

    async def test_an_interval_that_is_made_longer_leaves_no_gap(self, site: Site) -> None:
        """A copy waits by the interval that it knows."""
        copy = site.copy()
        site.ownership = Ownership(site.mark, HOUR, {(await site.known()).epoch}, site.time.monotonic)
        assert await site.ownership.pause(DISK) <= INTERVAL / 3
        await live(site, copy)
        assert [await each_.standing() for each_ in (site, copy)] == [Standing.OURS, Standing.TAKEN]
        assert (await site.known()).interval == HOUR

    async def test_a_claim_that_is_withdrawn_before_it_is_read_is_nobodys(
        self, site: Site, disk: MemoryBlobStore
    ) -> None:
        """Another process was quicker, and has withdrawn the claim that it wrote: the next look decides."""

        class Withdrawing(Hooked):
            @asynccontextmanager
            async def read(
                self, key: ObjectKey, byte_range: ByteRange | None = None
            ) -> AsyncIterator[AsyncIterator[bytes]]:
                await self.store.delete(key)
                async with self.store.read(key, byte_range) as chunks:
                    yield chunks

        copy = site.copy()
        assert await copy.keep() is Standing.WATCHING
        site.time.pass_by(WATCHED)
        copy.mount(Withdrawing(disk, at_once))
        assert await copy.keep() is Standing.WATCHING
        copy.mount(disk)
        await live(copy)
        assert await copy.standing() is Standing.OURS

    async def test_of_copies_that_take_over_at_the_same_time_one_does(self, time: Time) -> None:
        outcomes = set()
        for seed in range(150):
            chance = random.Random(seed)  # noqa: S311 - nothing is secret about it

            async def turns(chance: random.Random = chance) -> None:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)

            original = Site(MemoryBlobStore(), time)
            await original.ownership.open(DISK)
            sites = [original.copy() for _ in range(3)]
            for each_ in sites:
                await each_.keep()
                each_.hook = turns
            time.pass_by(WATCHED)
            await asyncio.gather(*(each_.keep() for each_ in sites))
            await live(*sites)
            standings = [await each_.standing() for each_ in sites]
            assert standings.count(Standing.OURS) == 1, seed
            outcomes.add(standings.index(Standing.OURS))
        assert outcomes == {0, 1, 2}


class Killed(BaseException):
    """The process is gone."""


class TestCrashes:
    """A server is killed at each step. It goes on, leaves nothing, and no copy made at that moment deletes as well."""

    async def killed_at(self, step: int, act: Callable[[Site], Awaitable[object]], site: Site) -> bool:
        """Whether it came to this step."""
        steps = iter(range(step))

        async def die_at_last() -> None:
            if next(steps, None) is None:
                raise Killed

        site.hook = die_at_last
        with suppress(Killed):
            await act(site)
            site.hook = at_once
            return False
        site.hook = at_once
        site.restart()
        return True

    async def expect_to_recover(self, site: Site) -> None:
        await live(site)
        assert await site.standing() is Standing.OURS
        for _ in range(3):
            site.time.pass_by(HOUR)
            await site.keep()
            await site.reap()
        assert set(await keys(site.drive.active)) == {(await site.known()).identity, (await site.known()).epoch}
        assert (site.metadata.rows.uploads, site.metadata.rows.garbage) == ({}, {})

    async def test_while_it_is_marked(self, time: Time) -> None:
        step = 0
        while True:
            site = Site(MemoryBlobStore(), time)
            if not await self.killed_at(step, lambda site: site.ownership.open(DISK), site):
                break
            await site.ownership.open(DISK)
            await self.expect_to_recover(site)
            step += 1
        assert step > 5

    @pytest.mark.parametrize("taking_over", [False, True])
    async def test_while_the_epoch_is_replaced(self, time: Time, taking_over: bool) -> None:
        for order in (1, -1):
            step = 0
            while True:
                site = Site(MemoryBlobStore(), time)
                await site.ownership.open(DISK)
                if taking_over:
                    site.restart()
                    await site.keep()
                time.pass_by(WATCHED)
                if not await self.killed_at(step, Site.keep, site):
                    break
                copy = site.copy()
                both = [site, copy][::order]
                for _ in range(30):
                    await live(*both, time=INTERVAL)
                    assert [await each_.standing() for each_ in both].count(Standing.OURS) <= 1, step
                assert Standing.OURS in [await each_.standing() for each_ in both], step
                if await site.standing() is Standing.OURS:
                    await self.expect_to_recover(site)
                step += 1
            assert step > (20 if taking_over else 10)


class TestAdoption:
    def adopt(self, site: Site) -> AdoptStorage:
        return AdoptStorage(site.mark, site.metadata.named)

    async def test_a_copy_that_is_adopted_deletes_and_the_original_refuses_the_storage(self, site: Site) -> None:
        copy = site.copy()
        await live(site, copy)
        adopted = await self.adopt(copy)(DISK, INTERVAL)
        assert (adopted.adopted, adopted.was_known) == (True, True)
        await live(copy)
        assert await copy.standing() is Standing.OURS
        with pytest.raises(UnknownStorage):
            await site.keep()
        third = site.copy()
        again = await self.adopt(site)(DISK, INTERVAL)
        assert again.others == [(await copy.known()).identity]
        await live(site)
        assert await site.standing() is Standing.OURS
        with pytest.raises(UnknownStorage):
            await copy.keep()
        assert (await self.adopt(third)(DISK, INTERVAL)).others == [(await site.known()).identity]
        with pytest.raises(UnknownStorage):
            await site.keep()

    async def test_a_blob_is_not_taken_for_a_marker(self, site: Site) -> None:
        copy = site.copy()
        marker = await read_marker(site.drive.active, (await site.known()).identity)
        blobs = [b"", b"{}", b"[1]", marker, marker * 10]
        for number, content in enumerate(blobs):
            await site.drive.put(content, BlobId(f"{number}"))
        await site.drive.active.delete((await site.known()).identity)
        assert (await self.adopt(copy)(DISK, INTERVAL)).others == []
        for number, content in enumerate(blobs):
            assert await site.drive.get(BlobId(f"{number}")) == content

    async def test_it_leaves_only_new_markers(self, site: Site) -> None:
        before = await site.known()
        await live(site)
        await self.adopt(site)(DISK, INTERVAL)
        after = await site.known()
        assert not before.keys & after.keys
        await site.reap()
        assert set(await keys(site.drive.active)) == {after.identity, after.epoch}
        assert (site.metadata.rows.uploads, site.metadata.rows.garbage) == ({}, {})

    async def test_a_running_server_of_this_database_goes_on(self, site: Site) -> None:
        await site.keep()
        await self.adopt(site)(DISK, INTERVAL)
        assert await site.standing() is Standing.OURS
        assert await site.keep() is Standing.OURS

    async def test_beside_servers_that_replace_the_epoch_at_the_same_time(self, time: Time) -> None:
        for seed in range(50):
            chance = random.Random(seed)  # noqa: S311 - nothing is secret about it

            async def turns(chance: random.Random = chance) -> None:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)

            site = Site(MemoryBlobStore(), time)
            await site.ownership.open(DISK)
            site.hook = turns
            time.pass_by(INTERVAL)
            adopted, kept = await asyncio.gather(self.adopt(site)(DISK, INTERVAL), site.keep(), return_exceptions=True)
            assert not isinstance(adopted, BaseException), seed
            assert adopted.adopted, seed
            assert kept is Standing.OURS, seed
            await live(site, time=INTERVAL)
            assert await site.standing() is Standing.OURS

    async def test_a_storage_that_was_moved(self, site: Site) -> None:
        blob = await site.drive.put(b"x")
        elsewhere = MemoryBlobStore()
        await elsewhere.put(blob.location.key, each([b"x"]))
        await site.keep()
        site.mount(elsewhere)
        assert (await self.adopt(site)(DISK, INTERVAL)).adopted
        await site.ownership.open(DISK)
        assert await site.keep() is Standing.OURS

    async def test_a_storage_that_lacks_many_blobs_is_refused(self, site: Site) -> None:
        for number in range(30):
            await site.drive.put(b"x", BlobId(f"{number}"))
        elsewhere = MemoryBlobStore()
        site.mount(elsewhere)
        await site.drive.put(b"stored since", BlobId("since"))
        before = await site.known()
        refused_ = await self.adopt(site)(DISK, INTERVAL)
        assert (refused_.adopted, refused_.refused) == (False, "30 of 31 sampled objects are missing.")
        assert (await site.known(), len(await keys(elsewhere))) == (before, 1)
        assert (await self.adopt(site)(DISK, INTERVAL, even_if_missing=True)).adopted

    async def test_a_dry_run_changes_nothing(self, site: Site) -> None:
        before = await site.known(), await keys(site.drive.active)
        outcome = await self.adopt(site)(DISK, INTERVAL, dry_run=True)
        assert (outcome.adopted, outcome.refused) == (False, "")
        assert (await site.known(), await keys(site.drive.active)) == before
        assert (site.metadata.rows.uploads, site.metadata.rows.garbage) == ({}, {})

    @pytest.mark.parametrize("part", ["database", "storage"])
    async def test_the_markers_of_others_stay_if_nothing_can_be_written(
        self, site: Site, part: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = site.copy()
        await self.adopt(site)(DISK, INTERVAL)

        async def refuse(*_: object) -> None:
            raise NoSpace

        if part == "database":
            old.units.hook = refuse
        else:
            monkeypatch.setattr(MemoryBlobStore, "put", refuse)
        with refused(Kind.NO_SPACE):
            await self.adopt(old)(DISK, INTERVAL)
        await site.ownership.recognise(DISK)

    async def test_a_storage_that_is_not_known_yet(self, disk: MemoryBlobStore, time: Time) -> None:
        site = Site(disk, time)
        outcome = await self.adopt(site)(DISK, INTERVAL)
        assert (outcome.adopted, outcome.was_known) == (True, False)
        await site.ownership.open(DISK)


class TestSampling:
    async def test_as_many_as_there_are_are_looked_at_from_any_key_on(self, site: Site) -> None:
        for number in range(20):
            await site.drive.put(b"x", BlobId(f"{number}"))
        for start in ("0" * 32, "8" * 32, "f" * 32):
            found = await sample(site.metadata.blobs, site.metadata.contents, DISK, site.drive.active, ObjectKey(start))
            assert (found.looked, found.missing) == (20, 0)
        found = await sample(
            site.metadata.blobs, site.metadata.contents, "another", site.drive.active, ObjectKey("8" * 32)
        )
        assert found.looked == 0

    async def test_no_more_than_enough(self, site: Site) -> None:
        for number in range(ENOUGH + 10):
            await site.drive.put(b"x", BlobId(f"{number}"))
        found = await sample(site.metadata.blobs, site.metadata.contents, DISK, MemoryBlobStore(), ObjectKey("8" * 32))
        assert (found.looked, found.missing, found.is_suspicious) == (ENOUGH, ENOUGH, True)

    async def test_those_that_are_looked_at_at_the_same_time_are_all_counted(self, site: Site) -> None:
        for number in range(50):
            await site.drive.put(b"x", BlobId(f"{number}"))

        class Slow(MemoryBlobStore):
            async def stat(self, key: ObjectKey) -> Stored:
                await asyncio.sleep(0)
                return await super().stat(key)

        found = await sample(site.metadata.blobs, site.metadata.contents, DISK, Slow(), ObjectKey("8" * 32))
        assert (found.looked, found.missing) == (50, 50)

    async def test_a_storage_that_can_not_be_looked_into_is_not_taken_for_empty(self, site: Site) -> None:
        await site.drive.put(b"x")

        class Down(MemoryBlobStore):
            async def stat(self, key: ObjectKey) -> Stored:
                raise Unavailable("down")

        with refused(Kind.UNAVAILABLE):
            await sample(site.metadata.blobs, site.metadata.contents, DISK, Down(), ObjectKey("8" * 32))


def test_claims_are_agreed_on_and_differ() -> None:
    epoch = ObjectKey("8" * 32)
    assert claim_key(epoch, 0) == claim_key(epoch, 0)
    assert len({claim_key(epoch, 0), claim_key(epoch, 1), claim_key(ObjectKey("9" * 32), 0)}) == 3
