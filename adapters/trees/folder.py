"""A folder as a tree of files. Links to files are read as files."""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple

from adapters.concurrency.shield import run_to_completion
from adapters.concurrency.threads import Threads
from adapters.trees.folder_paths import file_of, folder_of, state_of, sync_folder
from adapters.trees.folder_writer import FileWriter
from application.ports.file_times import MICROSECOND
from application.ports.file_tree import (
    TEMPORARY,
    FileChanged,
    FileDenied,
    FileGone,
    FileProperties,
    FileTree,
    InvalidPath,
    OpenedFile,
    PathConflict,
    TreeError,
    TreeFile,
    UnusableEntry,
    require_valid,
)
from domain.errors import NoSpace, Unavailable

T = TypeVar("T")
Args = TypeVarTuple("Args")

PAGE = 500  # entries
CHUNK = 960 * 1024  # bytes
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
FULL = {errno.ENOSPC, errno.EDQUOT}
IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY}
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # O_NONBLOCK: a named pipe must not keep us waiting


class FolderTree(FileTree):
    """The files below `root`. Enter the context before use. `threads`: the number of concurrent calls.

    `apart`: files and folders of other use, such as secrets, which are neither read nor written, under whatever name.
    """

    resolution = MICROSECOND

    def __init__(self, root: Path, threads: int = 16, apart: Iterable[Path] = ()) -> None:
        self.root = root
        self._apart = tuple(apart)
        self._threads = Threads("tree", threads)

    async def __aenter__(self) -> Self:
        self._threads.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._threads.__exit__, kind, error, trace)

    async def check(self, *, create: bool = False) -> None:
        await self.run(self._check, create)

    async def list(self) -> AsyncIterator[TreeFile | UnusableEntry]:
        walk = _Walk(self.root, self._apart)
        try:
            while page := await self.run(walk.page):
                for entry in page:
                    yield entry
        finally:
            walk.close()

    async def find(self, path: str) -> TreeFile | None:
        require_valid(path)
        return await self.run(self._find, path)

    @asynccontextmanager
    async def read(self, file: TreeFile) -> AsyncIterator[OpenedFile]:
        require_valid(file.path)
        reader = _Reader(self.root, file)
        try:
            await self.run(reader.open)
            yield OpenedFile(FileProperties(file.modified_at), self._chunks(reader))
        finally:
            reader.close()

    async def _chunks(self, reader: "_Reader") -> AsyncIterator[bytes]:
        while chunk := await self.run(reader.read):
            yield chunk

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        require_valid(path)
        await self.run(self._require_not_apart, path)
        if path.endswith("/"):
            await self.run(self._make_folder, path)
            return TreeFile(path, 0)
        writer = FileWriter(self.root, path, about, replace)
        try:
            await self.run(writer.open)
            async for chunk in chunks:
                await self.run(writer.write, chunk)
            return await self.run(writer.finish)
        except BaseException:
            await run_to_completion(self._threads.run(writer.undo))
            raise

    async def run(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """Run a blocking function in a thread, and translate each OSError."""

        def translated() -> T:
            try:
                return function(*args)
            except OSError as error:
                raise self._explain(error) from error

        return await self._threads.run(translated)

    def _explain(self, error: OSError) -> Exception:
        if error.errno in FULL:
            return NoSpace(f"The disk of {self.root} is full. Free some space on it.")
        text = error.strerror or str(error)
        if not os.path.isdir(self.root):  # Path.is_dir raises an error if a folder above is denied
            return Unavailable(f"There is no folder {self.root}, or it can't be used: {text}.")
        if error.errno in IN_THE_WAY or isinstance(error, FileExistsError):
            return PathConflict("A file or a link is in the way of a folder, or a folder in the way of a file.")
        if isinstance(error, FileNotFoundError):
            return FileGone("The file is not there any more.")
        if error.errno == errno.ENAMETOOLONG:
            return InvalidPath("The path is too long for this file system.")
        if error.errno in DENIED:
            return FileDenied(f"{text}. Let this user read and write there.")
        return TreeError(f"The file can't be read or written: {text}.")

    def _check(self, create: bool) -> None:
        self._require_not_apart("")
        if create:
            with suppress(FileExistsError):
                self.root.mkdir()
                with folder_of(self.root.absolute().parent, "") as (above, _):
                    sync_folder(above)
        with os.scandir(self.root) as entries:
            next(entries, None)

    def _require_not_apart(self, path: str) -> None:
        """Raise an error if a path is, or leads into, what is apart."""
        apart = {*map(_identity, self._apart)} - {None}
        names = {*map(os.path.realpath, self._apart)}  # also of what is not there, and would count once it is
        if _identity(self.root) in apart:
            raise Unavailable(f"Drivebay keeps its objects in {self.root}. Give another folder.")
        inside = self.root
        for name in path.split("/"):
            inside /= name
            if _identity(inside) in apart or os.path.realpath(inside) in names:
                raise PathConflict("Drivebay keeps its own files there.")

    def _find(self, path: str) -> TreeFile | None:
        try:
            with folder_of(self.root, path) as (folder, name):
                status = os.stat(name or ".", dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ENOTDIR and not path.endswith("/"):
                return None  # a file is in the way: the write reports it
            raise
        if path.endswith("/"):
            return TreeFile(path, 0)
        return file_of(path, status) if stat.S_ISREG(status.st_mode) else None

    def _make_folder(self, path: str) -> None:
        with folder_of(self.root, path, create=True):
            pass


def _identity(place: str | Path) -> tuple[int, int] | None:
    """Return what distinguishes a file or folder from all others; None if there is none, or it is denied."""
    try:
        status = os.stat(place)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class _Walk:
    """A walk through all folders, in the order of the file system, with one open folder for each level."""

    def __init__(self, root: Path, apart: Iterable[Path]) -> None:
        self._root = root
        self._apart = {*map(_identity, apart)} - {None}
        self._open = list[tuple[str, Any]]()
        self._begun = False

    def page(self) -> list[TreeFile | UnusableEntry]:
        """Return the next entries; none at the end."""
        if not self._begun:
            self._begun = True
            self._open.append(("", os.scandir(self._root)))
        found = list[TreeFile | UnusableEntry]()
        while self._open and len(found) < PAGE:
            above, entries = self._open[-1]
            try:
                entry = next(entries, None)
                if entry is None:
                    self._leave()
                elif (each := self._entry(above, entry)) is not None:
                    found.append(each)
            except OSError as error:
                self._leave()
                found.append(UnusableEntry(above, f"The folder can't be read: {error.strerror}."))
        return found

    def _entry(self, above: str, entry: os.DirEntry[str]) -> TreeFile | UnusableEntry | None:
        path = above + entry.name
        try:
            path.encode()
        except UnicodeEncodeError:
            return UnusableEntry(ascii(path)[1:-1], "The name is not UTF-8, so it can't be an id. Rename the file.")
        try:
            if entry.is_dir(follow_symlinks=False):
                if _identity(entry.path) in self._apart:
                    return UnusableEntry(path, "Drivebay keeps its objects in this folder. It is not imported.")
                self._open.append((f"{path}/", os.scandir(entry.path)))
                return None
            status = entry.stat()
        except OSError as error:
            return UnusableEntry(path, f"It can't be read: {error.strerror}.")
        if stat.S_ISDIR(status.st_mode):
            return UnusableEntry(path, "A link to a folder is not followed. Import that folder by itself.")
        if (status.st_dev, status.st_ino) in self._apart:
            return UnusableEntry(path, "It is a file of Drivebay itself. It is not imported.")
        if not stat.S_ISREG(status.st_mode):
            return UnusableEntry(path, "It is not a file, but a device, a pipe or a socket.")
        return None if entry.name.endswith(TEMPORARY) else file_of(path, status)

    def close(self) -> None:
        while self._open:
            self._leave()

    def _leave(self) -> None:
        _, entries = self._open.pop()
        entries.close()


@dataclass(slots=True)
class _Reader:
    """A reader of one file, which compares its state at the begin and at the end."""

    root: Path
    file: TreeFile
    _descriptor: int | None = None
    _state: tuple[int, ...] = ()

    def open(self) -> None:
        with folder_of(self.root, self.file.path) as (folder, name):
            self._descriptor = os.open(name, READ, dir_fd=folder)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode) or file_of(self.file.path, status) != self.file:
            raise FileChanged("The file has changed since it was listed.")
        self._state = state_of(status)

    def read(self) -> bytes:
        assert self._descriptor is not None
        chunk = os.read(self._descriptor, CHUNK)
        if not chunk and state_of(os.fstat(self._descriptor)) != self._state:
            raise FileChanged("The file was changed while it was read.")
        return chunk

    def close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
