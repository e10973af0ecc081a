"""Flushes of SQLite's log that fail, as on a disk with errors, and the files that a crash would leave."""

import _sqlite3
import ctypes
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from adapters.sql.sqlite.database import SqliteDatabase

LOG = 28  # SQLITE_FCNTL_JOURNAL_POINTER
FAILED = sqlite3.SQLITE_IOERR | 4 << 8  # SQLITE_IOERR_FSYNC
METHODS = ctypes.c_void_p * 19  # sqlite3_io_methods: a version, and a function in each word
SYNC_INDEX = 5
SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


class Flushes:
    """Flushes of the log by the connection for writes. `failing`: how many of the next ones fail."""

    def __init__(self) -> None:
        self.failing = 0
        self.threads: set[str] = set()

    def fails(self) -> bool:
        """Whether the next flush fails."""
        self.failing -= 1
        return self.failing >= 0

    @contextmanager
    def of(self, database: SqliteDatabase) -> Iterator[Self]:
        """Put a function of ours in the place of SQLite's for the log of a database that is open."""
        log = _log_of(database._writer._driver)
        own = log[0]
        methods = METHODS.from_buffer_copy(ctypes.string_at(own or 0, ctypes.sizeof(METHODS)))
        flush = SYNC(methods[SYNC_INDEX] or 0)

        def flush_or_fail(file: int, flags: int) -> int:
            self.threads.add(threading.current_thread().name)
            return FAILED if self.fails() else int(flush(file, flags))

        ours = SYNC(flush_or_fail)
        methods[SYNC_INDEX] = ctypes.cast(ours, ctypes.c_void_p).value
        log[0] = ctypes.addressof(methods)
        try:
            yield self
        finally:
            log[0] = own


def _log_of(connection: sqlite3.Connection) -> "ctypes._Pointer[ctypes.c_void_p]":
    """Return SQLite's file for the log: its first word is a pointer to its methods."""
    library = ctypes.CDLL(_sqlite3.__file__)
    # The connection of Python begins with that of SQLite.
    handle = ctypes.c_void_p.from_address(id(connection) + object.__basicsize__)
    file = ctypes.POINTER(ctypes.c_void_p)()
    assert library.sqlite3_file_control(handle, b"main", LOG, ctypes.byref(file)) == sqlite3.SQLITE_OK
    return file


def killed(path: Path) -> Path:
    """Copy a database as it would be if its processes were killed now, and return the path of the copy."""
    copy = path.with_name(f"killed-{path.name}")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    return copy
