"""A folder on an FTP server as a tree of files.

A listing is spooled to a temporary file before its entries are handed on, so that no connection waits for their
consumer. It is by MLSD, or by NLST with SIZE and MDTM for each name where the server does not know that.

A file is written under a temporary name, and renamed once the server has confirmed its size. Where the server renames
only to free names, the old file is renamed aside before, and deleted after. After a failed write, the next one to the
same path has another temporary name.

Links to folders are not followed. They are recognized by PWD, to which vsftpd, ProFTPD and Pure-FTPd reply with a path
without links. On a server that replies with the path as it was entered, FTP has no way to see them. By MLSD, a link to
a folder above it is noticed there because the same listing comes again and again: with the times, and not only names.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import IO, Self, cast

from adapters.concurrency.shield import run_to_completion
from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.connection import FtpConnection
from adapters.storage.ftp.pool import FtpPool
from adapters.storage.ftp.replies import time_in
from adapters.trees.temporary import aside_path, temporary_path
from application.ports.file_tree import (
    TEMPORARY,
    FileChanged,
    FileDenied,
    FileExists,
    FileGone,
    FileProperties,
    FileTree,
    OpenedFile,
    PathConflict,
    TreeFile,
    UnusableEntry,
    require_valid,
)
from domain.errors import BlobError, Reason, Unavailable

SPOOLED = 1024 * 1024  # bytes of a listing that are kept in memory
MLSD, NLST_ALL, NLST = "MLSD", "NLST -a", "NLST"
HERE = (".", "..")
REPEATS = 5  # folders above one with the same listing, after which it is taken for a link to one of them
NOT_RENAMED = "A folder has this path, or the server denies the rename."


class FtpTree(FileTree):
    """The files below the base folder of a config. Enter the context before use."""

    resolution = timedelta(seconds=1)

    def __init__(self, config: FtpConfig) -> None:
        self._pool = FtpPool(config, "ftp tree")
        # Waits for a turn as long as it takes; the pool would give up.
        self._turns = asyncio.Semaphore(config.connections)
        self._folders = {""}  # known to exist
        self._command = MLSD
        self._keeps_times = True
        self._failures: dict[str, int] = {}  # writes that failed, by their paths

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._pool.__aexit__(*exc)

    @asynccontextmanager
    async def _connection(self, *, make_base: bool = False) -> AsyncIterator[FtpConnection]:
        async with self._turns, self._pool.connection(make_base=make_base) as ftp:
            yield ftp

    async def check(self, *, create: bool = False) -> None:
        async with self._connection(make_base=create):
            pass

    # Listings

    async def list(self) -> AsyncIterator[TreeFile | UnusableEntry]:
        levels: list[_Level] = []
        try:
            levels.append(await self._level("", levels))
            while levels:
                level = levels[-1]
                line = level.spool.readline()
                if not line:
                    levels.pop().spool.close()
                    continue
                entry = await self._entry(level.prefix, line.rstrip(b"\r\n"))
                if isinstance(entry, _Folder):
                    try:
                        levels.append(await self._level(entry.path, levels))
                    except FileDenied as error:
                        yield UnusableEntry(entry.path, str(error))
                elif entry is not None:
                    yield entry
        finally:
            for level in levels:
                level.spool.close()

    async def _level(self, folder: str, above: "Sequence[_Level]") -> "_Level":
        spool = await self._listing(folder)
        digest = hashlib.file_digest(spool, "sha256").digest()  # type: ignore[arg-type]
        spool.seek(0)
        if self._command == MLSD and sum(level.digest == digest for level in above) >= REPEATS:
            spool.close()
            raise FileDenied("It has the same entries as the folders above it. It may be a link to one of them.")
        return _Level(f"{folder}/" if folder else "", spool, digest)

    async def _listing(self, folder: str) -> IO[bytes]:
        """Return the listing of a folder by the best command that the server knows."""
        while True:
            command = self._command
            spool = cast("IO[bytes]", SpooledTemporaryFile(SPOOLED))  # noqa: SIM115 - the caller closes it
            try:
                async with self._connection() as ftp:
                    found = await ftp.list_into(folder, command, spool.write)
                if found is False:
                    raise FileDenied(
                        "A link to a folder is not followed, or the server does not let this user list it."
                    )
                spool.seek(0)
                if found and (command != NLST_ALL or _has_dots(spool)):
                    return spool
            except BaseException:
                spool.close()
                raise
            spool.close()
            if command == NLST:
                raise Unavailable("The FTP server knows neither MLSD nor NLST, so its files can't be listed.")
            self._command = NLST_ALL if command == MLSD else NLST

    async def _entry(self, folder: str, line: bytes) -> "TreeFile | UnusableEntry | _Folder | None":
        """Return the entry in a line of a listing; None if there is none."""
        facts, name_bytes = b"", line
        if self._command == MLSD:
            facts, _, name_bytes = line.partition(b" ")
        name_bytes = name_bytes.rpartition(b"/")[2]
        try:
            name = name_bytes.decode()
        except UnicodeDecodeError:
            path = f"{folder}{ascii(name_bytes)[2:-1]}"
            return UnusableEntry(path, "The name is not UTF-8, so it can't be an id. Rename the file.")
        path = folder + name
        if not name or name in HERE or name.endswith(TEMPORARY):
            return None
        if self._command != MLSD:
            return await self._asked(path)
        known = dict(fact.lower().partition("=")[::2] for fact in facts.decode(errors="replace").split(";"))
        kind = known.get("type", "file")
        if kind in ("cdir", "pdir"):
            return None
        if kind == "dir":
            return _Folder(path)
        if kind != "file" or not known.get("size", "").isdecimal():
            return await self._asked(path)  # such as a link
        try:
            return TreeFile(path, int(known["size"]), time_in(known.get("modify", "")))
        except ValueError:
            return TreeFile(path, int(known["size"]))

    async def _asked(self, path: str) -> "TreeFile | UnusableEntry | _Folder":
        if (found := await self._find(path)) is not None:
            return found
        async with self._connection() as ftp:
            if await ftp.is_accessible(path):
                return _Folder(path)
        return UnusableEntry(path, "The server reports no size of it. It may be denied, or not be a file.")

    # Files

    async def find(self, path: str) -> TreeFile | None:
        require_valid(path)
        if not path.endswith("/"):
            return await self._find(path)
        async with self._connection() as ftp:
            found = await ftp.is_accessible(path.rstrip("/"), follow_links=False)
            return TreeFile(path, 0) if found else None

    async def _find(self, path: str) -> TreeFile | None:
        async with self._connection() as ftp:
            return await _found(ftp, path)

    @asynccontextmanager
    async def read(self, file: TreeFile) -> AsyncIterator[OpenedFile]:
        async with self._connection() as ftp:
            await _require_same(ftp, file, "The file has changed since it was listed.")
            async with AsyncExitStack() as stack:
                try:
                    received = await stack.enter_async_context(ftp.retrieve(file.path, 0))
                except BlobError as error:
                    if error.reason is Reason.DENIED:
                        raise FileDenied(error.detail) from error
                    raise
                yield OpenedFile(FileProperties(file.modified_at), _chunks(ftp, file, received))

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        require_valid(path)
        folder = path.rpartition("/")[0]
        async with self._connection() as ftp:
            await self._make_folders(ftp, folder)
            if path.endswith("/"):
                return TreeFile(path, 0)
            if not replace and await ftp.size(path) is not None:
                raise FileExists("There is a file with this path.")
        # A STOR of a failed write may reach the server late, and would empty the file of the next write.
        failures = self._failures.get(path, 0)
        temporary = temporary_path(path, failures)
        try:
            async with self._connection() as ftp:
                try:
                    size = await self._store(ftp, temporary, chunks, about)
                    if not replace and await ftp.size(path) is not None:
                        raise FileExists("There is a file with this path.")
                    if await ftp.rename(temporary, path):
                        return await _written(ftp, path, size)
                except BlobError as error:
                    if ftp.in_step and error.reason is Reason.DENIED:
                        raise FileDenied(error.detail) from error
                    raise
            if not replace:
                raise PathConflict(NOT_RENAMED)
            return await run_to_completion(self._swap(path, temporary, size))
        except BaseException:
            self._folders = {""}  # one may have been removed
            self._failures[path] = failures + 1
            with suppress(BlobError):
                await run_to_completion(self._delete(temporary))
            raise

    async def _store(
        self, ftp: FtpConnection, temporary: str, chunks: AsyncIterable[bytes], about: FileProperties
    ) -> int:
        sent = await ftp.store(temporary, chunks)
        kept = await ftp.size(temporary)
        if kept != sent:
            raise Unavailable(f"The server keeps {kept} bytes of the {sent} it took.")
        if about.modified_at is not None and self._keeps_times:
            self._keeps_times = await ftp.set_modified_at(temporary, about.modified_at)
        return sent

    async def _swap(self, path: str, temporary: str, size: int) -> TreeFile:
        """Replace a file on a server that renames only to free names. After an error, the old file has its name again.

        Between the two renames, there is no file with this name.
        """
        aside = aside_path(path)
        async with self._connection() as ftp:
            if await ftp.size(path) is None or await ftp.is_accessible(path):
                raise PathConflict(NOT_RENAMED)
            await ftp.delete(aside)  # a killed export may have left it; the path has a whole file
        try:
            async with self._connection() as ftp:
                if not (await ftp.rename(path, aside) and await ftp.rename(temporary, path)):
                    raise PathConflict(NOT_RENAMED)
                written = await _written(ftp, path, size)
        except BaseException:
            await self._put_back(aside, path)
            raise
        with suppress(BlobError):
            await self._delete(aside)
        return written

    async def _put_back(self, aside: str, path: str) -> None:
        """Rename the old file back if it was renamed. Another connection does it: the first one may be lost."""
        with suppress(BlobError):
            async with self._connection() as ftp:
                has_moved = await ftp.size(path) is None and await ftp.size(aside) is not None
                if not has_moved or await ftp.rename(aside, path):
                    return
        raise PathConflict(f"The old file could not get its name back. Rename it: its name is {aside} now.")

    async def _make_folders(self, ftp: FtpConnection, folder: str) -> None:
        names = folder.split("/")
        for count in range(1, len(names) + 1):
            path = "/".join(names[:count])
            if path in self._folders:
                continue
            await ftp.make_folder(path)
            if not await ftp.is_accessible(path, follow_links=False):
                raise PathConflict("A file or a link is in the way of a folder, or the server denies it.")
            if len(self._folders) > 10_000:
                self._folders = {""}
            self._folders.add(path)

    async def _delete(self, path: str) -> None:
        async with self._connection() as ftp:
            await ftp.delete(path)


@dataclass(frozen=True, slots=True)
class _Level:
    """A folder that is being listed. `prefix`: of the paths in it. `digest`: of its listing."""

    prefix: str
    spool: IO[bytes]
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str


async def _chunks(ftp: FtpConnection, file: TreeFile, received: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in received:
        yield chunk
    await _require_same(ftp, file, "The file was changed while it was read.")


async def _found(ftp: FtpConnection, path: str) -> TreeFile | None:
    size = await ftp.size(path)
    return None if size is None else TreeFile(path, size, await ftp.modified_at(path))


async def _written(ftp: FtpConnection, path: str, size: int) -> TreeFile:
    found = await _found(ftp, path)
    if found is None or found.size != size:
        raise Unavailable("The server does not have the file that it has confirmed.")
    return found


async def _require_same(ftp: FtpConnection, file: TreeFile, detail: str) -> None:
    found = await _found(ftp, file.path)
    if found is None:
        raise FileGone("The file is not there any more.")
    # Some servers know times in listings only.
    known = replace(found, modified_at=found.modified_at and file.modified_at and found.modified_at)
    if known != replace(file, modified_at=file.modified_at and found.modified_at and file.modified_at):
        raise FileChanged(detail)


def _has_dots(spool: IO[bytes]) -> bool:
    """Return whether a listing has the folder itself, by which the server shows that it lists hidden files."""
    for line in spool:
        if line.rstrip(b"\r\n").rpartition(b"/")[2] == b".":
            spool.seek(0)
            return True
    return False
