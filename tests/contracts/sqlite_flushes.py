"""Flushes of SQLite's log that fail, as on a disk with errors, and the files that a crash would leave."""

import _sqlite3
import ctypes
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from unittest import mock

from adapters.sql.sqlite.database import SqliteDatabase

LOG = 28  # SQLITE_FCNTL_JOURNAL_POINTER
FAILED = sqlite3.SQLITE_IOERR | 4 << 8  # SQLITE_IOERR_FSYNC
METHODS = ctypes.c_void_p * 19  # sqlite3_io_methods: a version, and a function in each word
WRITE_INDEX, SYNC_INDEX = 3, 5
WRITE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
Pwrite = Callable[[int, bytes, int], int]


class Flushes:
    """Flushes of the log by the connection for writes. `failing`: how many of the next ones fail.

    One that fails writes nothing, and as on Linux the next one does not try again. So a part of the log that was not
    written again is missing on the disk, although processes can read it.
    """

    def __init__(self) -> None:
        self.failing = 0
        self.threads: set[str] = set()
        self._written: list[slice] = []  # since the last flush
        self._on_disk = bytearray()

    def fails(self) -> bool:
        """Whether the next flush fails."""
        self.failing -= 1
        return self.failing >= 0

    @contextmanager
    def of(self, database: SqliteDatabase) -> Iterator[Self]:
        """Put functions of ours in the place of SQLite's for the log of a database that is open.

        Another one, of the same file, may follow while this one stands still.
        """
        self._path = database._path
        self._on_disk = self._on_disk or bytearray(self._log.read_bytes())
        log = _log_of(database._writer._driver)
        own = log[0]
        methods = METHODS.from_buffer_copy(ctypes.string_at(own or 0, ctypes.sizeof(METHODS)))
        write, flush = WRITE(methods[WRITE_INDEX] or 0), SYNC(methods[SYNC_INDEX] or 0)

        def note_and_write(file: int, data: int, size: int, offset: int) -> int:
            self._written.append(slice(offset, offset + size))
            return int(write(file, data, size, offset))

        def flush_or_fail(file: int, flags: int) -> int:
            self.threads.add(threading.current_thread().name)
            if self.fails():
                self._written.clear()
                return FAILED
            self._keep()
            return int(flush(file, flags))

        ours = WRITE(note_and_write), SYNC(flush_or_fail)
        for index, function in zip((WRITE_INDEX, SYNC_INDEX), ours, strict=True):
            methods[index] = ctypes.cast(function, ctypes.c_void_p).value
        log[0] = ctypes.addressof(methods)
        try:
            with mock.patch("os.pwrite", self._write_again):
                yield self
        finally:
            log[0] = own

    def without_power(self) -> Path:
        """Copy the database as it would be after a power cut now, and return the path of the copy."""
        copy = killed(self._path)
        copy.with_name(f"{copy.name}-wal").write_bytes(self._on_disk)
        return copy

    @property
    def _log(self) -> Path:
        return self._path.with_name(f"{self._path.name}-wal")

    def _write_again(self, descriptor: int, data: bytes, offset: int, *, pwrite: Pwrite = os.pwrite) -> int:
        if os.path.samestat(os.fstat(descriptor), self._log.stat()):
            self._written.append(slice(offset, offset + len(data)))
        return pwrite(descriptor, data, offset)

    def _keep(self) -> None:
        """Let what was written be on the disk."""
        log = self._log.read_bytes()
        self._on_disk.extend(bytes(max(len(log) - len(self._on_disk), 0)))
        for part in self._written:
            self._on_disk[part] = log[part]
        self._written.clear()


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
