"""The paths of a tree in a folder.

A path is opened from the root, segment by segment, and no segment may be a link to a folder (O_NOFOLLOW). So nothing is
written outside of the root, whatever happens to it at the same time.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from application.ports.file_times import EPOCH
from application.ports.file_tree import TreeFile

ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
FOLDER = ROOT | os.O_NOFOLLOW


@contextmanager
def folder_of(root: Path, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder of a path, and return its descriptor and the name of the file in it.

    `create`: the folders that are missing, durably.
    """
    *above, name = path.split("/")
    folder = os.open(root, ROOT)
    try:
        for each in above:
            if create:
                _make_folder(each, folder)
            below = os.open(each, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder, name
    finally:
        os.close(folder)


def _make_folder(name: str, above: int) -> None:
    try:
        os.mkdir(name, dir_fd=above)
    except FileExistsError:
        return
    try:
        sync_folder(above)
    except OSError:
        with suppress(OSError):  # the next write would find it, and not sync it again
            os.rmdir(name, dir_fd=above)
        raise


def sync_folder(folder: int) -> None:
    """Make the names in an open folder durable, as far as its file system can."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # as folders of virtual machines report it
            raise


def file_of(path: str, status: os.stat_result) -> TreeFile:
    """Return a file in the state that the system reports."""
    try:
        modified_at: datetime | None = EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
    except OverflowError:
        modified_at = None
    return TreeFile(path, status.st_size, modified_at)


def state_of(status: os.stat_result) -> tuple[int, ...]:
    """Return the values that change when the bytes do. Links to the file change its ctime, so it is left out."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
