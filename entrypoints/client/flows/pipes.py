"""Pipes and devices, into which a download is written as its bytes come."""

import errno
import os
import select
import stat
from functools import partial
from pathlib import Path

from entrypoints.client.flows.commands import Flow, Sleep, Work

FLAGS = os.O_WRONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
PAUSE = 0.05  # seconds between two looks for the reader of a pipe
PATIENCE = 0.5  # seconds that a call waits for a reader, so that a flow can be stopped in between


def is_pipe(path: Path) -> bool:
    """Return whether there is something at a path that is neither a file nor a folder. Links are followed. Blocks."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


class Pipe:
    """A pipe or a device that is written to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def open(self) -> Flow[None]:
        """Open it. A named pipe is waited for until somebody reads from it."""
        while not (yield Work(self._is_open)):
            yield Sleep(PAUSE)

    def _is_open(self) -> bool:
        try:
            self._descriptor = os.open(self._path, FLAGS)
        except OSError as error:
            if error.errno != errno.ENXIO or not self._path.is_fifo():
                raise
            return False
        return True

    def write(self, data: bytes) -> Flow[None]:
        """Write all of it."""
        view = memoryview(data)
        while view:
            count: int = yield Work(partial(self._write, view))
            view = view[count:]

    def _write(self, data: memoryview) -> int:
        """Return how many bytes were written. That is none if the reader takes none for a while."""
        if not select.select([], [self._descriptor], [], PATIENCE)[1]:
            return 0
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None

    def close(self) -> None:
        """Close it. May be called more than once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
