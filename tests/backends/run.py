"""A test run's backends: each started once for all of its processes, by the first that comes, in a thread of its own.

The processes of a run share a folder. In it a file for each backend says where it is, or why it could not be started;
whoever starts it holds a lock on the file, for which the others wait. The lock goes with its process, and the next in
the queue tries again if nothing was said. The file `lock` is held while the run lasts: without it, what carries the
run's label was left behind, and the next run removes it.
"""

import fcntl
import secrets
import shutil
import signal
import tempfile
import typing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from tests.backends.containers import Containers, engine, labelled, remove

LABEL = "drivebay.test-run"  # its value is the run's folder
STARTED_WITHIN = 900  # seconds
A = TypeVar("A")


class Said(msgspec.Struct):
    address: msgspec.Raw = msgspec.Raw(b"null")
    failure: str = ""


class Backends:
    """Those of the run that has this folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._threads = ThreadPoolExecutor(thread_name_prefix="backend")
        self._starting: dict[str, Future[Any]] = {}

    def containers(self) -> Containers:
        return Containers((LABEL, str(self.folder)), self.folder)

    def start(self, start: Callable[[Containers], A]) -> "Future[A]":
        """Begin to start a backend, unless that was begun already."""
        # Not in the thread: while they are imported they filter warnings, and so does each test that begins meanwhile.
        import testcontainers.core.container  # noqa: F401

        name = f"{start.__module__}.{start.__name__}"
        if name not in self._starting:
            self._starting[name] = self._threads.submit(once, self.folder / name, lambda: self._first(start), start)
        return self._starting[name]

    def address(self, start: Callable[[Containers], A]) -> A:
        """Where the backend is, when it has been started. That takes minutes where images are built: not the test's."""
        with no_alarm():
            return self.start(start).result(STARTED_WITHIN)

    def _first(self, start: Callable[[Containers], A]) -> A:
        once(self.folder / "sweep", remove_left_behind, remove_left_behind)
        return start(self.containers())

    def close(self) -> None:
        """Wait for what is being started, and begin nothing more."""
        self._threads.shutdown(cancel_futures=True)


@contextmanager
def no_alarm() -> Iterator[None]:
    """Stop the clock by which pytest-timeout limits the time of a test."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)


def once(file: Path, call: Callable[[], A], typed: Callable[..., A]) -> A:
    """What `call` returns in the first process that comes here. All others wait for it, and fail where it failed.

    `typed`: a function that is annotated with the type.
    """
    with file.open("a+b") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        opened.seek(0)
        if published := opened.read():
            said = msgspec.json.decode(published, type=Said)
            if said.failure:
                raise RuntimeError(f"{file.name} has failed in another process: {said.failure}")
            address: A = msgspec.json.decode(said.address, type=typing.get_type_hints(typed)["return"])
            return address
        try:
            address = call()
        except BaseException as error:
            opened.write(msgspec.json.encode(Said(failure=repr(error))))
            raise
        opened.write(msgspec.json.encode(Said(msgspec.Raw(msgspec.json.encode(address)))))
        return address


def hold(folder: Path) -> BinaryIO:
    """Show that the run with this folder lives, until what is returned is closed or the process ends."""
    lock = (folder / "lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def lives(folder: Path) -> bool:
    """Whether the run with this folder does."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


@contextmanager
def a_run() -> Iterator[Backends]:
    """The backends of a run that begins here. What was started of them is removed at its end."""
    # Its name becomes a part of names of images, which take no underscore next to a hyphen.
    folder = Path(tempfile.gettempdir()) / f"drivebay-tests-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    with closing(hold(folder)):
        backends = Backends(folder)
        try:
            yield backends
        finally:
            backends.close()
            end(folder)


def remove_left_behind() -> None:
    """Remove the containers of runs that live no more, and their folders."""
    with engine() as client:
        for container in labelled(client, LABEL):
            folder = Path(container.labels[LABEL])
            if not lives(folder):
                remove(container)
                shutil.rmtree(folder, ignore_errors=True)


def end(folder: Path) -> None:
    """Remove the containers of a run, if it started any, and its folder."""
    if (folder / "started").exists():
        with engine() as client:
            remove(*labelled(client, f"{LABEL}={folder}"))
    shutil.rmtree(folder)
