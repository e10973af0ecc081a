"""One file: being written, being read, being made durable. All of this blocks, and runs in threads."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from domain.blob import ByteRange

# Close to a MiB, and whole groups of three bytes, as base64 has them: their text is sent without being copied.
CHUNK = 960 * 1024
# Bytes between two syncs, so that the last one is short. On a disk that writes 1 MB/s, that of 5 GiB at once would take
# more than an hour, in which the client gets nothing and may leave. On a fast disk no cost could be measured.
SYNC_EVERY = 64 * 1024**2


class FileWriter:
    """A new file under a name that is free. After any fault, `undo` clears up.

    `make_folder` makes the folder for it, durably. `verify` raises if the file does not lie where it should after all.
    """

    def __init__(self, path: str, make_folder: Callable[[str], None], verify: Callable[[], None]) -> None:
        self.size = 0
        self._path = path
        self._folder = os.path.dirname(path)
        self._make_folder = make_folder
        self._verify = verify
        self._file: int | None = None
        self._created = False
        self._gathered = bytearray()  # one buffer: small chunks of their own would take many times their bytes
        self._unsynced = 0

    def gather(self, chunk: bytes) -> int:
        """Keep a chunk for the next write, and return how many bytes wait for it. Does not block."""
        self._gathered += chunk
        return len(self._gathered)

    def write(self) -> None:
        """Write what was gathered, and sync now and then. Raises FileExistsError if the name is taken."""
        if self._file is None:
            self._make_folder(self._folder)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._created = True
        rest = memoryview(self._gathered)
        self._gathered = bytearray()
        self.size += len(rest)
        self._unsynced += len(rest)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        if self._unsynced >= SYNC_EVERY:
            self._unsynced = 0
            os.fdatasync(self._file)  # if it fails, the put does: see `finish`

    def finish(self) -> None:
        """Write the rest, and see to it that file and name outlast a power cut."""
        self.write()
        assert self._file is not None
        # An fsync that failed is never tried again: the kernel may have dropped the pages (LWN 752063).
        os.fsync(self._file)
        self._close()
        fsync_folder(self._folder)
        self._verify()

    def undo(self) -> None:
        """Remove the file, if it was made here."""
        with suppress(OSError):  # what is left now is found by the reaper
            self._close()
        if self._created:
            with suppress(OSError):
                os.unlink(self._path)

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


class FileReader:
    """A file, or a range of it, from `open` on. It closes itself with its last chunk; `close` does so earlier."""

    def __init__(self, path: str, byte_range: ByteRange | None) -> None:
        self._path = path
        self._range = byte_range
        self._file: int | None = None
        self._position = 0
        self._stop = 0

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def open(self) -> bytes:
        """The first chunk: of a small file, all of it. Raises RANGE_NOT_SATISFIABLE."""
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self._stop = os.fstat(self._file).st_size
        if self._range is not None:
            part = self._range.within(self._stop)
            self._position, self._stop = part.start, part.stop
        return self.read()

    def read(self) -> bytes:
        """The next chunk; an empty one at the end."""
        if self._file is None:
            return b""
        chunk = os.pread(self._file, min(CHUNK, self._stop - self._position), self._position)
        self._position += len(chunk)
        if not chunk or self._position == self._stop:
            self.close()
        return chunk

    def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


def unlink_durably(path: str) -> None:
    """Remove a file for good: a power cut does not bring it back."""
    os.unlink(path)
    fsync_folder(os.path.dirname(path))


def fsync_folder(folder: str | Path) -> None:
    """Make durable which names a folder has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
