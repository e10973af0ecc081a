"""The probes find a storage that does not keep its word, and clear up after themselves wherever they end."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.memory import MemoryBlobStore
from application.checks.database import CheckDatabase
from application.checks.storage import PROBE, CheckStorage
from application.ports.blob_store import Stored
from application.stores import Stores
from application.uploads.lifecycle import Uploads
from domain.blob import ByteRange, ObjectKey
from domain.errors import Kind, Unavailable

ALL = ["reach", "note", "write", "read", "range", "stat", "list", "delete", "forget"]
FAULT = Unavailable("It is down.")


class Loses(MemoryBlobStore):
    """All but the first chunk."""

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        async def first() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                yield chunk
                return

        return await super().put(key, first())


class Changes(MemoryBlobStore):
    """As a server that takes all for text."""

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        async def as_text() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                yield chunk.replace(b"\r", b"\n")

        return await super().put(key, as_text())


class IgnoresRanges(MemoryBlobStore):
    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async with super().read(key) as chunks:
            yield chunks


class Miscounts(MemoryBlobStore):
    async def stat(self, key: ObjectKey) -> Stored:
        return Stored((await super().stat(key)).size - 1)


class Hides(MemoryBlobStore):
    """From its list, what it has."""

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        return
        yield


class Keeps(MemoryBlobStore):
    """What is deleted, the first time."""

    deletes = 0

    async def delete(self, key: ObjectKey) -> None:
        self.deletes += 1
        if self.deletes > 1:
            await super().delete(key)


class Fails(MemoryBlobStore):
    """In one operation; or never comes to its end there."""

    def __init__(self, operation: str, *, hang: bool = False) -> None:
        super().__init__()
        self._operation = operation
        self._hang = hang
        self.reached = asyncio.Event()

    async def _at(self, operation: str) -> None:
        if operation == self._operation and not self.reached.is_set():
            self.reached.set()
            if self._hang:
                await asyncio.Event().wait()
            raise FAULT

    async def check(self) -> None:
        await self._at("reach")

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        await self._at("write")
        return await super().put(key, chunks)

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        await self._at("read" if byte_range is None else "range")
        async with super().read(key, byte_range) as chunks:
            yield chunks

    async def stat(self, key: ObjectKey) -> Stored:
        await self._at("stat")
        return await super().stat(key)

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        await self._at("list")
        async for key in super().list(after):
            yield key

    async def delete(self, key: ObjectKey) -> None:
        await self._at("delete")
        await super().delete(key)


async def keys(store: MemoryBlobStore) -> list[ObjectKey]:
    return [key async for key in store.list(None)]


def checking(store: MemoryBlobStore, metadata: MemoryMetadata) -> CheckStorage:
    return CheckStorage(Uploads(metadata, Stores("memory", {"memory": store})), ObjectKey.random)


async def test_a_storage_that_works() -> None:
    store, metadata = MemoryBlobStore(), MemoryMetadata()
    steps = await checking(store, metadata)("memory")
    assert [(step.name, step.error) for step in steps] == [(name, None) for name in ALL]
    assert (await keys(store), metadata.rows.uploads, metadata.rows.garbage) == ([], {}, {})
    assert set(PROBE) == set(range(256))


async def test_without_a_note_nothing_is_written() -> None:
    store = Fails("write")
    steps = await checking(store, MemoryMetadata())("memory", write=False)
    assert ([step.name for step in steps], store.reached.is_set()) == (["reach"], False)


@pytest.mark.parametrize(
    ("store", "step"),
    [
        (Loses, "write"),
        (Changes, "read"),
        (IgnoresRanges, "range"),
        (Miscounts, "stat"),
        (Hides, "list"),
        (Keeps, "delete"),
    ],
)
async def test_a_storage_that_does_not_keep_its_word(store: Any, step: str) -> None:
    broken = store()
    *well, last = await checking(broken, MemoryMetadata())("memory")
    assert [each.name for each in [*well, last]] == ALL[: ALL.index(step) + 1]
    assert not [each for each in well if each.error]
    assert last.error is not None
    assert last.error.kind is Kind.INTEGRITY
    assert await keys(broken) == []


@pytest.mark.parametrize("step", ["reach", "write", "read", "range", "stat", "list", "delete"])
async def test_a_storage_that_fails(step: str) -> None:
    store, metadata = Fails(step), MemoryMetadata()
    steps = await checking(store, metadata)("memory")
    assert (steps[-1].name, steps[-1].error) == (step, FAULT)
    assert (await keys(store), metadata.rows.uploads) == ([], {})
    # A write that seemed to fail may land late: the reaper sees to it.
    assert len(metadata.rows.garbage) == (step != "reach")


@pytest.mark.parametrize("step", ["reach", "write", "read", "range", "stat", "list", "delete"])
async def test_an_interruption(step: str) -> None:
    store, metadata = Fails(step, hang=True), MemoryMetadata()
    task = asyncio.create_task(_check(store, metadata))
    await store.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await keys(store), metadata.rows.uploads, metadata.rows.garbage) == ([], {}, {})


async def _check(store: MemoryBlobStore, metadata: MemoryMetadata) -> None:
    await checking(store, metadata)("memory")


async def test_the_database_is_left_as_it_was() -> None:
    metadata = MemoryMetadata()
    steps = await CheckDatabase(Uploads(metadata, Stores("", {})), metadata.blobs, ObjectKey.random)("memory")
    assert [(step.name, step.error) for step in steps] == [
        (name, None) for name in ("read", "write", "change", "delete")
    ]
    assert (metadata.rows.uploads, metadata.rows.garbage, metadata.rows.blobs) == ({}, {}, {})
