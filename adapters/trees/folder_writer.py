"""Files that are written into a tree in a folder.

A file is written under a temporary name in its folder, made durable, and renamed; then its name is made durable. The
temporary name depends on the path only, and a lock on the file keeps other exports away, so the next export continues
with what a killed one has left.
"""

import ctypes
import errno
import fcntl
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adapters.trees.folder_paths import file_of, folder_of, sync_folder
from adapters.trees.temporary import temporary_path
from application.ports.file_times import EPOCH, MICROSECOND
from application.ports.file_tree import FileExists, FileProperties, TreeFile

WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
PRIVATE = 0o600
RENAME_NOREPLACE = 1  # linux/fs.h
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux only


@dataclass(slots=True)
class FileWriter:
    """A writer of one file. After any error, call `undo`.

    A regular file that is replaced passes on its permissions and its owner. Until then, the new one is private.
    """

    root: Path
    path: str
    about: FileProperties
    replace: bool
    _folder: int | None = None
    _descriptor: int | None = None
    _replaced: os.stat_result | None = None

    @property
    def _temporary(self) -> str:
        return temporary_path(self.path).rpartition("/")[2]

    @property
    def _name(self) -> str:
        return self.path.rpartition("/")[2]

    def open(self) -> None:
        with folder_of(self.root, self.path, create=True) as (folder, name):
            self._replaced = self._require_free(folder, name)
            self._folder = os.dup(folder)
        mode = 0o666 if self._replaced is None else PRIVATE
        descriptor = os.open(self._temporary, WRITE, mode, dir_fd=self._folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the two calls, another export may have renamed it.
            if not os.path.samestat(os.fstat(descriptor), os.stat(self._temporary, dir_fd=self._folder)):
                raise BlockingIOError
            if self._replaced is not None:
                os.fchmod(descriptor, PRIVATE)  # a killed export may have begun when there was no file
            os.truncate(descriptor, 0)
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            raise FileExists("Another export is writing this file.") from None
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _require_free(self, folder: int, name: str) -> os.stat_result | None:
        """Return the status of the regular file that will be replaced, if there is one."""
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not self.replace:
            raise FileExists("There is a file with this path.")
        return status if stat.S_ISREG(status.st_mode) else None

    def write(self, chunk: bytes) -> None:
        assert self._descriptor is not None
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def finish(self) -> TreeFile:
        assert self._descriptor is not None
        assert self._folder is not None
        if self.about.modified_at is not None:
            changed = (self.about.modified_at - EPOCH) // MICROSECOND * 1000
            os.utime(self._descriptor, ns=(changed, changed))
        if self._replaced is not None:
            _pass_on(self._replaced, self._descriptor)
        os.fsync(self._descriptor)
        status = os.fstat(self._descriptor)
        if self.replace:
            os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        else:
            self._rename_to_a_free_name(self._folder)
        os.close(self._descriptor)
        self._descriptor = None  # nothing has the temporary name any more
        self._sync_name(self._folder)
        self._close()
        return file_of(self.path, status)

    def _rename_to_a_free_name(self, folder: int) -> None:
        try:
            if rename_to_a_free_name(folder, self._temporary, self._name):
                return
        except FileExistsError:
            self._require_free(folder, self._name)
            raise
        self._require_free(folder, self._name)  # the best that this file system allows
        os.rename(self._temporary, self._name, src_dir_fd=folder, dst_dir_fd=folder)

    def _sync_name(self, folder: int) -> None:
        try:
            sync_folder(folder)
        except OSError:
            if self._replaced is None:
                with suppress(OSError):  # the next export would find it, and not sync it again
                    os.unlink(self._name, dir_fd=folder)
            raise

    def undo(self) -> None:
        """Remove the temporary file, if this writer has it."""
        if self._descriptor is not None and self._folder is not None:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._folder)
        self._close()

    def _close(self) -> None:
        for each in (self._descriptor, self._folder):
            if each is not None:
                os.close(each)
        self._descriptor = self._folder = None


def _pass_on(replaced: os.stat_result, descriptor: int) -> None:
    """Give an open file the owner and the permissions of another."""
    for owner in ((-1, replaced.st_gid), (replaced.st_uid, -1)):
        with suppress(OSError):  # only root may give files away
            os.fchown(descriptor, *owner)
    os.fchmod(descriptor, stat.S_IMODE(replaced.st_mode) & 0o777)


def rename_to_a_free_name(folder: int, name: str, new_name: str) -> bool:
    """Rename a file in one folder. Raises FileExistsError for a name in use. Return False where this can't be done."""
    if _renameat2 is None:
        return False
    if _renameat2(folder, os.fsencode(name), folder, os.fsencode(new_name), RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code))
