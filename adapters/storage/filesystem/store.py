"""Objects as files: one file per object, named by its key, in folders named by the key's first digits.

A put creates the file exclusively under its final name, writes it, and makes it durable, folders included, before it
returns. There are no temporary names and no renames, because no row names the key until the put has returned.
"""

import asyncio
import errno
import os
import re
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple

from adapters.concurrency.shield import run_to_completion
from adapters.concurrency.threads import Threads
from adapters.storage.filesystem.cached import CachedFiles
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.files import CHUNK, FileReader, FileWriter, fsync_folder
from adapters.storage.filesystem.folders import SHARD, Folders
from adapters.storage.filesystem.links import clone, hard_link
from application.ports.blob_store import ABSENT, TAKEN, BlobStore, Stored
from domain.blob import OBJECT_KEY, ByteRange, ObjectKey
from domain.errors import Kind, NotFound, Reason, Unavailable, error_class

T = TypeVar("T")
Args = TypeVarTuple("Args")

FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
SHARED = 3 * 1024 * 1024  # bytes of one chunk of each of several reads
STEP = 12 * 1024  # bytes of which small chunks are a multiple: of pages, and of three for base64 text
LEAST = 8 * STEP
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FilesystemBlobStore(BlobStore):
    """Objects as files. Enter the context before use.

    `check` creates the folder if its parent exists, and tests a write.
    """

    def __init__(self, config: FilesystemConfig) -> None:
        self.base = config.base_path
        self._prefix = os.path.join(config.base_path, "")
        self._threads = Threads("fs", config.threads)
        self._identity: tuple[int, int] | None = None
        self._folders = Folders(str(config.base_path), self._require_same_folder, self._threads.start_if_idle)
        self.cached = CachedFiles()
        self.reads = 0  # from open files

    async def __aenter__(self) -> Self:
        self._threads.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._threads.__exit__, kind, error, trace)

    async def check(self) -> None:
        await self.run("check", self._prepare)

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        writer = FileWriter(self.path(key), self._folders)
        writing: asyncio.Task[None] | None = None  # of one batch, while the next one is gathered
        try:
            async for chunk in chunks:
                if writer.gather(chunk) >= CHUNK:
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(self.run("put", writer.write, writer.take_batch()))
            if writing is not None:
                await writing
            await self.run("put", writer.finish)
        except BaseException:
            await run_to_completion(self._undo(writer, writing))
            raise
        return Stored(writer.size)

    async def _undo(self, writer: FileWriter, writing: "asyncio.Task[None] | None") -> None:
        if writing is not None:
            await asyncio.gather(writing, return_exceptions=True)
        await self._threads.run(writer.undo)

    def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> "_Read":
        return _Read(self, key, byte_range)

    async def stat(self, key: ObjectKey) -> Stored:
        found = await self.run("stat", os.stat, self.path(key))
        # A hard link keeps the mtime of the file that was imported, and sets its ctime.
        return Stored(found.st_size, datetime.fromtimestamp(max(found.st_mtime, found.st_ctime), UTC))

    async def delete(self, key: ObjectKey) -> None:
        with suppress(NotFound):
            await self.run("delete", self._unlink, self.path(key))

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        start = "" if after is None else after.value
        for shard in await self.run("list", _names, self.base, SHARD):
            if shard >= start[:3]:
                for name in await self.run("list", _names, self.base / shard, OBJECT_KEY):
                    if name > start:
                        yield ObjectKey(name)

    def link(self, key: ObjectKey, source: int) -> None:
        """Make an open file the object under a new key, durably, by sharing its bytes: a reflink, or else a hard link.

        Blocks: call it in a thread. Raises OSError, and leaves nothing then.
        """
        path = self.path(key)
        folder = os.path.dirname(path)
        self._folders.make(folder)
        failures = self._folders.failures(folder)
        try:
            if not clone(source, path):
                hard_link(source, path)
            self._folders.sync(folder, failures)
            self._folders.verify()
        except OSError:
            with suppress(OSError):
                os.unlink(path)
            raise

    def chunk(self) -> int:
        """Return the number of bytes to read at once: fewer in each of many reads, which then take little memory."""
        return max(min(CHUNK, SHARED // self.reads // STEP * STEP), LEAST)

    def path(self, key: ObjectKey) -> str:
        """Return the path of an object."""
        return f"{self._prefix}{key.value[:3]}/{key.value}"

    async def run(self, operation: str, function: Callable[[*Args], T], *args: *Args) -> T:
        """Run a blocking function in a thread, and translate each OSError into a BlobError."""

        def translate() -> T:
            try:
                return function(*args)
            except OSError as error:
                kind, detail = self._explain(error, operation)
                reason = Reason.DENIED if error.errno in FORBIDDEN else None
                raise error_class(kind)(detail, reason=reason) from error

        return await self._threads.run(translate)

    def _explain(self, error: OSError, operation: str) -> tuple[Kind, str]:
        if error.errno in DISK_FULL:
            return Kind.NO_SPACE, f"The disk of {self.base} is full. Free some space on it."
        if isinstance(error, FileExistsError):
            return Kind.ALREADY_EXISTS, TAKEN
        if isinstance(error, FileNotFoundError) and operation != "put" and self._is_the_same_folder():
            return Kind.NOT_FOUND, ABSENT
        hint = " Let this user write there." if error.errno in FORBIDDEN else ""
        return Kind.UNAVAILABLE, f"The folder {self.base} can't be used: {error.strerror}.{hint}"

    def _is_the_same_folder(self) -> bool:
        """Whether the folder is the one that `check` found: an unmounted disk must not look like an empty storage."""
        with suppress(OSError):
            return self._identity in (None, _identity(self.base))
        return False

    def _require_same_folder(self) -> None:
        """Raise FileNotFoundError if the folder is only the empty mount point of a lost disk."""
        if not self._is_the_same_folder():
            raise FileNotFoundError(errno.ENOENT, "the folder has changed since the start; is its disk mounted?")

    def _prepare(self) -> None:
        parent = self.base.absolute().parent
        if not parent.is_dir():
            raise Unavailable(f"There is no folder {parent}. Create it.")
        with suppress(FileExistsError):
            self.base.mkdir(0o700)
        fsync_folder(parent)  # another process may have created it
        with tempfile.TemporaryFile(dir=self.base) as probe:
            probe.write(b"test")
            os.fsync(probe.fileno())
        self._identity = _identity(self.base)
        self._folders.sync_existing()

    def _unlink(self, path: str) -> None:
        folder = os.path.dirname(path)
        failures = self._folders.failures(folder)
        try:
            os.unlink(path)
        finally:
            # Also if there is no file: an earlier delete may have been killed, or may have failed, before its sync.
            self._folders.sync(folder, failures)


class _Read(AsyncIterator[bytes]):
    """A read in progress. A small object takes one call in a thread; none if the kernel has it in its cache."""

    def __init__(self, store: FilesystemBlobStore, key: ObjectKey, byte_range: ByteRange | None) -> None:
        self._store = store
        self._key = key
        self._file = FileReader(store.path(key), byte_range)
        self._first = b""
        self._is_counted = False

    async def __aenter__(self) -> Self:
        cached = self._store.cached.read(self._file.path, self._file.byte_range)
        if cached is not None:
            self._first = cached
            return self
        self._store.reads += 1
        self._is_counted = True
        try:
            self._file.chunk = self._store.chunk()
            self._first = await self._store.run("read", self._file.open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._store.reads -= self._is_counted
        self._is_counted = False
        if self._file.is_open:
            # To completion: a call that is cancelled before it begins would leave the file open.
            await run_to_completion(self._store.run("close", self._file.close))

    async def __anext__(self) -> bytes:
        chunk, self._first = self._first, b""
        if not chunk and self._file.is_open:
            self._file.chunk = self._store.chunk()
            chunk = await self._store.run("read", self._file.read)
        if not chunk:
            raise StopAsyncIteration
        return chunk


def _names(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    return sorted(name for name in os.listdir(folder) if pattern.fullmatch(name))


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
