"""The four flushes of a durable POST as bare system calls: no server, no digest, no log."""

import os
import sqlite3
import time
from contextlib import closing
from itertools import count
from pathlib import Path

DATA = bytes(1024)
FLUSHES = 4  # two commits, a file, its folder


def sets_per_second(folder: Path, seconds: float) -> float:
    """Do the flushes of one POST after another, in one thread, in a new folder."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / "rows.db", isolation_level=None)) as rows:
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("PRAGMA synchronous = FULL")
        rows.execute("CREATE TABLE uploads (key TEXT PRIMARY KEY)")
        rows.execute("CREATE TABLE blobs (id TEXT PRIMARY KEY, key TEXT)")
        started = time.perf_counter()
        for number in count(1):
            _post(rows, folder, f"{number}")
            if (taken := time.perf_counter() - started) >= seconds:
                return number / taken
    raise AssertionError("unreachable")


def _post(rows: sqlite3.Connection, folder: Path, name: str) -> None:
    rows.execute("INSERT INTO uploads VALUES (?)", (name,))
    with open(folder / name, "xb", buffering=0) as file:
        file.write(DATA)
        os.fsync(file.fileno())
    _fsync_folder(folder)
    rows.execute("BEGIN IMMEDIATE")
    rows.execute("DELETE FROM uploads WHERE key = ?", (name,))
    rows.execute("INSERT INTO blobs VALUES (?, ?)", (name, name))
    rows.execute("COMMIT")


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
