"""The files of a folder, by their names below it, which become parts of ids."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

PARTIAL = (".drivebay-part", ".drivebay-part.state")
MAX_NAME = 200  # bytes, so that a temporary name fits into the 255 of a file system
Report = Callable[[str, Exception], object]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file at one moment. `name` is its path below the folder, with slashes."""

    name: str
    path: Path
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def state(self) -> tuple[int, int, int, int]:
        """The values that change when the bytes do."""
        return self.size, self.mtime_ns, self.ctime_ns, self.inode


@dataclass(frozen=True, slots=True)
class Selection:
    """Patterns of names. One without a slash is for any part of the path, another one for all of it."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def takes(self, name: str) -> bool:
        """Return whether a file or a blob of this name takes part."""
        if name.endswith(PARTIAL):
            return False
        included = not self.include or any(_matches(name, pattern) for pattern in self.include)
        return included and not any(_matches(name, pattern) for pattern in self.exclude)


def _matches(name: str, pattern: str) -> bool:
    if "/" in pattern:
        return fnmatchcase(name, pattern.removeprefix("/"))
    return any(fnmatchcase(part, pattern) for part in name.split("/"))


def scan(folder: Path, selection: Selection, report: Report) -> tuple[dict[str, LocalFile], set[str]]:
    """Return the files that take part, by name, and the names of pipes, sockets and devices.

    What can't be read or sent is reported. Links to files are followed, links to folders are not.
    """
    found, others = dict[str, LocalFile](), set[str]()
    for entry, name in _entries(str(folder), "", report):
        if not selection.takes(name):
            continue
        try:
            name.encode()
            status = entry.stat()
        except UnicodeEncodeError:
            report(ascii(name), ValueError("The name is not UTF-8, so it can't be an id. Rename the file."))
        except OSError as error:
            report(name, error)
        else:
            if stat.S_ISREG(status.st_mode):
                found[name] = local_file(name, Path(entry.path), status)
            else:
                others.add(name)
    return found, others


def local_file(name: str, path: Path, status: os.stat_result) -> LocalFile:
    """Return a file in the state that the system reports."""
    return LocalFile(name, path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def check_unchanged(file: LocalFile) -> None:
    """Raise OSError if a file has changed since it was listed, unless it is gone.

    Its ctime may differ: it changes too when another link to the file is deleted.
    """
    try:
        now = local_file(file.name, file.path, file.path.stat())
    except FileNotFoundError:
        return
    if (now.size, now.mtime_ns, now.inode) != (file.size, file.mtime_ns, file.inode):
        raise OSError("The file has changed since it was listed. It is kept: run the command again.")


def _entries(folder: str, above: str, report: Report) -> Iterator[tuple["os.DirEntry[str]", str]]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        report(above or folder, error)
        return
    for entry in listed:
        name = above + entry.name
        try:
            is_folder, is_linked_folder = entry.is_dir(follow_symlinks=False), entry.is_dir()
        except OSError as error:  # a link that leads nowhere that may be looked at
            report(name, error)
            continue
        if is_folder:
            yield from _entries(entry.path, f"{name}/", report)
        elif is_linked_folder:
            report(name, ValueError("A link to a folder is not followed. Sync that folder by itself."))
        else:
            yield entry, name


class Tree:
    """A folder in which files are created. Nothing outside of it is touched, whatever the ids are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inside = set[Path]()

    def path(self, name: str) -> Path:
        """Return the path of a file, and create its folder. Raises ValueError and OSError."""
        parts = name.split("/")
        if any(part in ("", ".", "..") or len(part.encode()) > MAX_NAME for part in parts):
            raise ValueError("The id can't be the path of a file. Fetch it by itself: drivebay get ID PATH")
        path = self._folder.joinpath(*parts)
        if path.parent not in self._inside:
            if not path.parent.resolve().is_relative_to(self._folder.resolve()):
                raise ValueError(f"{path.parent} leads out of the folder by a link. Remove the link.")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._inside.add(path.parent)
        return path

    def delete(self, file: LocalFile) -> None:
        """Delete a file, and the folders that are empty then. Raises OSError if the file has changed."""
        check_unchanged(file)
        file.path.unlink(missing_ok=True)
        for folder in file.path.parents:
            if folder == self._folder:
                return
            try:
                folder.rmdir()
            except OSError:  # it is not empty
                return
