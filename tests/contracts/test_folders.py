"""Folders that several writers sync at the same time, and syncs that are broken on purpose."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from adapters.storage.filesystem import files, folders
from adapters.storage.filesystem.folders import Folders, SharedSync

PATIENCE = 30  # seconds, after which a test fails instead of hanging
WRITERS = 5


class Disk:
    """The fsyncs of folders, each of which waits until it is released; and the lock that the others wait for."""

    def __init__(self) -> None:
        self.synced: list[int] = []
        self._began = threading.Semaphore(0)
        self._released = threading.Semaphore(0)
        self._failing = 0
        self._fsync = files.fsync_entries

    def fsync_entries(self, folder: int) -> None:
        self.synced.append(folder)
        self._began.release()
        assert self._released.acquire(timeout=PATIENCE)
        if self._failing:
            self._failing -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fsync(folder)

    def wait_until_one_began(self) -> None:
        assert self._began.acquire(timeout=PATIENCE)

    def release(self, *, failing: bool = False) -> None:
        self._failing += failing
        self._released.release()


class Turn:
    """A lock that counts who comes to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._came = threading.Semaphore(0)

    def __enter__(self) -> None:
        self._came.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def wait_until(self, came: int) -> None:
        for _ in range(came):
            assert self._came.acquire(timeout=PATIENCE)


class Writers:
    """Threads that sync one folder. The first sync has begun, and is held."""

    def __init__(self, folder: Path, disk: Disk, pool: ThreadPoolExecutor) -> None:
        self.disk = disk
        self._path = str(folder)
        self._folders = Folders(str(folder.parent), lambda: None)
        self._turn = Turn()
        shared = self._folders._syncs[self._path] = folders.SharedSync(self._path)
        shared._turn = self._turn  # type: ignore[assignment]  # it is used like one
        self._pool = pool
        [self.first] = self.wait(1)
        disk.wait_until_one_began()

    def create(self) -> int:
        """Return what a writer notes before it creates an entry."""
        return self._folders.failures(self._path)

    def start(self, created: int | None = None) -> "Future[None]":
        return self._pool.submit(self._folders.sync, self._path, self.create() if created is None else created)

    def wait(self, count: int) -> "list[Future[None]]":
        """Start writers, and return once they wait."""
        waiting = [self.start() for _ in range(count)]
        self._turn.wait_until(count)
        return waiting


def outcome(writer: "Future[None]") -> int | None:
    """Return the errno of its error, or None."""
    try:
        error = writer.exception(PATIENCE)
    except TimeoutError:
        raise AssertionError("it hangs") from None
    assert error is None or isinstance(error, OSError)
    return error.errno if error else None


Case = Callable[[Writers], None]


def writers_that_wait_share_a_sync(writers: Writers) -> None:
    waiting = writers.wait(WRITERS)
    for _ in range(2):
        writers.disk.release()
    assert [outcome(writer) for writer in (writers.first, *waiting)] == [None] * (WRITERS + 1)
    assert len(writers.disk.synced) == 2


def a_sync_that_began_before_the_entry_was_created_is_not_enough(writers: Writers) -> None:
    [late] = writers.wait(1)
    writers.disk.release()
    assert outcome(writers.first) is None
    writers.disk.wait_until_one_began()
    assert not late.done()
    writers.disk.release()
    assert outcome(late) is None


def a_sync_that_fails_fails_each_writer_that_waits(writers: Writers) -> None:
    """It is not repeated: that could succeed although the entries are lost (LWN 752063)."""
    waiting = writers.wait(WRITERS)
    writers.disk.release(failing=True)
    assert [outcome(writer) for writer in (writers.first, *waiting)] == [errno.EIO] * (WRITERS + 1)
    assert len(writers.disk.synced) == 1
    [later] = writers.wait(1)
    writers.disk.release()
    assert outcome(later) is None


def a_sync_that_fails_fails_each_writer_whose_entry_existed(writers: Writers) -> None:
    """A writer that has not come to its sync yet: a long file is written for minutes after it was created."""
    created = writers.create()
    writers.disk.release(failing=True)
    assert outcome(writers.first) == errno.EIO
    late = writers.start(created)
    writers.disk.release()
    assert outcome(late) == errno.EIO


class SyncsForEach(SharedSync):
    """As before."""

    def sync(self, failed: int) -> None:
        with self._turn:
            self._run()


class JoinsTheRunningSync(SharedSync):
    """The sync that a writer finds running began before its entry was created, and may not have seen it."""

    def sync(self, failed: int) -> None:
        is_running = self._turn.locked()
        with self._turn:
            if not is_running:
                self._run()


class RepeatsAFailedSync(SharedSync):
    """A writer that waits for a sync that fails makes another one."""

    def sync(self, failed: int) -> None:
        begun = self._begun
        with self._turn:
            if self._begun == begun:
                self._run()


class ForgetsFailures(SharedSync):
    """Only a failure from its own beginning on counts."""

    def sync(self, failed: int) -> None:
        super().sync(self.failed)


CAUGHT_BY: dict[type[SharedSync], Case] = {
    SyncsForEach: writers_that_wait_share_a_sync,
    JoinsTheRunningSync: a_sync_that_began_before_the_entry_was_created_is_not_enough,
    RepeatsAFailedSync: a_sync_that_fails_fails_each_writer_that_waits,
    ForgetsFailures: a_sync_that_fails_fails_each_writer_whose_entry_existed,
}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(files, "fsync_entries", disk.fsync_entries)
    return disk


@pytest.fixture
def pool(disk: Disk) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WRITERS + 2) as pool:
        yield pool
        for _ in range(WRITERS + 2):  # in case they hang
            disk.release()


@pytest.mark.parametrize("case", CAUGHT_BY.values(), ids=lambda case: case.__name__)
def test_shared_syncs(case: Case, tmp_path: Path, disk: Disk, pool: ThreadPoolExecutor) -> None:
    case(Writers(tmp_path, disk, pool))


@pytest.mark.parametrize("broken", CAUGHT_BY)
def test_a_broken_one_is_caught(
    broken: type[SharedSync], tmp_path: Path, disk: Disk, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "SharedSync", broken)
    monkeypatch.setitem(globals(), "PATIENCE", 1)
    with pytest.raises(AssertionError):
        CAUGHT_BY[broken](Writers(tmp_path, disk, pool))


def test_a_folder_that_can_not_be_opened_fails_no_other_writer(tmp_path: Path) -> None:
    """A delete finds no folder yet, because a writer is just making it. Nothing is lost then."""
    base, folder = Folders(str(tmp_path), lambda: None), tmp_path / "abc"
    created = base.failures(str(folder))
    with pytest.raises(FileNotFoundError):
        base.sync(str(folder), created)
    folder.mkdir()
    base.sync(str(folder), created)


def test_a_folder_that_a_failed_sync_may_have_lost_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread finds the folder between the sync that fails and its removal."""
    base, folder, steps = Folders(str(tmp_path), lambda: None), str(tmp_path / "abc"), list[str]()
    make_folder, remove = files.make_folder, files.remove_empty_folder

    def write() -> None:
        base.make(folder)
        Path(folder, "object").touch()

    other = threading.Thread(target=write)

    def make(path: str) -> None:
        if path == folder and not os.path.exists(path):
            steps.append("created")
        make_folder(path)

    def sync(_: int) -> None:
        steps.append("synced" if "failed" in steps else "failed")
        if steps[-1] == "failed":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def remove_late(path: str) -> None:
        if path == folder:
            other.start()
            other.join(0.2)  # as long as the other thread would need, if nothing stopped it
        remove(path)

    monkeypatch.setattr(files, "make_folder", make)
    monkeypatch.setattr(files, "fsync_entries", sync)
    monkeypatch.setattr(files, "remove_empty_folder", remove_late)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        base.make(folder)
    other.join(PATIENCE)
    assert steps == ["created", "failed", "created", "synced"]
    assert os.listdir(folder) == ["object"]


def test_a_failed_sync_leaves_no_folder_that_it_may_have_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is made before a neighbour can't be made is removed too."""
    base, make_folder = Folders(str(tmp_path), lambda: None), files.make_folder

    def make(path: str) -> None:
        if path.endswith("ab7"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        make_folder(path)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "make_folder", make)
    monkeypatch.setattr(files, "fsync_entries", fail)
    for shard in ("abc", "000"):
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            base.make(str(tmp_path / shard))
    assert os.listdir(tmp_path) == []


def test_folders_that_no_sync_is_for_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would remember them when a later sync fails, and may have lost them."""
    base = Folders(str(tmp_path), lambda: None)

    def fail(_: str) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(files, "open_folder", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        base.make(str(tmp_path / "abc"))
    assert os.listdir(tmp_path) == []


def test_a_sync_of_a_folder_that_was_replaced_is_not_enough(
    tmp_path: Path, disk: Disk, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has opened the former one. An entry in the new one needs a sync of its own."""
    folder, late, open_folder = tmp_path / "abc", list["Future[None]"](), files.open_folder
    folder.mkdir()
    base = Folders(str(tmp_path), lambda: None)
    shared = base._syncs[str(folder)] = SharedSync(str(folder))
    shared._turn = turn = Turn()  # type: ignore[assignment]  # it is used like one

    def replace(path: str) -> int:
        monkeypatch.setattr(files, "open_folder", open_folder)
        descriptor = open_folder(path)
        folder.rmdir()
        folder.mkdir()
        late.append(pool.submit(base.sync, path, 0))
        turn.wait_until(2)
        return descriptor

    monkeypatch.setattr(files, "open_folder", replace)
    first = pool.submit(base.sync, str(folder), 0)
    for _ in range(2):
        disk.release()
    assert outcome(first) is None
    assert [outcome(writer) for writer in late] == [None]
    assert len(disk.synced) == 2


def test_a_failed_sync_removes_no_durable_folder(tmp_path: Path, disk: Disk, pool: ThreadPoolExecutor) -> None:
    """Two writers make the same folders. The sync of the second fails after that of the first."""
    base = Folders(str(tmp_path), lambda: None)
    base._base_sync._turn = turn = Turn()  # type: ignore[assignment]
    first = pool.submit(base.make, str(tmp_path / "ab0"))
    disk.wait_until_one_began()
    turn.wait_until(1)
    second = pool.submit(base.make, str(tmp_path / "ab1"))
    turn.wait_until(1)
    disk.release()
    assert outcome(first) is None
    disk.wait_until_one_began()
    disk.release(failing=True)
    assert outcome(second) == errno.EIO
    assert all(os.path.isdir(each) for each in base._base_sync.durable)
    assert len(base._base_sync.durable) == 16
