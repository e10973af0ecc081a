"""The stores, each under the contract, and what only some of them promise."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.database import Database
from adapters.sql.servers.mariadb import MariadbConfig, MariadbDatabase
from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.tables import CHUNKS
from adapters.storage.database import CHUNK, DatabaseBlobStore
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.storage.memory import MemoryBlobStore
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ObjectKey
from domain.errors import BlobError, Kind
from tests.contracts.abilities import BackendContract
from tests.contracts.blob_store import MIB, SKEW, each, keys, pattern, read, refused

POLLS = 500


class TestMemory(BackendContract):
    row = "memory"

    @pytest.fixture
    def store(self) -> BlobStore:
        return MemoryBlobStore()


class TestFilesystem(BackendContract):
    row = "filesystem"

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[BlobStore]:
        async with FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs")) as store:
            await store.check()
            yield store

    async def residue(self, store: BlobStore) -> list[str]:
        assert isinstance(store, FilesystemBlobStore)
        files = [name for _, _, names in os.walk(store.base) for name in names]
        return files + [f"still open: {path}" for path in open_files() if path.startswith(str(store.base))]

    async def test_a_linked_object_is_not_as_old_as_its_file(
        self, store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its age protects it from being removed as an orphan. Most disks know no reflinks, so hard links come too."""
        assert isinstance(store, FilesystemBlobStore)
        old = datetime(2001, 2, 3, tzinfo=UTC).timestamp()
        for number in range(2):
            file = tmp_path / f"{number}"
            file.write_bytes(b"x")
            os.utime(file, (old, old))
            before, key = datetime.now(UTC), ObjectKey.random()
            with file.open("rb") as source:
                store.link(key, source.fileno())
            modified_at = (await store.stat(key)).modified_at
            await store.delete(key)
            assert modified_at is not None
            assert modified_at >= before - SKEW
            monkeypatch.setattr("adapters.storage.filesystem.store.clone", lambda *_: False)


class DatabaseStoreContract(BackendContract):
    """Objects in a database. A subclass has a fixture for a `database`, not entered, with no objects in it."""

    @pytest.fixture
    async def store(self, database: Database) -> AsyncIterator[BlobStore]:
        self.tables: Database = database
        async with database:
            yield DatabaseBlobStore(database)
            async with database.transaction() as transaction:
                await transaction.run(delete_chunks)
                await transaction.commit()

    async def residue(self, store: BlobStore) -> list[str]:
        def rows(connection: Connection) -> list[str]:
            return [f"{key} {seq}" for key, seq in connection.execute(sa.select(CHUNKS.c.object_key, CHUNKS.c.seq))]

        return await self.tables.read(rows)

    async def test_what_a_killed_put_left_is_listed_and_deleted(self, store: BlobStore) -> None:
        key = ObjectKey.random()
        async with self.tables.transaction() as transaction:
            await transaction.run(insert_chunks, key, 150)
            await transaction.commit()
        assert await keys(store) == [key]
        await store.delete(key)

    async def test_leftovers_with_a_gap_are_deleted(self, store: BlobStore) -> None:
        """The chunks of an object are written concurrently, so a killed put may have left out any but the first."""
        key = ObjectKey.random()
        async with self.tables.transaction() as transaction:
            await transaction.run(insert_chunks, key, 102)
            await transaction.run(delete_chunk, key, 100)
            await transaction.commit()
        await store.delete(key)
        assert await self.residue(store) == []

    async def test_a_put_whose_first_chunks_are_lost_fails(self, store: BlobStore) -> None:
        """As by a crash of the server, which may forget all that was not yet durable, and a quick restart."""
        key = ObjectKey.random()

        async def source() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield bytes(CHUNK)
            async with self.tables.transaction() as transaction:
                await transaction.run(delete_chunk, key, 0)
                await transaction.commit()

        with refused(Kind.UNAVAILABLE):
            await store.put(key, source())
        assert await self.residue(store) == []

    async def test_old_chunks_have_no_time(self, store: BlobStore) -> None:
        key = ObjectKey.random()
        await self.put(store, b"x", key)

        def forget(connection: Connection) -> None:
            connection.execute(sa.update(CHUNKS).values(written_at=None))

        async with self.tables.transaction() as transaction:
            await transaction.run(forget)
            await transaction.commit()
        assert await store.stat(key) == Stored(1)
        assert (await store.stat(key)).modified_at is None

    async def test_many_pages_of_keys(self, store: BlobStore) -> None:
        made = sorted(ObjectKey.random() for _ in range(2100))
        async with self.tables.transaction() as transaction:
            for key in made:
                await transaction.run(insert_chunks, key, 1)
            await transaction.commit()
        assert await keys(store) == made
        async with self.tables.transaction() as transaction:
            await transaction.run(delete_chunks)
            await transaction.commit()


def insert_chunks(connection: Connection, key: ObjectKey, count: int) -> None:
    rows = [{"object_key": key.value, "seq": seq, "data": b"x"} for seq in range(count)]
    connection.execute(sa.insert(CHUNKS), rows)


def delete_chunk(connection: Connection, key: ObjectKey, number: int) -> None:
    connection.execute(sa.delete(CHUNKS).where(CHUNKS.c.object_key == key.value, CHUNKS.c.seq == number))


def delete_chunks(connection: Connection) -> None:
    connection.execute(sa.delete(CHUNKS))


class TestDatabaseOnSqlite(DatabaseStoreContract):
    row = "database on SQLite"

    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        return SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))


@pytest.mark.docker
class TestDatabaseOnPostgresql(DatabaseStoreContract):
    row = "database on PostgreSQL"

    @pytest.fixture
    def database(self, class_postgresql_url: str) -> Database:
        return PostgresqlDatabase(PostgresqlConfig(class_postgresql_url))


@pytest.mark.docker
class TestDatabaseOnMariadb(DatabaseStoreContract):
    row = "database on MariaDB"

    @pytest.fixture
    def database(self, class_mariadb_url: str) -> Database:
        return MariadbDatabase(MariadbConfig(class_mariadb_url))


def open_files() -> list[str]:
    """The paths of the files that this process has open."""
    paths = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one by which they are listed
            paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return paths


async def test_a_reader_that_is_cancelled_while_all_threads_are_busy_closes_its_file(tmp_path: Path) -> None:
    async with FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs", threads=1)) as store:
        await store.check()
        await store.put(key := ObjectKey.random(), each([pattern(3 * MIB)]))
        disk_works = threading.Event()

        async def leave_early() -> None:
            async with store.read(key) as chunks:
                await anext(chunks)
                is_open.set()
                await asyncio.sleep(0)  # until the thread is busy

        is_open = asyncio.Event()
        reading = asyncio.create_task(leave_early())
        await is_open.wait()
        busy = asyncio.create_task(store.run("read", disk_works.wait))
        await asyncio.sleep(0.01)  # now the reader waits for the thread
        reading.cancel()
        await asyncio.sleep(0)
        disk_works.set()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await busy
        assert store.path(key) not in open_files()


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[FilesystemBlobStore]:
    async with FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs")) as store:
        await store.check()
        yield store


class TestDurability:
    """A crash of the machine can't be had in a test, so the order of the calls that guard against it is asserted."""

    @pytest.fixture
    async def files(self, tmp_path: Path) -> AsyncIterator[FilesystemBlobStore]:
        """With one thread, the file and its folder are synced one after the other."""
        async with FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs", threads=1)) as store:
            await store.check()
            yield store

    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
        """What is done to which path, in order; and it is done."""
        made: list[tuple[str, str]] = []
        real_open, real_write, real_fsync, real_mkdir = os.open, os.write, os.fsync, os.mkdir

        def path_of(descriptor: int) -> str:
            return os.readlink(f"/proc/self/fd/{descriptor}")

        def record_open(path: str, flags: int, *mode: int, **more: Any) -> int:
            if flags & os.O_CREAT:
                made.append(("create", os.fspath(path)))
                assert flags & os.O_EXCL
            return real_open(path, flags, *mode, **more)

        def record_write(descriptor: int, data: bytes) -> int:
            made.append(("write", path_of(descriptor)))
            return real_write(descriptor, data)

        def record_fsync(descriptor: int) -> None:
            made.append(("fsync", path_of(descriptor)))
            real_fsync(descriptor)

        def record_mkdir(path: str, *mode: int) -> None:
            made.append(("mkdir", os.fspath(path)))
            real_mkdir(path, *mode)

        monkeypatch.setattr(os, "open", record_open)
        monkeypatch.setattr(os, "write", record_write)
        monkeypatch.setattr(os, "fsync", record_fsync)
        monkeypatch.setattr(os, "mkdir", record_mkdir)
        return made

    async def test_a_put_syncs_the_file_and_then_each_folder_that_names_it(
        self, files: FilesystemBlobStore, calls: list[tuple[str, str]]
    ) -> None:
        first, second = ObjectKey("abc" + "0" * 29), ObjectKey("abc" + "1" * 29)
        base, shard = str(files.base), str(files.base / "abc")
        await files.put(first, each([b"x"]))
        new_shards = [("mkdir", f"{base}/ab{digit}") for digit in "0123456789abcdef"]
        file = files.path(first)
        written = [("create", file), ("write", file), ("fsync", file), ("fsync", shard)]
        assert sorted(calls[:16]) == new_shards
        assert calls[16:] == [("fsync", base), *written]
        calls.clear()
        await files.put(second, each([b"y"]))
        assert calls == [(what, where.replace(first.value, second.value)) for what, where in written]

    async def test_a_folder_that_another_process_made_is_synced_all_the_same(
        self, files: FilesystemBlobStore, calls: list[tuple[str, str]]
    ) -> None:
        (files.base / "abc").mkdir()
        calls.clear()
        await files.put(ObjectKey("abc" + "0" * 29), each([b"x"]))
        assert calls.index(("fsync", str(files.base))) < [what for what, _ in calls].index("write")

    async def test_folders_that_are_there_at_the_start_are_synced_once(
        self, files: FilesystemBlobStore, calls: list[tuple[str, str]]
    ) -> None:
        for shard in ("abc", "abd"):
            (files.base / shard).mkdir()
        calls.clear()
        await files.check()
        assert ("fsync", str(files.base)) in calls
        calls.clear()
        for shard in ("abc", "abd"):
            await files.put(ObjectKey(shard + "0" * 29), each([b"x"]))
        assert [call for call in calls if call[0] == "mkdir" or call == ("fsync", str(files.base))] == []

    async def test_a_delete_is_synced_after_one_that_was_not(
        self, files: FilesystemBlobStore, calls: list[tuple[str, str]]
    ) -> None:
        key = ObjectKey("abc" + "0" * 29)
        await files.put(key, each([b"x"]))
        os.unlink(files.path(key))  # by a delete that was killed
        calls.clear()
        await files.delete(key)
        assert calls == [("fsync", str(files.base / "abc"))]

    async def test_a_delete_is_synced(self, files: FilesystemBlobStore, calls: list[tuple[str, str]]) -> None:
        key = ObjectKey("abc" + "0" * 29)
        await files.put(key, each([b"x"]))
        calls.clear()
        await files.delete(key)
        assert calls == [("fsync", str(files.base / "abc"))]


class TestSyncsAtTheSameTime:
    """The file and its folder are synced by two threads if one is idle."""

    @pytest.fixture
    def syncs(self, monkeypatch: pytest.MonkeyPatch, files: FilesystemBlobStore) -> "Syncs":
        syncs = Syncs()
        monkeypatch.setattr(os, "fsync", syncs.fsync)
        return syncs

    async def test_neither_waits_for_the_other(self, files: FilesystemBlobStore, syncs: "Syncs") -> None:
        syncs.meeting = threading.Barrier(2, timeout=30)
        await files.put(syncs.key, each([b"x"]))

    @pytest.mark.parametrize("slow", ["file", "folder"])
    async def test_a_put_waits_for_both(self, files: FilesystemBlobStore, syncs: "Syncs", slow: str) -> None:
        syncs.held[slow] = threading.Event()
        putting = asyncio.create_task(files.put(syncs.key, each([b"x"])))
        for _ in range(POLLS):
            if syncs.ended and len(syncs.begun) == 2:
                break
            await asyncio.sleep(0.01)
        await asyncio.wait({putting}, timeout=0.1)
        assert not putting.done()
        syncs.held[slow].set()
        await putting
        assert sorted(syncs.ended) == ["file", "folder"]

    @pytest.mark.parametrize("failing", ["file", "folder"])
    async def test_a_put_fails_if_either_fails(self, files: FilesystemBlobStore, syncs: "Syncs", failing: str) -> None:
        syncs.failing = failing
        with refused(Kind.UNAVAILABLE):
            await files.put(syncs.key, each([b"x"]))
        assert sorted(syncs.begun) == ["file", "folder"]
        assert await TestFilesystem().residue(files) == []


class Syncs:
    """The fsyncs of an object in a folder that is durable already, and of the folder."""

    def __init__(self) -> None:
        self.key = ObjectKey("abc" + "0" * 29)
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.held: dict[str, threading.Event] = {}
        self.failing = ""
        self.meeting = threading.Barrier(1)
        self._fsync = os.fsync

    def fsync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if not path.name.startswith("abc"):  # the folder of all
            self._fsync(descriptor)
            return
        name = "folder" if path.is_dir() else "file"
        self.begun.append(name)
        self.meeting.wait()
        if name in self.held:
            assert self.held[name].wait(30)
        if name == self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fsync(descriptor)
        self.ended.append(name)


class TestFaultsOfTheDisk:
    @pytest.mark.parametrize(
        ("call", "number", "kind"),
        [
            ("write", errno.ENOSPC, Kind.NO_SPACE),
            ("write", errno.EDQUOT, Kind.NO_SPACE),
            ("write", errno.EIO, Kind.UNAVAILABLE),
            ("fsync", errno.ENOSPC, Kind.NO_SPACE),
            ("fsync", errno.EIO, Kind.UNAVAILABLE),
            ("mkdir", errno.EROFS, Kind.UNAVAILABLE),
            ("mkdir", errno.EACCES, Kind.UNAVAILABLE),
            ("open", errno.EACCES, Kind.UNAVAILABLE),
            ("open", errno.EMFILE, Kind.UNAVAILABLE),
        ],
    )
    async def test_a_put_that_fails_says_why_and_leaves_nothing(
        self, files: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch, call: str, number: int, kind: Kind
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise OSError(number, os.strerror(number))

        key = ObjectKey.random()
        with monkeypatch.context() as patch, refused(kind):
            patch.setattr(os, call, fail)
            await files.put(key, each([b"x" * 3_000_000]))
        assert await TestFilesystem().residue(files) == []
        await files.put(key, each([b"as if nothing had been"]))
        assert await read(files, key) == b"as if nothing had been"

    async def test_a_write_that_is_cut_short_goes_on(
        self, files: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real_write: Callable[[int, bytes], int] = os.write
        monkeypatch.setattr(os, "write", lambda file, data: real_write(file, bytes(data[:70_000])))
        key = ObjectKey.random()
        await files.put(key, each([pattern(1_000_000)]))
        assert await read(files, key) == pattern(1_000_000)

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ELOOP])
    async def test_an_object_that_may_not_be_looked_at_is_not_absent(
        self, files: FilesystemBlobStore, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise OSError(number, os.strerror(number))

        key = ObjectKey.random()
        await files.put(key, each([b"x"]))
        for call in ("open", "preadv", "stat", "unlink"):
            monkeypatch.setattr(os, call, fail)
        for looking in (files.stat(key), read(files, key), files.delete(key)):
            with refused(Kind.UNAVAILABLE):
                await looking

    async def test_a_disk_that_is_lost_during_a_put(self, files: FilesystemBlobStore) -> None:
        async def source() -> AsyncIterator[bytes]:
            yield pattern(3_000_000)
            files.base.rename(files.base.with_name("unmounted"))
            files.base.mkdir()
            yield b"x"

        with refused(Kind.UNAVAILABLE):
            await files.put(ObjectKey.random(), source())

    async def test_objects_are_not_absent_because_the_disk_is(self, files: FilesystemBlobStore) -> None:
        key, other = ObjectKey.random(), ObjectKey.random()
        await files.put(key, each([b"x"]))
        aside = files.base.rename(files.base.with_name("unmounted"))
        for mounted in (False, True):
            if mounted:
                files.base.mkdir()  # an empty folder, as a mount point is
            for looking in (files.stat(key), read(files, key), files.delete(key), files.put(other, each([b"x"]))):
                with refused(Kind.UNAVAILABLE):
                    await looking
        files.base.rmdir()  # nothing was written into it
        aside.rename(files.base)
        assert await read(files, key) == b"x"


class TestTheFolder:
    async def test_it_is_made_if_its_parent_is_there(self, tmp_path: Path) -> None:
        async with FilesystemBlobStore(FilesystemConfig(tmp_path / "new")) as store:
            await store.check()
            assert store.base.is_dir()
        async with FilesystemBlobStore(FilesystemConfig(tmp_path / "no" / "parent")) as store:
            with pytest.raises(BlobError, match=r"There is no folder .*/no\. Create it"):
                await store.check()
        assert not (tmp_path / "no").exists()

    @pytest.mark.parametrize("folder", ["/sys", "/sys/blobs", "/dev/null"])
    async def test_one_that_takes_no_write_is_refused_at_once(self, folder: str) -> None:
        async with FilesystemBlobStore(FilesystemConfig(Path(folder))) as store:
            with refused(Kind.UNAVAILABLE):
                await store.check()

    async def test_what_else_lies_there_is_left_alone(self, files: FilesystemBlobStore) -> None:
        (files.base / "lost+found").mkdir()
        (files.base / "abc").mkdir()
        (files.base / "abc" / "notes.txt").write_text("mine")
        (files.base / "abcd").write_text("mine")
        assert await keys(files) == []

    async def test_it_may_lie_on_another_device(self, tmp_path: Path) -> None:
        memory = Path("/dev/shm") / f"drivebay-{os.getpid()}"  # noqa: S108 - a file system apart, not a temporary name
        try:
            async with FilesystemBlobStore(FilesystemConfig(memory)) as store:
                await store.check()
                key = ObjectKey.random()
                await store.put(key, each([b"x"]))
                assert await read(store, key) == b"x"
                await store.delete(key)
        finally:
            for folder in [*memory.iterdir(), memory]:
                folder.rmdir()
