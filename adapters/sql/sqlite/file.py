"""The file of a SQLite database: its permissions, and its identity."""

import os
from contextlib import suppress
from pathlib import Path

from application.ports.schema import Opening
from domain.errors import Unavailable

PRIVATE = 0o600
LOG = "-wal"
SUFFIXES = (LOG, "-shm")
CHUNK = 1024 * 1024
Identity = tuple[int, int]


class SqliteFile:
    """The file at `path`, which is absolute.

    It is never opened here: when a process closes a file that SQLite has open too, it loses SQLite's locks. There are
    none on the log.
    """

    def __init__(self, path: Path, opening: Opening) -> None:
        self._path = path
        self._opening = opening
        self._in_memory = False
        self._identity: Identity | None = None

    @property
    def address(self) -> str:
        """The URI for SQLite. Only the first connection may create the file."""
        if self._in_memory:
            return ":memory:"
        creates = self._opening is Opening.MIGRATE and self._identity is None
        return f"{self._path.as_uri()}?mode={'rwc' if creates else 'rw'}"

    def check(self) -> None:
        """Raise UNAVAILABLE if something is missing that may not be created. Call this before the first connection."""
        if self._opening is Opening.MIGRATE and not os.path.isdir(self._path.parent):
            raise Unavailable(f"There is no folder {self._path.parent}. Create it.")
        if self._opening is Opening.REQUIRE and not os.path.exists(self._path):
            raise Unavailable(
                f"There is no database {self._path}. If it was moved, put it back."
                " Otherwise `drivebay migrations upgrade` creates one."
            )
        self._in_memory = self._opening is Opening.INSPECT and not os.path.exists(self._path)

    def record_identity(self) -> None:
        """Store the identity of the file that the first connection has opened."""
        if not self._in_memory:
            self._identity = _identity_of(self._path)

    def make_private(self) -> None:
        """Make the database readable only for its owner. SQLite creates its log with the same mode."""
        for path in (self._path, *map(self._with_suffix, SUFFIXES)):
            with suppress(OSError):  # it is missing, or belongs to another user
                if path.stat().st_mode & 0o777 != PRIVATE:
                    path.chmod(PRIVATE)

    def verify(self) -> None:
        """Raise UNAVAILABLE if the file that was opened is not at its path any more."""
        if self._identity is not None and _identity_of(self._path) != self._identity:
            raise Unavailable(
                f"The database {self._path} was moved or replaced while it was in use."
                " Put the same file back, or restart Drivebay."
            )

    def rewrite_log(self) -> None:
        """Write the whole log again, as it is, so that the next flush is for all of it. Nobody else may write it now.

        Raises UNAVAILABLE.
        """
        if self._in_memory:
            return
        path = self._with_suffix(LOG)
        try:
            log = os.open(path, os.O_RDWR)
            try:
                offset = 0
                while data := os.pread(log, CHUNK, offset):
                    offset += os.pwrite(log, data, offset)
            finally:
                os.close(log)
        except OSError as error:
            raise Unavailable(f"The file {path} can't be written: {error.strerror}. Check the disk.") from error

    def _with_suffix(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)


def _identity_of(path: Path) -> Identity | None:
    """Return the device and the inode, or None if the file is missing."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
