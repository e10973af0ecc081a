"""SHA-256 of files and of blobs, kept between runs, so that an unchanged file is not read again."""

import hashlib
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from entrypoints.cli.blobs.sync.files import LocalFile

# How long before it is hashed a file must have been changed, so that another change would have another time.
TICK = 20_000_000  # nanoseconds, more than the clocks of file systems need
COARSE_TICK = 2_000_000_000  # nanoseconds, for file systems that keep whole seconds
TABLES = """
    CREATE TABLE IF NOT EXISTS files (
        folder TEXT, name TEXT, size INTEGER, mtime INTEGER, ctime INTEGER, inode INTEGER, sha256 TEXT,
        PRIMARY KEY (folder, name)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS blobs (
        server TEXT, prefix TEXT, name TEXT, etag TEXT, sha256 TEXT,
        PRIMARY KEY (server, prefix, name)) WITHOUT ROWID;
"""


class Digests:
    """The digests of the files of a folder, and of the blobs below a prefix whose digests the server lacks.

    A cache that can't be used is no failure: the files are read then.
    """

    def __init__(self, path: Path, folder: Path, server: str, prefix: str) -> None:
        self._path, self._folder = path, str(folder.resolve())
        self._server, self._prefix = server, prefix
        self._files = dict[str, tuple[tuple[int, int, int, int], str]]()
        self._blobs = dict[str, tuple[str, str]]()
        self._new_files = dict[str, tuple[tuple[int, int, int, int], str]]()
        self._new_blobs = dict[str, tuple[str, str]]()
        self.hashed = 0
        """How many files were read."""

    def load(self) -> None:
        """Read the cache."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with closing(self._connect()) as database:
                rows = database.execute("SELECT * FROM files WHERE folder = ?", (self._folder,))
                self._files = {name: (tuple(state), digest) for _, name, *state, digest in rows}
                key = (self._server, self._prefix)
                rows = database.execute("SELECT name, etag, sha256 FROM blobs WHERE server = ? AND prefix = ?", key)
                self._blobs = {name: (etag, digest) for name, etag, digest in rows}
        except (sqlite3.Error, OSError):
            pass

    def save(self) -> None:
        """Add what is new to the cache."""
        files = [(self._folder, name, *state, digest) for name, (state, digest) in self._new_files.items()]
        blobs = [(self._server, self._prefix, name, *known) for name, known in self._new_blobs.items()]
        if not files and not blobs:
            return
        try:
            with closing(self._connect()) as database, database:
                database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", files)
                database.executemany("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?)", blobs)
        except (sqlite3.Error, OSError):
            pass

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=10)
        database.executescript(TABLES)
        return database

    def known(self, file: LocalFile) -> str | None:
        """Return the digest of a file that has not changed since it was hashed, or None."""
        known = self._new_files.get(file.name) or self._files.get(file.name)
        return known[1] if known and known[0] == file.state else None

    def of_file(self, file: LocalFile) -> str:
        """Return the digest of a file. Blocks. Raises OSError."""
        if (known := self.known(file)) is not None:
            return known
        began = time.time_ns()
        with file.path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        self.hashed += 1
        self.keep_file(file, digest, began)
        return digest

    def keep_file(self, file: LocalFile, digest: str, read_at: int | None = None) -> None:
        """Keep the digest of a file, unless it may change once more without a difference in its times.

        A change sets both times to that of the clock, also where a program has set the first one before.
        """
        tick = TICK if file.ctime_ns % 1_000_000_000 else COARSE_TICK
        if min(file.mtime_ns, file.ctime_ns) < (time.time_ns() if read_at is None else read_at) - tick:
            self._new_files[file.name] = (file.state, digest)

    def of_blob(self, name: str, etag: str) -> str | None:
        """Return the digest of a version whose digest the server has not computed, if it came from here."""
        known = self._new_blobs.get(name) or self._blobs.get(name)
        return known[1] if known and known[0] == etag else None

    def keep_blob(self, name: str, etag: str, digest: str) -> None:
        """Keep the digest of a version."""
        self._new_blobs[name] = (etag, digest)
