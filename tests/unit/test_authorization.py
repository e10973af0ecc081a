"""Grants, and use cases that refuse calls without one."""

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import application.blobs
from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.memory import MemoryBlobStore
from application.attempts import Attempt
from application.authorize import authorize
from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.delete import DeleteBlob, DeleteBlobs
from application.blobs.changes.operations import Copy, Delete, Move, Operation, Patch, Put, Rules
from application.blobs.changes.prefixes import DeletePrefix, MovePrefix
from application.blobs.changes.trash import Trash
from application.blobs.collect import CollectBlobs, Selection
from application.blobs.fetch import FetchBlob
from application.blobs.list import ListBlobs
from application.blobs.multipart.copy_part import CopiedPart, CopyPart
from application.blobs.multipart.uploads import MultipartUploads, NewPart, NewUpload
from application.blobs.resumable.finish import Join
from application.blobs.resumable.uploads import NewBytes, ResumableUploads
from application.blobs.store import IdentifiedBytes, NewBlob, StoreBlob
from application.ports.contents import MultipartUpload
from application.ports.metadata import common_prefix
from application.stores import Stores
from application.uploads.committer import Committer
from application.uploads.lifecycle import Uploads
from domain.access import EVERYTHING, Action, Grant, Limits
from domain.blob import BlobId, ObjectKey
from domain.checksums import Checksums
from domain.errors import BlobError, NotFound, NotGranted, NotInTrash, TooLarge, UploadNotFound
from domain.precondition import ANY
from tests.attempts import recorded

NOW = datetime(2024, 1, 1, tzinfo=UTC)
ID, OTHER = BlobId("films/a"), BlobId("films/b")
SEVERAL = (Trash, MultipartUploads, ResumableUploads)


class LateId:
    """A source that counts the chunks read, and whose id comes after them."""

    def __init__(self, blob_id: BlobId) -> None:
        self.id: BlobId | None = None
        self.read = 0
        self._late = blob_id

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.read += 1
        yield b"late"
        self.id = self._late


class Drive:
    """The use cases on memory."""

    def __init__(self) -> None:
        metadata, self.objects = MemoryMetadata(), MemoryBlobStore()
        stores = Stores("memory", {"memory": self.objects})
        self.store = StoreBlob(Uploads(metadata, stores), ObjectKey.random, 100)
        self.fetch = FetchBlob(metadata.blobs, metadata.contents, stores, metadata)
        self.delete = DeleteBlob(metadata)
        self.list = ListBlobs(metadata.blobs)
        self.collect = CollectBlobs(metadata.blobs, metadata.contents, stores, metadata)
        committer = Committer(metadata, ObjectKey.random)
        self.commit = CommitOperations(committer, committer, Rules())
        self.delete_prefix = DeletePrefix(committer, metadata.blobs)
        self.delete_blobs = DeleteBlobs(committer)
        self.move_prefix = MovePrefix(committer, metadata.blobs)
        self.trash = Trash(committer, metadata.trash)
        self.uploads = MultipartUploads(Uploads(metadata, stores), metadata.multipart, ObjectKey.random, 100)
        self.resumable = ResumableUploads(self.uploads, self.commit)
        self.copy_part = CopyPart(self.uploads, metadata.contents)


async def store(drive: Drive, grant: Grant) -> None:
    await drive.store(grant, NewBlob(IdentifiedBytes(ID, LateId(ID))))


async def publish(drive: Drive, grant: Grant) -> None:
    @asynccontextmanager
    async def place(key: ObjectKey) -> AsyncIterator[None]:
        await drive.objects.put(key, LateId(ID))
        yield

    await drive.store.publish(grant, NewBlob(IdentifiedBytes(ID, LateId(ID))), place)


async def fetch(drive: Drive, grant: Grant) -> None:
    async with drive.fetch(grant, ID):
        pass


async def stat(drive: Drive, grant: Grant) -> None:
    await drive.fetch.stat(grant, ID)


async def delete(drive: Drive, grant: Grant) -> None:
    await drive.delete(grant, ID)


async def collect(drive: Drive, grant: Grant) -> None:
    async with drive.collect(grant, Selection(prefixes=["films/"])):
        pass


async def list_films(drive: Drive, grant: Grant) -> None:
    await drive.list(grant, "films/", "", 10)


async def in_trash(drive: Drive) -> int:
    """Delete the blob, and return its key in the trash."""
    await store(drive, EVERYTHING)
    await drive.delete(EVERYTHING, ID)
    *_, version = await drive.trash.list(EVERYTHING, "", None, 100)
    return version.key


async def begun(drive: Drive) -> ObjectKey:
    return (await drive.uploads.begin(EVERYTHING, NewUpload(ID))).key


async def commit(drive: Drive, grant: Grant) -> None:
    await drive.commit(grant, [Patch(ID)])


async def commit_one(drive: Drive, grant: Grant) -> None:
    await drive.commit.one(grant, Patch(ID))


async def delete_many(drive: Drive, grant: Grant) -> None:
    await drive.delete_blobs(grant, [ID])


async def delete_films(drive: Drive, grant: Grant) -> None:
    await drive.delete_prefix(grant, "films/")


async def move_films(drive: Drive, grant: Grant) -> None:
    await drive.move_prefix(grant, "films/", "films/old/")


async def list_trash(drive: Drive, grant: Grant) -> None:
    await drive.trash.list(grant, "films/", None, 1)


async def restore(drive: Drive, grant: Grant) -> None:
    await drive.trash.restore(grant, await in_trash(drive), None, may_replace=False)


async def purge(drive: Drive, grant: Grant) -> None:
    await drive.trash.purge(grant, await in_trash(drive))


async def begin(drive: Drive, grant: Grant) -> None:
    await drive.uploads.begin(grant, NewUpload(ID))


async def find(drive: Drive, grant: Grant) -> None:
    await drive.uploads.find(grant, await begun(drive))


async def parts(drive: Drive, grant: Grant) -> None:
    await drive.uploads.parts(grant, await begun(drive))


async def list_uploads(drive: Drive, grant: Grant) -> None:
    await drive.uploads.list(grant, "films/", None, 1)


async def discard(drive: Drive, grant: Grant) -> None:
    await drive.uploads.discard(grant, await begun(drive))


async def write_part(drive: Drive, grant: Grant) -> None:
    await drive.uploads.write(grant, await begun(drive), 1, NewPart(LateId(ID)))


async def append(drive: Drive, grant: Grant) -> None:
    await drive.uploads.append(grant, await begun(drive), 0, NewPart(LateId(ID)))


async def append_to(drive: Drive, grant: Grant) -> None:
    upload = await drive.uploads.begin(EVERYTHING, NewUpload(ID))
    await drive.uploads.append_to(grant, upload, 0, NewPart(LateId(ID)), 100)


async def find_any(drive: Drive, grant: Grant) -> None:
    progress = await drive.resumable.begin(EVERYTHING, NewUpload(ID, size=0))
    await drive.uploads.find_any(grant, progress.upload.key)


async def begun_resumable(drive: Drive) -> MultipartUpload:
    return (await drive.resumable.begin(EVERYTHING, NewUpload(ID, size=4))).upload


async def begin_resumable(drive: Drive, grant: Grant) -> None:
    await drive.resumable.begin(grant, NewUpload(ID))


async def progress(drive: Drive, grant: Grant) -> None:
    await drive.resumable.progress(grant, (await begun_resumable(drive)).key)


async def append_bytes(drive: Drive, grant: Grant) -> None:
    await drive.resumable.append(grant, (await begun_resumable(drive)).key, NewBytes(0, LateId(ID)))


async def discard_resumable(drive: Drive, grant: Grant) -> None:
    await drive.resumable.discard(grant, (await begun_resumable(drive)).key)


async def finish(drive: Drive, grant: Grant) -> None:
    upload = await begun_resumable(drive)
    await drive.uploads.append_to(EVERYTHING, upload, 0, NewPart(LateId(ID)), 100)
    await drive.resumable.finish(grant, await drive.uploads.find(EVERYTHING, upload.key))


async def copy_part(drive: Drive, grant: Grant) -> None:
    new = CopiedPart(ID, None, ANY, lambda _: Checksums(bytes(16)))
    found = await drive.fetch.stat(EVERYTHING, ID)
    assert await drive.copy_part(grant, await begun(drive), 1, new, found) is not None


Call = Callable[[Drive, Grant], Awaitable[None]]
CALLS: dict[str, tuple[Action | frozenset[Action], Call]] = {
    "StoreBlob.__call__": (Action.WRITE, store),
    "StoreBlob.publish": (Action.WRITE, publish),
    "FetchBlob.__call__": (Action.READ, fetch),
    "FetchBlob.stat": (Action.READ, stat),
    "DeleteBlob.__call__": (Action.DELETE, delete),
    "ListBlobs.__call__": (Action.LIST, list_films),
    "CollectBlobs.__call__": (frozenset({Action.READ, Action.LIST}), collect),
    "CommitOperations.__call__": (frozenset({Action.READ, Action.WRITE}), commit),
    "CommitOperations.one": (frozenset({Action.READ, Action.WRITE}), commit_one),
    "DeleteBlobs.__call__": (Action.DELETE, delete_many),
    "DeletePrefix.__call__": (Action.DELETE, delete_films),
    "MovePrefix.__call__": (frozenset({Action.READ, Action.DELETE, Action.WRITE}), move_films),
    "Trash.list": (Action.LIST, list_trash),
    "Trash.restore": (frozenset({Action.READ, Action.WRITE}), restore),
    "Trash.purge": (Action.DELETE, purge),
    "MultipartUploads.begin": (Action.WRITE, begin),
    "MultipartUploads.find": (Action.WRITE, find),
    "MultipartUploads.parts": (Action.WRITE, parts),
    "MultipartUploads.list": (Action.LIST, list_uploads),
    "MultipartUploads.discard": (Action.WRITE, discard),
    "MultipartUploads.write": (Action.WRITE, write_part),
    "MultipartUploads.append": (Action.WRITE, append),
    "MultipartUploads.append_to": (Action.WRITE, append_to),
    "MultipartUploads.find_any": (Action.WRITE, find_any),
    "ResumableUploads.begin": (Action.WRITE, begin_resumable),
    "ResumableUploads.progress": (Action.WRITE, progress),
    "ResumableUploads.append": (Action.WRITE, append_bytes),
    "ResumableUploads.discard": (Action.WRITE, discard_resumable),
    "FinishUploads.__call__": (Action.WRITE, finish),
    "CopyPart.__call__": (frozenset({Action.READ, Action.WRITE}), copy_part),
}
HIDDEN: dict[str, type[BlobError]] = {
    **{f"Trash.{name}": NotInTrash for name in ("restore", "purge")},
    **{f"MultipartUploads.{name}": UploadNotFound for name in ("find", "find_any", "parts", "discard")},
    **{f"MultipartUploads.{name}": UploadNotFound for name in ("write", "append", "append_to")},
    **{f"ResumableUploads.{name}": UploadNotFound for name in ("progress", "append", "discard")},
}
"""Use cases that find something by its own key. Outside the grant it does not seem to exist."""
LISTS = {"ListBlobs.__call__", "CollectBlobs.__call__", "Trash.list", "MultipartUploads.list"}
"""Use cases that leave out what is outside the grant."""
OPERATIONS: dict[str, tuple[Operation, frozenset[Action]]] = {
    "Put": (Put(ID, ObjectKey.random()), frozenset({Action.WRITE})),
    "Join": (Join(Put(ID, ObjectKey.random()), [], timedelta(1)), frozenset({Action.WRITE})),
    "Delete": (Delete(ID), frozenset({Action.DELETE})),
    "Copy": (Copy(ID, OTHER), frozenset({Action.READ, Action.WRITE})),
    "Move": (Move(ID, OTHER), frozenset({Action.READ, Action.DELETE, Action.WRITE})),
    "Patch": (Patch(ID), frozenset({Action.READ, Action.WRITE})),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_requires_its_actions(name: str) -> None:
    operation, actions = OPERATIONS[name]
    operation.authorize(Grant(actions, prefixes=("films/",)))
    for missing in actions:
        with pytest.raises(NotGranted):
            operation.authorize(Grant(actions - {missing}))
    with pytest.raises(NotGranted):
        operation.authorize(Grant(frozenset(Action), prefixes=("films/a/",)))


def test_there_is_a_case_for_each_operation() -> None:
    assert {each.__name__ for each in Operation.__subclasses__()} == OPERATIONS.keys()


def use_cases() -> dict[str, Callable[..., object]]:
    """The public methods of all use cases for blobs: of classes that are called, or that are named here."""
    names = [each.name for each in pkgutil.walk_packages(application.blobs.__path__, "application.blobs.")]
    members = [each for name in names for each in vars(importlib.import_module(name)).values()]
    classes = {each for each in members if inspect.isclass(each) and ("__call__" in vars(each) or each in SEVERAL)}
    return {
        f"{each.__name__}.{name}": method
        for each in classes
        if each.__module__ in names
        for name, method in vars(each).items()
        if inspect.isfunction(method) and (name == "__call__" or not name.startswith("_"))
    }


def test_each_use_case_requires_a_grant() -> None:
    assert set(use_cases()) == set(CALLS)
    for method in use_cases().values():
        _, grant, *_ = inspect.signature(method).parameters.values()
        assert (grant.name, grant.annotation, grant.default) == ("grant", Grant, inspect.Parameter.empty)


@pytest.mark.parametrize("name", CALLS)
async def test_each_use_case_refuses_a_grant_without_its_action(name: str) -> None:
    needed, call = CALLS[name]
    actions = {needed} if isinstance(needed, Action) else needed
    drive = Drive()
    await store(drive, EVERYTHING)
    for refused in (
        *(Grant(set(Action) - {action}) for action in actions),
        Grant(actions, expires_at=datetime.now(UTC)),
        Grant(actions, prefixes=()),
    ):
        with pytest.raises(HIDDEN.get(name, NotGranted) if not refused.prefixes else NotGranted):
            await call(drive, refused)
    for prefix in ("music/", "films/ab"):
        if name not in LISTS or prefix == "music/":
            with pytest.raises(HIDDEN.get(name, NotGranted)):
                await call(drive, Grant(actions, prefixes=(prefix, "others/")))
    await call(drive, Grant(actions, prefixes=("music/", "films/")))


IDS = [
    "a",
    "films",
    "films/a",
    "films/a/1",
    "films/b",
    "films/b/2",
    "films/c",
    "music/a",
    "music/b/1",
    "music/b/2",
    "z",
]
PREFIXES = ["films/", "films/a", "films/b/", "music/b", "music/b/1", "f", "none/"]


@given(
    prefixes=st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=4),
    prefix=st.sampled_from(["", "f", "films/", "films/b/2", "music/"]),
    delimiter=st.sampled_from(["", "/"]),
    limit=st.integers(1, 4),
)
@settings(max_examples=200, deadline=None)
def test_a_list_has_all_that_is_granted_once_and_nothing_else(
    prefixes: list[str], prefix: str, delimiter: str, limit: int
) -> None:
    asyncio.run(compare_lists(tuple(prefixes), prefix, delimiter, limit))


async def compare_lists(prefixes: tuple[str, ...], prefix: str, delimiter: str, limit: int) -> None:
    drive = Drive()
    for each in IDS:
        await drive.store(EVERYTHING, NewBlob(IdentifiedBytes(BlobId(each), LateId(ID))))
    granted = [each for each in IDS if each.startswith(prefix) and each.startswith(prefixes)]
    expected = dict.fromkeys((delimiter and common_prefix(each, prefix, delimiter)) or each for each in granted)
    grant, start, found = Grant({Action.LIST}, prefixes), "", list[str]()
    if not grant.within(prefix):
        with pytest.raises(NotGranted):
            await drive.list(grant, prefix, delimiter, limit)
        return
    for _ in range(len(IDS) + 1):
        page = await drive.list(grant, prefix, delimiter, limit, start)
        assert len(page.blobs) + len(page.prefixes) <= limit
        found += sorted([*page.prefixes, *(blob.id.value for blob in page.blobs)])
        if page.following is None:
            break
        start = page.following
    assert found == [*expected]


async def test_lists_of_the_trash_and_of_uploads_go_on_where_a_page_ended() -> None:
    drive, grant = Drive(), Grant({Action.LIST}, ("music/b/", "films/b"))
    for each in IDS:
        await drive.uploads.begin(EVERYTHING, NewUpload(BlobId(each)))
        await drive.store(EVERYTHING, NewBlob(IdentifiedBytes(BlobId(each), LateId(ID))))
        await drive.delete(EVERYTHING, BlobId(each))
    await drive.uploads.begin(EVERYTHING, NewUpload())
    expected = ["films/b", "films/b/2", "music/b/1", "music/b/2"]
    position: tuple[str, int] | None = None
    trashed, begun = list[str](), list[str]()
    while page := await drive.trash.list(grant, "", position, 3):
        position = page[-1].blob.id.value, page[-1].key
        trashed += [each.blob.id.value for each in page]
    after: tuple[str, ObjectKey] | None = None
    while uploads := await drive.uploads.list(grant, "", after, 3):
        assert uploads[-1].id is not None
        after = uploads[-1].id.value, uploads[-1].key
        begun += [each.id.value for each in uploads if each.id]
    assert (trashed, begun) == (expected, expected)


class Slow:
    """A source whose bytes end after a grant has expired."""

    def __init__(self, ends: datetime) -> None:
        self.id: BlobId | None = None
        self._ends = ends

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"slow"
        await asyncio.sleep(max(0.0, (self._ends - datetime.now(UTC)).total_seconds()) + 0.01)
        self.id = ID


async def test_the_expiry_of_a_grant_applies_to_the_start_of_a_request() -> None:
    drive, ends = Drive(), datetime.now(UTC) + timedelta(seconds=0.3)
    grant = Grant({Action.WRITE}, ("films/",), ends)
    key = (await drive.uploads.begin(EVERYTHING, NewUpload(ID))).key
    stored, named, written, appended = await asyncio.gather(
        drive.store(grant, NewBlob(Slow(ends))),
        drive.store(grant, NewBlob(IdentifiedBytes(OTHER, Slow(ends)))),
        drive.uploads.write(grant, key, 2, NewPart(Slow(ends))),
        drive.uploads.append(grant, await begun(drive), 0, NewPart(Slow(ends))),
    )
    assert (stored.blob.size, named.blob.size, written.size, appended.received) == (4, 4, 4, 4)
    with pytest.raises(NotGranted):
        await drive.store(grant, NewBlob(IdentifiedBytes(ID, Slow(ends))))


class TestStoring:
    @pytest.mark.parametrize("grant", [Grant({Action.READ}), Grant({Action.WRITE}, prefixes=("music/",))])
    async def test_a_known_id_is_refused_before_a_byte_is_read(self, grant: Grant) -> None:
        source = LateId(ID)
        with pytest.raises(NotGranted):
            await Drive().store(grant, NewBlob(IdentifiedBytes(ID, source)))
        assert source.read == 0

    async def test_without_the_action_a_late_id_is_not_waited_for(self) -> None:
        source = LateId(ID)
        with pytest.raises(NotGranted):
            await Drive().store(Grant({Action.READ}, prefixes=("films/",)), NewBlob(source))
        assert source.read == 0

    async def test_an_id_that_comes_after_the_bytes_is_refused_before_it_is_published(self) -> None:
        drive = Drive()
        with pytest.raises(NotGranted):
            await drive.store(Grant({Action.WRITE}, prefixes=("music/",)), NewBlob(LateId(ID)))
        with pytest.raises(NotFound):
            await drive.fetch.stat(EVERYTHING, ID)
        await drive.store(Grant({Action.WRITE}, prefixes=("films/",)), NewBlob(LateId(ID)))
        assert (await drive.fetch.stat(EVERYTHING, ID)).id == ID


@pytest.mark.parametrize(
    ("grant", "is_granted"),
    [
        (EVERYTHING, True),
        (Grant({Action.READ}), True),
        (Grant({Action.WRITE, Action.DELETE, Action.LIST}), False),
        (Grant({Action.READ}, prefixes=("film",)), True),
        (Grant({Action.READ}, prefixes=("films/a",)), True),
        (Grant({Action.READ}, prefixes=("films/ab",)), False),
        (Grant({Action.READ}, expires_at=NOW + timedelta(seconds=1)), True),
        (Grant({Action.READ}, expires_at=NOW), False),
    ],
)
def test_a_grant_includes_actions_on_a_prefix_until_it_expires(grant: Grant, is_granted: bool) -> None:
    assert grant.includes(Action.READ, "films/a", NOW) == is_granted
    if not is_granted:
        with pytest.raises(NotGranted):
            authorize(grant, Action.READ, ID, lambda: NOW)


def test_a_grant_checks_itself() -> None:
    with pytest.raises(ValueError, match="control characters"):
        Grant(frozenset(), prefixes=("a\n",))
    with pytest.raises(ValueError, match="UTC"):
        Grant(frozenset(), expires_at=datetime(2024, 1, 1))


async def test_copies_and_restores_are_as_large_as_the_key_allows() -> None:
    drive = Drive()
    key = await in_trash(drive)
    await store(drive, EVERYTHING)  # 4 bytes
    for limit, is_allowed in ((3, False), (4, True)):
        grant = Grant(frozenset(Action), limits=Limits(max_blob_bytes=limit))
        if is_allowed:
            await drive.commit.one(grant, Copy(ID, OTHER))
            await drive.trash.restore(grant, key, BlobId("films/c"), may_replace=False)
            continue
        with pytest.raises(TooLarge):
            await drive.commit.one(grant, Copy(ID, OTHER))
        with pytest.raises(TooLarge):
            await drive.trash.restore(grant, key, BlobId("films/c"), may_replace=False)


async def test_restores_and_purges_are_recorded() -> None:
    drive = Drive()
    keys = [await in_trash(drive) for _ in range(2)]
    with recorded() as attempts:
        await drive.trash.restore(EVERYTHING, keys[0], None, may_replace=False)
        await drive.trash.purge(EVERYTHING, keys[1])
        with pytest.raises(NotInTrash):
            await drive.trash.purge(EVERYTHING, keys[1])
    purge = Attempt("", "purge", "films/a", is_prefix=False, is_granted=True, subject=str(keys[1]))
    assert attempts == [
        replace(purge, action="restore", subject=str(keys[0])),
        replace(purge, action="write", subject=""),
        purge,
        replace(purge, ids=""),
    ]
