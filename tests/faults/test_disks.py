"""Files on a disk that fails: in which order they are made durable, and what becomes of a blob if a call fails."""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.storage.filesystem import files
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.files import CHUNK
from adapters.storage.filesystem.store import FilesystemBlobStore
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from domain.blob import ObjectKey
from domain.errors import Kind
from tests.contracts.blob_store import MIB, chunked, each, pattern, refused
from tests.faults.disks import RecordingOs
from tests.integration.drive import Drive, Time, with_uploads

KEY = ObjectKey("0ab" + "4" * 29)
NEXT = ObjectKey("0ab" + "5" * 29)
FILE = f"0ab/{KEY}"
DATA = pattern(MIB)
# The folder of the object, and its neighbours, which are made with it.
FOLDERS = ["0ab", *(f"0a{digit}" for digit in "0123456789acdef")]
MADE = [*(f"mkdir {folder}" for folder in FOLDERS), "fsync ."]
WRITTEN = [f"create {FILE}", f"write {FILE}", f"fsync {FILE}", f"close {FILE}", "fsync 0ab"]
# What a put does that makes the first object of a folder.
PUT = [*MADE, *WRITTEN]


class Recorded(UnitOfWorkFactory):
    """Units of work whose commits are among the calls."""

    def __init__(self, units: UnitOfWorkFactory, calls: list[str]) -> None:
        self.units = units
        self.calls = calls

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self.units() as work:
            commit = work.commit

            async def record() -> None:
                self.calls.append("commit")
                await commit()

            work.commit = record  # type: ignore[method-assign]  # for this unit alone
            yield work


@pytest.fixture
async def drive(tmp_path: Path) -> AsyncIterator[Drive]:
    async with (
        SqlMetadata(SqliteDatabase(SqliteConfig(tmp_path / "rows.db"))) as metadata,
        # With one thread, the file and its folder are synced one after the other.
        FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs", threads=1)) as files,
    ):
        await files.check()
        yield Drive(metadata, Stores("fs", {"fs": files}), Time())


@pytest.fixture
def disk(drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordingOs:
    """That of the drive, once it has been checked."""
    return RecordingOs.between(tmp_path / "blobs", monkeypatch)


def name_next(drive: Drive, *names: ObjectKey) -> None:
    left = iter(names)
    drive.store = replace(drive.store, new_key=lambda: next(left))


async def test_all_is_durable_before_the_commit(drive: Drive, disk: RecordingOs) -> None:
    drive.store = with_uploads(drive.store, units=Recorded(drive.metadata, disk.calls))
    name_next(drive, KEY, NEXT)
    await drive.put(DATA)
    assert disk.calls == ["commit", *PUT, "commit"]
    disk.calls.clear()
    await drive.put(b"in a folder that is there")
    assert disk.calls == ["commit", *(call.replace(str(KEY), str(NEXT)) for call in WRITTEN), "commit"]


async def test_a_delete_is_durable_before_it_is_noted(drive: Drive, disk: RecordingOs) -> None:
    name_next(drive, KEY)
    await drive.put(b"x")
    disk.take()
    await drive.active.delete(KEY)
    assert disk.take() == [f"unlink {FILE}", "fsync 0ab"]


@pytest.mark.parametrize("call", ["mkdir 0ab", "fsync .", *WRITTEN])
@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, Kind.UNAVAILABLE), (errno.ENOSPC, Kind.NO_SPACE)])
async def test_a_call_that_fails(drive: Drive, disk: RecordingOs, call: str, number: int, kind: Kind) -> None:
    name_next(drive, old := ObjectKey.random(), KEY, NEXT)
    await drive.put(b"old")
    disk.take()
    disk.fail(call, number)
    with refused(kind):
        await drive.put(DATA)
    calls = disk.take()
    assert calls.count(call) == 1, "it was tried again"
    assert {each.split()[0] for each in calls[calls.index(call) + 1 :]} <= {"close", "unlink", "rmdir"}
    assert await drive.get() == b"old"
    assert await drive.objects() == {old}
    await drive.reap()
    assert await drive.objects() == {old}
    await drive.put(DATA)  # and on with it
    assert await drive.get() == DATA


async def test_a_neighbour_that_cannot_be_made_is_made_when_it_is_needed(drive: Drive, disk: RecordingOs) -> None:
    name_next(drive, KEY, ObjectKey("0a7" + "4" * 29))
    disk.fail("mkdir 0a7", errno.ENOSPC)
    await drive.put(DATA)
    disk.take()
    await drive.put(DATA)
    assert disk.take()[0] == "mkdir 0a7"


# What a put does that writes five times, and syncs after two.
LONG = [
    *MADE,
    f"create {FILE}",
    *(f"{call} {FILE}" for call in ("write", "write", "fdatasync", "write", "write", "fdatasync", "write", "fsync")),
    f"close {FILE}",
    "fsync 0ab",
]


class TestLongFiles:
    """They are flushed along the way: the last flush of 5 GiB would outlast the upload's lease."""

    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sync after two chunks."""
        monkeypatch.setattr(files, "SYNC_EVERY", 2 * CHUNK)

    async def test_they_are_synced_along_the_way(self, drive: Drive, disk: RecordingOs) -> None:
        await drive.active.put(KEY, chunked(pattern(4 * CHUNK + 1), CHUNK))
        assert disk.take() == LONG

    async def test_a_sync_that_fails_is_not_repeated(self, drive: Drive, disk: RecordingOs) -> None:
        disk.fail(f"fdatasync {FILE}", errno.EIO)
        with refused(Kind.UNAVAILABLE):
            await drive.active.put(KEY, chunked(pattern(4 * CHUNK + 1), CHUNK))
        failed = LONG.index(f"fdatasync {FILE}")
        assert disk.take() == [*LONG[: failed + 1], f"close {FILE}", f"unlink {FILE}"]
        assert await drive.objects() == set()


async def test_a_file_fails_with_a_sync_of_its_folder_that_fails_meanwhile(drive: Drive, disk: RecordingOs) -> None:
    """That sync may have lost the name of the file. A later one succeeds all the same."""
    await drive.active.put(ObjectKey("0ab" + "3" * 29), each([b"the first of the folder"]))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(2):
            yield pattern(CHUNK)
        assert f"create {FILE}" in disk.take()
        disk.fail("fsync 0ab", errno.EIO)
        with refused(Kind.UNAVAILABLE):
            await drive.active.put(NEXT, each([b"x"]))
        yield b"the end"

    with refused(Kind.UNAVAILABLE):
        await drive.active.put(KEY, chunks())
    assert [key async for key in drive.active.list()] == [ObjectKey("0ab" + "3" * 29)]
    await drive.active.put(KEY, each([b"x"]))


async def test_a_link_fails_with_a_sync_of_its_folder_that_fails_meanwhile(
    drive: Drive, disk: RecordingOs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drive.active.put(NEXT, each([b"the first of the folder"]))
    folders, folder = drive.active._folders, str(tmp_path / "blobs" / "0ab")  # type: ignore[attr-defined]

    def slow(source: int, path: str) -> bool:
        Path(path).write_bytes(b"x")
        disk.fail("fsync 0ab", errno.EIO)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            folders.sync(folder, folders.failures(folder))
        return True

    monkeypatch.setattr("adapters.storage.filesystem.store.clone", slow)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        drive.active.link(KEY, 0)  # type: ignore[attr-defined]
    assert [key async for key in drive.active.list()] == [NEXT]


async def test_a_folder_whose_fsync_failed_is_made_again(drive: Drive, disk: RecordingOs) -> None:
    """To sync it again could succeed although it is lost (LWN 752063)."""
    name_next(drive, KEY, NEXT)
    disk.fail("fsync .", errno.EIO)
    with refused(Kind.UNAVAILABLE):
        await drive.put(DATA)
    assert disk.take() == [*MADE, *(f"rmdir {folder}" for folder in FOLDERS)]
    await drive.put(DATA)
    assert disk.take()[: len(MADE)] == MADE
