"""Metrics files with reserved space, so that a full disk is an error and not the end of the process.

prometheus_client maps sparse files into memory. A write to a page for which the disk has no space raises SIGBUS, which
kills the process.
"""

import os
import sys
from pathlib import Path
from typing import Any

from prometheus_client import values
from prometheus_client.mmap_dict import _INITIAL_MMAP_SIZE, MmapedDict

AROUND_A_KEY = 32  # bytes at most: its length, its padding and its value


class ReservedDict(MmapedDict):
    """A metrics file that reserves its space before it is mapped. Raises OSError if the disk is full."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode and not os.path.exists(filename):
            _create(Path(filename))
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]  # it has no types

    def _init_value(self, key: str) -> None:
        if self._used + len(key.encode()) + AROUND_A_KEY > self._capacity:
            _reserve(self._f.fileno(), 2 * self._capacity)
        super()._init_value(key)  # type: ignore[no-untyped-call]  # it has no types


def use() -> None:
    """Let prometheus_client use these files for metrics of several processes."""
    module: Any = values
    module.MmapedDict = ReservedDict


def _create(path: Path) -> None:
    """Create the file under a temporary name: other processes can't read an empty one."""
    unfinished = path.with_suffix(".new")
    try:
        with unfinished.open("xb") as file:
            _reserve(file.fileno(), _INITIAL_MMAP_SIZE)
        unfinished.rename(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _reserve(descriptor: int, size: int) -> None:
    if sys.platform == "darwin":  # without posix_fallocate
        os.ftruncate(descriptor, size)
    else:
        os.posix_fallocate(descriptor, 0, size)
