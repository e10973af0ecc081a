"""Commits of a key with a quota whose response is lost: the bytes are stored and counted, or neither."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.memory import MemoryBlobStore
from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.delete import DeleteBlob
from application.blobs.changes.operations import Copy, Move, Operation, Put, Rules
from application.blobs.changes.prefixes import DeletePrefix
from application.blobs.changes.trash import Trash
from application.blobs.multipart.uploads import MultipartUploads, NewPart, NewUpload
from application.contents.retention import GRACE
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from application.uploads.committer import Committer
from application.uploads.lifecycle import Uploads
from application.uploads.small_blobs import SmallBlobs
from domain.access import EVERYTHING, AccessKey, Action, Grant, Limits
from domain.blob import Blob, BlobId, ObjectKey
from domain.errors import BlobError, Kind, NotFound
from tests.contracts.blob_store import each
from tests.contracts.metadata import Metadata, in_a_unit
from tests.integration import test_lost_commits
from tests.integration.drive import Drive, Time, new_blob, with_uploads
from tests.integration.losing import DownFor, LetsOthersIn, LosesAnAnswer

AT_ONCE = timedelta(0)
WAITS = (0.0,) * 3
OLD, NEW, NEWER = b"old...", b"new.....", b"newer"
QUOTA = 20  # bytes: two versions fit, and no further one
KEY = AccessKey(
    "", "lost", frozenset(Action), ("",), datetime(2024, 1, 1, tzinfo=UTC), limits=Limits(None, None, QUOTA)
)


class CancelsACommit(UnitOfWorkFactory):
    """Units of work of which the commit with this number is cancelled, after or before it happened."""

    def __init__(self, units: UnitOfWorkFactory, number: int, *, happens: bool) -> None:
        self.units = units
        self.left = number
        self.happens = happens

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self.units() as work:
            commit = work.commit

            async def cancel() -> None:
                self.left -= 1
                if self.left or self.happens:
                    await commit()
                if not self.left:
                    raise asyncio.CancelledError

            work.commit = cancel  # type: ignore[method-assign]  # for this unit alone
            yield work


@dataclass(frozen=True)
class Scene:
    """A drive with a key, which has stored the blobs `target` and `source`, and a version of `gone` in the trash.

    `units` returns units of work of which the commit with a number is lost.
    """

    drive: Drive
    grant: Grant
    prefix: str
    units: Callable[[int], UnitOfWorkFactory]

    @property
    def target(self) -> BlobId:
        return BlobId(f"{self.prefix}/target")

    @property
    def source(self) -> BlobId:
        return BlobId(f"{self.prefix}/source")

    @property
    def gone(self) -> BlobId:
        return BlobId(f"{self.prefix}/gone")

    async def put(self, blob_id: BlobId, data: bytes, grant: Grant | None = None) -> None:
        await self.drive.store(grant or self.grant, new_blob(blob_id, each([data])))

    async def delete(self, blob_id: BlobId) -> None:
        await DeleteBlob(self.drive.metadata)(EVERYTHING, blob_id)

    async def found(self) -> Blob | None:
        """Return the target as it is now."""
        return await self.drive.metadata.blobs.find(self.target)

    def committer(self) -> Committer:
        """Return a committer whose first commit is lost."""
        return Committer(self.units(1), ObjectKey.random, WAITS)

    async def commit(self, operation: Operation) -> None:
        commit = self.committer()
        await CommitOperations(commit, commit, Rules())(self.grant, [operation])

    async def expect_exact(self) -> None:
        blobs = await self.drive.metadata.blobs.between(self.prefix, f"{self.prefix}0", 100)
        key = await self.drive.metadata.keys.find(self.grant.key_id)
        assert key is not None
        assert key.stored_bytes == sum(each.size for each in blobs if each.owner == key.id)
        assert {each.owner for each in blobs} <= {key.id, ""}


# Changes, each of which replaces the target by a version with the bytes NEW, or deletes it.


async def store(scene: Scene) -> None:
    uploads = with_uploads(scene.drive.store, units=scene.units(2), waits=WAITS, lease=AT_ONCE)
    await uploads(scene.grant, new_blob(scene.target, each([NEW])))


async def store_a_small_blob(scene: Scene) -> None:
    small = SmallBlobs(scene.units(1), len(NEW), GRACE, waits=WAITS)
    await replace(scene.drive.store, small=small)(scene.grant, new_blob(scene.target, each([NEW])))


async def publish_an_upload(scene: Scene) -> None:
    drive = scene.drive
    uploads = MultipartUploads(Uploads(drive.metadata, drive.stores), drive.metadata.multipart, ObjectKey.random, QUOTA)
    key = (await uploads.begin(scene.grant, NewUpload())).key
    for number, part in enumerate((NEW[:2], NEW[2:]), 1):
        await uploads.write(scene.grant, key, number, NewPart(each([part])))
    await scene.commit(Put(scene.target, key))


async def copy(scene: Scene) -> None:
    await scene.commit(Copy(scene.source, scene.target, replace=True))


async def move(scene: Scene) -> None:
    await scene.commit(Move(scene.source, scene.target, replace=True))


async def restore(scene: Scene) -> None:
    trash = Trash(scene.committer(), scene.drive.metadata.trash)
    [version] = await trash.list(scene.grant, scene.gone.value, None, 2)
    await trash.restore(scene.grant, version.key, scene.target, may_replace=True)


async def delete(scene: Scene) -> None:
    await DeleteBlob(scene.units(1), waits=WAITS)(scene.grant, scene.target)


async def delete_a_prefix(scene: Scene) -> None:
    await DeletePrefix(scene.committer(), scene.drive.metadata.blobs)(scene.grant, scene.target.value)


CHANGES = [store, store_a_small_blob, publish_an_upload, copy, move, restore, delete, delete_a_prefix]


# Ways to lose a commit.


def lost(scene: Scene, number: int, *, happens: bool) -> UnitOfWorkFactory:
    return LosesAnAnswer(scene.drive.metadata, number, happens=happens)


def lost_with_the_database(scene: Scene, number: int, *, happens: bool) -> UnitOfWorkFactory:
    return DownFor(LosesAnAnswer(scene.drive.metadata, number, happens=happens), len(WAITS))


def lost_for_long(scene: Scene, number: int, *, happens: bool) -> UnitOfWorkFactory:
    return DownFor(LosesAnAnswer(scene.drive.metadata, number, happens=happens), 100)


def cancelled(scene: Scene, number: int, *, happens: bool) -> UnitOfWorkFactory:
    return CancelsACommit(scene.drive.metadata, number, happens=happens)


def _with_others(others: Callable[[Scene], Awaitable[object]]) -> "Way":
    def lost_while_others_act(scene: Scene, number: int, *, happens: bool) -> UnitOfWorkFactory:
        losing = LosesAnAnswer(scene.drive.metadata, number, happens=happens)
        return LetsOthersIn(losing, lambda: others(scene))

    return lost_while_others_act


async def _delete_it(scene: Scene) -> None:
    with suppress(NotFound):
        await scene.delete(scene.target)


Way = Callable[..., UnitOfWorkFactory]
WAYS: dict[str, Way] = {
    "the database is there": lost,
    "the database is away": lost_with_the_database,
    "the database stays away": lost_for_long,
    "cancelled": cancelled,
    "another key replaces it": _with_others(lambda scene: scene.put(scene.target, NEWER, EVERYTHING)),
    "the same key replaces it": _with_others(lambda scene: scene.put(scene.target, NEWER)),
    "it is deleted": _with_others(_delete_it),
    "it is reaped": _with_others(lambda scene: scene.drive.reap()),
}
FOUND_OUT = ("the database is there", "the database is away")


async def outcome_of(change: Callable[[Scene], Awaitable[None]], scene: Scene) -> object:
    """Make a change. Return the kind of its error, the cancellation, or None."""
    try:
        await change(scene)
    except BlobError as error:
        return error.kind
    except asyncio.CancelledError as error:
        return error
    return None


class LostChargeCases:
    """A subclass has a fixture for the `metadata`, opened."""

    async def begin(self, metadata: Metadata) -> Scene:
        """Return a scene of which no commit is lost, with names of its own."""
        drive = Drive(metadata, Stores("memory", {"memory": MemoryBlobStore()}), Time())
        name = ObjectKey.random().value
        key = replace(KEY, id=name[:16])
        await in_a_unit(metadata, lambda work: work.keys.add(key))
        scene = Scene(drive, key.grant(), name, lambda _: metadata)
        await scene.put(scene.gone, NEW)
        await scene.delete(scene.gone)
        await scene.put(scene.target, OLD)
        await scene.put(scene.source, NEW)
        return scene

    @pytest.mark.parametrize("happens", [True, False])
    @pytest.mark.parametrize("way", WAYS)
    async def test_bytes_are_stored_and_counted_or_neither(self, metadata: Metadata, way: str, happens: bool) -> None:
        for change in CHANGES:
            scene = await self.begin(metadata)
            before = await scene.found()
            outcome = await outcome_of(change, replace(scene, units=partial(WAYS[way], scene, happens=happens)))
            assert outcome is not Kind.QUOTA_EXCEEDED, change
            await scene.expect_exact()
            if way in FOUND_OUT:
                is_changed = await scene.found() != before
                assert is_changed == (outcome is None) == (happens or change is delete), change
            await scene.drive.reap()
            await scene.expect_exact()
            await self.expect_room(scene)

    async def expect_room(self, scene: Scene) -> None:
        """The quota has room for all but what is there."""
        blobs = await scene.drive.metadata.blobs.between(scene.prefix, f"{scene.prefix}0", 100)
        free = QUOTA - sum(each.size for each in blobs if each.owner)
        await scene.put(BlobId(f"{scene.prefix}/full"), bytes(free))
        with pytest.raises(BlobError) as caught:
            await scene.put(BlobId(f"{scene.prefix}/more"), b"x")
        assert caught.value.kind is Kind.QUOTA_EXCEEDED
        await scene.expect_exact()


class TestMemory(LostChargeCases):
    @pytest.fixture
    def metadata(self) -> Metadata:
        return MemoryMetadata()


class TestSqlite(LostChargeCases):
    metadata = test_lost_commits.TestSqlite.metadata


@pytest.mark.docker
class TestPostgresql(LostChargeCases):
    metadata = test_lost_commits.TestPostgresql.metadata


@pytest.mark.docker
class TestMariadb(LostChargeCases):
    metadata = test_lost_commits.TestMariadb.metadata
