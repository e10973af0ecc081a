"""The folders of the objects: created durably, and synced once for all writers that wait for it."""

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import copy
from functools import partial

from adapters.storage.filesystem import files

SHARD = re.compile(r"[0-9a-f]{3}")  # 4,096 folders: 2,500 files in each at ten million blobs
DIGITS = "0123456789abcdef"
Start = Callable[[Callable[[], None]], bool]


class Folders:
    """The folders in `base`, for writers in any thread.

    `verify` raises unless `base` is still the storage's folder. `start_if_idle` runs a function in another thread if
    one is idle, and returns whether one was.
    """

    def __init__(self, base: str, verify: Callable[[], None], start_if_idle: Start = lambda _: False) -> None:
        self._base = base
        self._start_if_idle = start_if_idle
        self.verify = verify
        self._base_sync = BaseSync(base)
        self._syncs: dict[str, SharedSync] = {base: self._base_sync}

    def make(self, folder: str, *, again: bool = False) -> None:
        """Create a folder durably, once per process: another process may not have synced it yet.

        Its neighbours are created with it, because one sync is enough for all of them: each costs as much as a small
        blob. Call it `again` if the folder is missing all the same.
        """
        durable = self._base_sync.durable
        if folder in durable and not again:
            return
        self.verify()
        neighbours = (f"{folder[:-1]}{digit}" for digit in DIGITS)
        self._base_sync.make(folder, [each for each in neighbours if each != folder and each not in durable])

    def sync_existing(self) -> None:
        """Make all folders durable that exist now, whoever has created them: one sync, and none for each later."""
        self._base_sync.sync_existing(
            lambda: [os.path.join(self._base, name) for name in os.listdir(self._base) if SHARD.fullmatch(name)]
        )

    def failures(self, folder: str) -> int:
        """Return how many syncs of a folder have failed. Ask before a change of an entry, and pass it to its sync."""
        return self._sync_of(folder).failed

    def sync(self, folder: str, failures: int) -> None:
        """Make the entries durable that a folder has now. Raises OSError, also that of a sync since the `failures`."""
        self._sync_of(folder).sync(failures)

    def sync_during(self, folder: str, failures: int, work: Callable[[], None]) -> None:
        """Run `work`, and do what `sync` does: at the same time if a thread is idle."""
        sync = _Call(partial(self.sync, folder, failures))
        if not self._start_if_idle(sync):
            work()
            self.sync(folder, failures)
            return
        try:
            work()
        finally:
            sync.wait()
        if sync.error is not None:
            raise sync.error

    def _sync_of(self, folder: str) -> "SharedSync":
        return self._syncs.get(folder) or self._syncs.setdefault(folder, SharedSync(folder))


class _Call:
    """A call in another thread."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._function = function
        self._running = threading.Lock()
        self._running.acquire()

    def __call__(self) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self.error = error
        finally:
            self._running.release()

    def wait(self) -> None:
        self._running.acquire()


class SharedSync:
    """The syncs of one folder. One that began after an entry was created makes that entry durable too.

    Never repeat a sync that failed: the kernel may have dropped the pages (LWN 752063). So a failure is raised for each
    entry that existed before its end, even if a later sync succeeds. `failed`: how many have failed.
    """

    __slots__ = ("_begun", "_error", "_folder", "_succeeded", "_turn", "failed")

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._turn = threading.Lock()
        self._begun = 0
        self._succeeded = 0  # the number of the last one that did
        self.failed = 0
        self._error: BaseException = OSError()

    def sync(self, failed: int) -> None:
        """Sync, unless another sync has failed since there were `failed` failures."""
        begun = self._begun
        with self._turn:
            if self.failed != failed:
                raise copy(self._error)
            if self._succeeded <= begun:  # none that has begun since
                self._run()

    def _run(self) -> None:
        self._begun += 1
        number = self._begun
        folder = self._open()
        try:
            files.fsync_entries(folder)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            os.close(folder)
        self._succeeded = number

    def _open(self) -> int:
        """Open the folder. If that fails, no entry is lost: the next sync is for it too."""
        return files.open_folder(self._folder)

    def _fail(self, error: BaseException) -> None:
        self.failed += 1
        self._error = error


class BaseSync(SharedSync):
    """The syncs of the folder that the other folders are made in.

    A sync that fails removes the folders that it may have lost, before other threads find them: the next could succeed.
    `durable`: the folders that a later sync which fails can't have lost.
    """

    __slots__ = ("_lock", "_new", "durable")

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.durable: set[str] = set()
        self._lock = threading.Lock()
        self._new = Counter[str]()  # the folders whose sync has not ended: how many threads wait for it

    def make(self, folder: str, others: Iterable[str]) -> None:
        """Create a folder unless it exists, and make it durable, together with those others that can be created."""
        made = [folder]
        with self._lock:
            self.durable.discard(folder)  # it may have been removed
            files.make_folder(folder)
            with suppress(OSError):  # they only save later syncs
                for other in others:
                    files.make_folder(other)
                    made.append(other)
            self._new.update(made)
            failed = self.failed
        try:
            self.sync(failed)
            self._note_durable(made, failed)
        finally:
            with self._lock:
                self._new.subtract(made)

    def sync_existing(self, find: Callable[[], Iterable[str]]) -> None:
        """Make the folders durable that `find` finds."""
        failed = self.failed
        existing = find()
        self.sync(failed)
        self._note_durable(existing, failed)

    def _note_durable(self, folders: Iterable[str], failed: int) -> None:
        """Note that folders are durable, unless a sync has failed since, and may have removed them."""
        with self._lock:
            if self.failed == failed:
                self.durable.update(folders)

    def _open(self) -> int:
        try:
            return super()._open()
        except OSError as error:
            self._fail(error)  # later, nobody would remember which folders a sync that fails may have lost
            raise

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            super()._fail(error)
            for folder in +self._new:
                if folder not in self.durable:
                    files.remove_empty_folder(folder)
