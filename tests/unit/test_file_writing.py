"""Large files: a batch is written while the next one arrives, and the disk starts early."""

import asyncio
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.storage.filesystem import files
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.files import CHUNK, WRITE_BACK_EVERY
from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.storage.filesystem.write_back import start_write_back
from application.ports.blob_store import Stored
from domain.blob import ObjectKey
from domain.errors import Kind
from tests.contracts.blob_store import pattern, read, refused

KEY = ObjectKey.random()
PATIENCE = 30  # seconds


class SlowDisk:
    """The module `os`, whose `write` waits for `continues`. With an `error`, it fails then."""

    def __init__(self) -> None:
        self.continues = threading.Event()
        self.error: OSError | None = None
        self.writing = asyncio.Event()
        self.puts: list[asyncio.Task[Stored]] = []
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, file: int, data: bytes) -> int:
        self._loop.call_soon_threadsafe(self.writing.set)
        assert self.continues.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return os.write(file, data)

    def put(self, store: FilesystemBlobStore, source: AsyncIterable[bytes]) -> "asyncio.Task[Stored]":
        """Start a put, which ends with the test at the latest."""
        self.puts.append(asyncio.create_task(store.put(KEY, source)))
        return self.puts[-1]


class Source:
    """Chunks that are counted as they are taken. They end after `stop`."""

    def __init__(self, stop: int) -> None:
        self.taken = 0
        self._stop = stop

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.taken < self._stop:
            self.taken += 1
            yield pattern(CHUNK)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FilesystemBlobStore]:
    async with FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs")) as store:
        await store.check()
        yield store


@pytest.fixture
async def disk(store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlowDisk]:
    disk = SlowDisk()
    monkeypatch.setattr(files, "os", disk)
    yield disk
    disk.continues.set()
    await asyncio.gather(*disk.puts, return_exceptions=True)


async def rest(store: FilesystemBlobStore) -> None:
    """Let everything happen that does not wait for the disk, also in threads."""
    for _ in range(100):
        await store.run("check", int)


async def test_chunks_are_taken_while_the_disk_writes_but_only_for_one_more_batch(
    store: FilesystemBlobStore, disk: SlowDisk
) -> None:
    source = Source(9)
    putting = disk.put(store, source)
    await disk.writing.wait()
    await rest(store)
    assert source.taken == 2
    disk.continues.set()
    await putting
    assert await read(store, KEY) == pattern(CHUNK) * 9


async def test_a_cancelled_put_waits_for_its_write_before_it_removes_the_file(
    store: FilesystemBlobStore, disk: SlowDisk
) -> None:
    source = Source(9)
    putting = disk.put(store, source)
    await disk.writing.wait()
    putting.cancel()
    await rest(store)
    assert not putting.done()
    disk.continues.set()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert [key async for key in store.list()] == []


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_put_whose_source_fails_waits_for_its_write_before_it_removes_the_file(
    store: FilesystemBlobStore, disk: SlowDisk, is_cancelled: bool
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield pattern(CHUNK)
        await disk.writing.wait()
        raise LookupError

    putting = disk.put(store, failing())
    await disk.writing.wait()
    await rest(store)
    assert not putting.done()
    if is_cancelled:
        putting.cancel()
        await rest(store)
    disk.continues.set()
    with pytest.raises(asyncio.CancelledError if is_cancelled else LookupError):
        await putting
    assert [key async for key in store.list()] == []


@pytest.mark.parametrize("chunks", [1, 2, 9])
async def test_a_write_that_fails_next_to_its_source_fails_the_put(
    store: FilesystemBlobStore, disk: SlowDisk, chunks: int
) -> None:
    disk.error = OSError(28, "No space left on device")
    disk.continues.set()
    with refused(Kind.NO_SPACE):
        await store.put(KEY, Source(chunks))
    assert [key async for key in store.list()] == []


async def test_the_disk_starts_to_write_a_large_file_early(
    store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = []

    def record(file: int, start: int, stop: int) -> None:
        assert os.fstat(file).st_size == stop
        ranges.append((start, stop))
        start_write_back(file, start, stop)

    monkeypatch.setattr(files, "start_write_back", record)
    size = (await store.put(KEY, Source(30))).size
    starts, stops = zip(*ranges, strict=True)
    assert starts == (0, *stops[:-1])
    assert max(stop - start for start, stop in ranges) < WRITE_BACK_EVERY + CHUNK
    assert size - stops[-1] < WRITE_BACK_EVERY


def test_write_back_reports_no_errors() -> None:
    """The sync does."""
    start_write_back(-1, 0, 1)
