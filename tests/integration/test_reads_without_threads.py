"""Small reads take no thread: the row and the bytes are read in the event loop, where that waits for nothing."""

import ctypes
import mmap
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.concurrency.threads import Threads
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.statement import Statement
from adapters.storage.filesystem.cached import LARGEST
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.files import CHUNK
from adapters.storage.filesystem.store import SHARED, STEP, FilesystemBlobStore
from domain.blob import ByteRange, ObjectKey
from domain.errors import BlobError, Kind
from tests.contracts.blob_store import each, pattern, read
from tests.contracts.metadata import blob, put

KEY = ObjectKey.random()
SIZES = [0, 1, 1024, LARGEST]


@contextmanager
def without_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Any call in a thread fails."""

    async def refuse(self: Threads, *_: object) -> None:
        raise AssertionError("a call in a thread")

    with monkeypatch.context() as patch:
        patch.setattr(Threads, "run", refuse)
        yield


def drop_from_cache(path: Path) -> bool:
    """Return whether the file was dropped: a file system in memory keeps it.

    Asks mincore(2), because a read would fill the cache again, even one with RWF_NOWAIT.
    """
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
            resident = (ctypes.c_ubyte * (len(mapped) // mmap.PAGESIZE))()
            start = ctypes.c_char.from_buffer(mapped)
            assert ctypes.CDLL(None).mincore(ctypes.byref(start), ctypes.c_size_t(len(mapped)), resident) == 0
            del start  # it keeps the mapping open
        return not all(each & 1 for each in resident)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FilesystemBlobStore]:
    async with FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs")) as store:
        await store.check()
        yield store


class TestFiles:
    @pytest.mark.parametrize("size", SIZES)
    async def test_a_small_object(self, store: FilesystemBlobStore, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        await store.put(KEY, each([pattern(size)]))
        with without_threads(monkeypatch):
            assert await read(store, KEY) == pattern(size)

    async def test_a_part_of_a_large_object(self, store: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
        data = pattern(10 * LARGEST)
        await store.put(KEY, each([data]))
        with without_threads(monkeypatch):
            assert await read(store, KEY, ByteRange(LARGEST, 2 * LARGEST)) == data[LARGEST : 2 * LARGEST]
            assert await read(store, KEY, ByteRange(len(data) - 1, 2**40)) == data[-1:]
            with pytest.raises(BlobError) as refused:
                await read(store, KEY, ByteRange(len(data), 2**40))
        assert refused.value.kind is Kind.RANGE_NOT_SATISFIABLE

    async def test_more_is_left_to_a_thread(self, store: FilesystemBlobStore) -> None:
        await store.put(KEY, each([pattern(LARGEST + 1)]))
        assert store.cached.read(store.path(KEY), None) is None
        assert await read(store, KEY) == pattern(LARGEST + 1)

    async def test_files_that_are_not_in_the_cache_are_left_to_a_thread(self, store: FilesystemBlobStore) -> None:
        """All but those whose bytes come from the disk between two steps of the call: the kernel asks for them."""
        keys = [ObjectKey.random() for _ in range(20)]
        for key in keys:
            await store.put(key, each([pattern(LARGEST)]))
        dropped = [key for key in keys if drop_from_cache(Path(store.path(key)))]
        found = {key: store.cached.read(store.path(key), None) for key in keys}
        assert all(found[key] == pattern(LARGEST) for key in keys if key not in dropped or found[key] is not None)
        assert not dropped or None in found.values()
        assert [await read(store, key) for key in keys] == [pattern(LARGEST)] * len(keys)

    async def test_large_files_are_read_in_smaller_chunks_if_there_are_many(self, store: FilesystemBlobStore) -> None:
        key, small = ObjectKey.random(), ObjectKey.random()
        await store.put(key, each([pattern(2 * CHUNK)]))
        await store.put(small, each([pattern(10)]))
        sizes = [min(CHUNK, SHARED // count // STEP * STEP) for count in range(1, 17)]
        for _ in range(2):
            async with AsyncExitStack() as stack:
                for _ in range(20):  # these have no open files, so they do not count
                    await stack.enter_async_context(store.read(small))
                reads = [await stack.enter_async_context(store.read(key)) for _ in range(16)]
                assert [len(await anext(chunks)) for chunks in reads] == sizes
                assert {len(await anext(chunks)) for chunks in reads} == {CHUNK // 5}

    async def test_a_missing_file_does_not_end_it(self, store: FilesystemBlobStore) -> None:
        await store.put(KEY, each([b"here"]))
        assert store.cached.read(store.path(ObjectKey.random()), None) is None
        assert store.cached.read(store.path(KEY), None) == b"here"


class TestRowsOfSqlite:
    async def test_while_another_process_writes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reader of a write-ahead log waits for no writer, and sees what was committed."""
        async with SqlMetadata(SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))) as metadata:
            old = blob()
            await put(metadata, old)
            with closing(sqlite3.connect(tmp_path / "rows.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                other.execute("UPDATE blobs SET size = 7")
                with without_threads(monkeypatch):
                    assert await metadata.blobs.find(old.id) == old
                    other.execute("COMMIT")
                    found = await metadata.blobs.find(old.id)
            assert found is not None
            assert found.size == 7

    async def test_a_reader_does_not_keep_the_log_from_being_checkpointed(self, tmp_path: Path) -> None:
        async with SqlMetadata(SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))) as metadata:
            await put(metadata, blob())
            assert await metadata.blobs.find(blob().id) is not None
            with closing(sqlite3.connect(tmp_path / "rows.db")) as other:
                assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)

    async def test_an_error_is_that_of_a_read_in_a_thread(self, tmp_path: Path) -> None:
        missing = Statement(sa.select(sa.table("missing", sa.column("n"))))
        async with SqliteDatabase(SqliteConfig(tmp_path / "rows.db")) as database:
            with pytest.raises(sa.exc.OperationalError, match="no such table"):
                await database.first(missing, {})
