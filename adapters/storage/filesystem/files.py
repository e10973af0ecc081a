"""Blocking file operations, to run in threads: write, read, make durable."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.storage.filesystem.write_back import start_write_back
from domain.blob import ByteRange

if TYPE_CHECKING:
    from adapters.storage.filesystem.folders import Folders

# Bytes that one call in a thread reads or writes, except for a last chunk: close to a MiB, and a multiple of three, so
# that base64 text is sent without a copy.
CHUNK = 960 * 1024
# Smaller chunks are copied into one buffer, because many of them would take a multiple of their size.
LARGE = 256 * 1024
# Bytes after which the disk starts to write them, while more of them come.
WRITE_BACK_EVERY = 2 * 1024**2
# Bytes between two syncs, so that the last one is short. On a disk that writes 1 MB/s, one sync of 5 GiB would take
# more than an hour without a response. On a fast disk the cost is not measurable.
SYNC_EVERY = 64 * 1024**2
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

Batch = Sequence[bytes | bytearray]


class FileWriter:
    """A writer for a new file in one of the `folders`. After any error, call `undo`."""

    def __init__(self, path: str, folders: "Folders") -> None:
        self.size = 0
        self._path = path
        self._folder = os.path.dirname(path)
        self._folders = folders
        self._file: int | None = None
        self._created = False
        self._failures = 0  # of syncs of the folder, before the file was created
        self._batch: list[bytes | bytearray] = []
        self._batch_size = 0
        self._written_back = 0
        self._synced = 0

    def gather(self, chunk: bytes) -> int:
        """Add a chunk to the next batch, and return the batch's size in bytes. Does not block."""
        if len(chunk) >= LARGE:
            self._batch.append(chunk)
        elif self._batch and isinstance(self._batch[-1], bytearray):
            self._batch[-1] += chunk
        else:
            self._batch.append(bytearray(chunk))
        self._batch_size += len(chunk)
        return self._batch_size

    def take_batch(self) -> Batch:
        """Return the batch, and begin another one. Does not block."""
        batch, self._batch, self._batch_size = self._batch, [], 0
        return batch

    def write(self, batch: Batch) -> None:
        """Write a batch, and sync every `SYNC_EVERY` bytes. Raises FileExistsError if the name is taken.

        Concurrent calls are not allowed, except of `gather` and `take_batch`.
        """
        if self._file is None:
            self._folders.make(self._folder)
            self._failures = self._folders.failures(self._folder)
            try:
                self._file = os.open(self._path, CREATE, 0o600)
            except FileNotFoundError:  # the folder was removed
                self._folders.make(self._folder, again=True)
                self._file = os.open(self._path, CREATE, 0o600)
            self._created = True
        for chunk in batch:
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            self.size += len(chunk)
        self._keep_syncs_short(self._file)

    def _keep_syncs_short(self, file: int) -> None:
        if self.size - self._written_back >= WRITE_BACK_EVERY:
            start_write_back(file, self._written_back, self.size)
            self._written_back = self.size
        if self.size - self._synced >= SYNC_EVERY:
            self._synced = self.size
            os.fdatasync(file)  # if it fails, the put does: see `finish`

    def finish(self) -> None:
        """Write the last batch, and make the file and its name durable."""
        self.write(self.take_batch())
        self._folders.sync_during(self._folder, self._failures, self._sync)
        self._folders.verify()

    def _sync(self) -> None:
        assert self._file is not None
        # Never repeat an fsync that failed: the kernel may have dropped the pages (LWN 752063).
        os.fsync(self._file)
        self._close()

    def undo(self) -> None:
        """Remove the file, if this writer has created it."""
        with suppress(OSError):  # the reaper deletes what remains
            self._close()
        if self._created:
            with suppress(OSError):
                os.unlink(self._path)

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


class FileReader:
    """A reader for a file or a range of it. Closes the file after the last chunk; `close` does so earlier."""

    def __init__(self, path: str, byte_range: ByteRange | None) -> None:
        self.path = path
        self.byte_range = byte_range
        self.chunk = CHUNK
        """The number of bytes to read at once."""
        self._file: int | None = None
        self._position = 0
        self._stop = 0

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def open(self) -> bytes:
        """Open the file, and return the first chunk. Raises RANGE_NOT_SATISFIABLE."""
        self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._stop = os.fstat(self._file).st_size
        if self.byte_range is not None:
            found = self.byte_range.within(self._stop)
            self._position, self._stop = found.start, found.stop
        return self.read()

    def read(self) -> bytes:
        """Return the next chunk; an empty one at the end."""
        if self._file is None:
            return b""
        chunk = os.pread(self._file, min(self.chunk, self._stop - self._position), self._position)
        self._position += len(chunk)
        if not chunk or self._position == self._stop:
            self.close()
        return chunk

    def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


def make_folder(folder: str) -> None:
    """Create a folder unless it exists, but not durably."""
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)


def remove_empty_folder(folder: str) -> None:
    """Remove a folder unless something is in it."""
    with suppress(OSError):
        os.rmdir(folder)


def fsync_folder(folder: str | Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = open_folder(folder)
    try:
        fsync_entries(descriptor)
    finally:
        os.close(descriptor)


def open_folder(folder: str | Path) -> int:
    """Open a folder, and return its descriptor."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def fsync_entries(descriptor: int) -> None:
    """Make the entries of an open folder durable."""
    os.fsync(descriptor)
