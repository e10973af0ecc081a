"""The disks of folders."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Disk(NamedTuple):
    """The disk of a folder of this name. `free_bytes`: what this user can still write."""

    name: str
    free_bytes: int
    size_bytes: int


def measured(folders: Mapping[str, Path]) -> Iterator[Disk]:
    """Yield the disks of folders, by their names. A folder that is not there is left out: its storage reports it."""
    for name, folder in folders.items():
        try:
            found = os.statvfs(folder)
        except OSError:
            continue
        yield Disk(name, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
