"""Bytes that can be read again from any offset: files, and bytes in memory."""

import os
import stat
from pathlib import Path
from typing import Protocol


class Source(Protocol):
    """Bytes of a known size."""

    size: int

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes. Blocks."""


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.size = len(data)

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._data[offset : offset + size])


class FileSource:
    """A file, which must not change while it is read. A context.

    Raises OSError, and ValueError for what is not a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
        self.status = os.fstat(self._descriptor)
        if not stat.S_ISREG(self.status.st_mode):
            os.close(self._descriptor)
            raise ValueError(f"{path} is not a file. To send what it yields, open it, and pass the open file.")
        self.size = self.status.st_size

    def close(self) -> None:
        os.close(self._descriptor)

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)
