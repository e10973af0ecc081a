"""Grants, and use cases that refuse calls without one."""

import importlib
import inspect
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

import application.blobs
from adapters.metadata.memory import MemoryMetadata
from adapters.storage.memory import MemoryBlobStore
from application.authorize import authorize
from application.blobs.delete import DeleteBlob
from application.blobs.fetch import FetchBlob
from application.blobs.list import ListBlobs
from application.blobs.store import IdentifiedBytes, NewBlob, StoreBlob
from application.stores import Stores
from application.uploads.lifecycle import Uploads
from domain.access import EVERYTHING, Action, Grant
from domain.blob import BlobId, ObjectKey
from domain.errors import Kind, NotFound, NotGranted

NOW = datetime(2024, 1, 1, tzinfo=UTC)
ID = BlobId("films/a")


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
        self.fetch = FetchBlob(metadata.blobs, stores, metadata)
        self.delete = DeleteBlob(metadata)
        self.list = ListBlobs(metadata.blobs)


async def store(drive: Drive, grant: Grant) -> None:
    await drive.store(grant, NewBlob(IdentifiedBytes(ID, LateId(ID))))


async def fetch(drive: Drive, grant: Grant) -> None:
    async with drive.fetch(grant, ID):
        pass


async def stat(drive: Drive, grant: Grant) -> None:
    await drive.fetch.stat(grant, ID)


async def delete(drive: Drive, grant: Grant) -> None:
    await drive.delete(grant, ID)


async def list_films(drive: Drive, grant: Grant) -> None:
    await drive.list(grant, "films/", "", 10)


Call = Callable[[Drive, Grant], Awaitable[None]]
CALLS: dict[str, tuple[Action, Call]] = {
    "StoreBlob.__call__": (Action.WRITE, store),
    "FetchBlob.__call__": (Action.READ, fetch),
    "FetchBlob.stat": (Action.READ, stat),
    "DeleteBlob.__call__": (Action.DELETE, delete),
    "ListBlobs.__call__": (Action.LIST, list_films),
}


def use_cases() -> dict[str, Callable[..., object]]:
    """The public methods of all use cases for blobs."""
    names = [f"application.blobs.{each.name}" for each in pkgutil.iter_modules(application.blobs.__path__)]
    members = [each for name in names for each in vars(importlib.import_module(name)).values()]
    classes = {each for each in members if inspect.isclass(each) and "__call__" in vars(each)}
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
    action, call = CALLS[name]
    drive = Drive()
    await store(drive, EVERYTHING)
    for refused in (
        Grant(set(Action) - {action}),
        Grant({action}, prefix="music/"),
        Grant({action}, prefix="films/ab"),
        Grant({action}, expires_at=datetime.now(UTC)),
    ):
        with pytest.raises(NotGranted) as raised:
            await call(drive, refused)
        assert raised.value.kind is Kind.FORBIDDEN
    await call(drive, Grant({action}, prefix="films/"))


class TestStoring:
    @pytest.mark.parametrize("grant", [Grant({Action.READ}), Grant({Action.WRITE}, prefix="music/")])
    async def test_a_known_id_is_refused_before_a_byte_is_read(self, grant: Grant) -> None:
        source = LateId(ID)
        with pytest.raises(NotGranted):
            await Drive().store(grant, NewBlob(IdentifiedBytes(ID, source)))
        assert source.read == 0

    async def test_without_the_action_a_late_id_is_not_waited_for(self) -> None:
        source = LateId(ID)
        with pytest.raises(NotGranted):
            await Drive().store(Grant({Action.READ}, prefix="films/"), NewBlob(source))
        assert source.read == 0

    async def test_an_id_that_comes_after_the_bytes_is_refused_before_it_is_published(self) -> None:
        drive = Drive()
        with pytest.raises(NotGranted):
            await drive.store(Grant({Action.WRITE}, prefix="music/"), NewBlob(LateId(ID)))
        with pytest.raises(NotFound):
            await drive.fetch.stat(EVERYTHING, ID)
        await drive.store(Grant({Action.WRITE}, prefix="films/"), NewBlob(LateId(ID)))
        assert (await drive.fetch.stat(EVERYTHING, ID)).id == ID


@pytest.mark.parametrize(
    ("grant", "is_granted"),
    [
        (EVERYTHING, True),
        (Grant({Action.READ}), True),
        (Grant({Action.WRITE, Action.DELETE, Action.LIST}), False),
        (Grant({Action.READ}, prefix="film"), True),
        (Grant({Action.READ}, prefix="films/a"), True),
        (Grant({Action.READ}, prefix="films/ab"), False),
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
        Grant(frozenset(), prefix="a\n")
    with pytest.raises(ValueError, match="UTC"):
        Grant(frozenset(), expires_at=datetime(2024, 1, 1))
