"""A tree of files in memory, which keeps the contract in few lines."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from application.ports.file_times import MICROSECOND
from application.ports.file_tree import (
    FileChanged,
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

CHUNK = 65_536


@dataclass(frozen=True)
class Kept:
    """A file that is kept."""

    file: TreeFile
    data: bytes


class MemoryTree(FileTree):
    """Files by their paths. `reads`: the paths that were read. `unusable`: entries that are listed too."""

    resolution = MICROSECOND

    def __init__(self) -> None:
        self.files = dict[str, Kept]()
        self.folders = set[str]()
        self.reads = list[str]()
        self.unusable = list[UnusableEntry]()

    async def check(self, *, create: bool = False) -> None:
        pass

    async def list(self) -> AsyncIterator[TreeFile | UnusableEntry]:
        for kept in list_of(self.files):
            await asyncio.sleep(0)
            yield kept.file
        for entry in list_of_entries(self.unusable):
            yield entry

    async def find(self, path: str) -> TreeFile | None:
        require_valid(path)
        if path in self.folders:
            return TreeFile(path, 0)
        return self.files[path].file if path in self.files else None

    @asynccontextmanager
    async def read(self, file: TreeFile) -> AsyncIterator[OpenedFile]:
        self.reads.append(file.path)
        if (kept := self.files.get(file.path)) is None:
            raise FileGone("It is gone.")
        if kept.file != file:
            raise FileChanged("It has changed.")
        yield OpenedFile(FileProperties(kept.file.modified_at), self.chunks(kept))

    async def chunks(self, kept: Kept) -> AsyncIterator[bytes]:
        for start in range(0, len(kept.data), CHUNK):
            await asyncio.sleep(0)
            yield kept.data[start : start + CHUNK]

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        require_valid(path)
        data = b"".join([chunk async for chunk in chunks])
        self._require_room(path, replace=replace)
        if path.endswith("/"):
            self.folders.add(path)
            return TreeFile(path, 0)
        return self.put(path, data, about.modified_at)

    def put(self, path: str, data: bytes, modified_at: datetime | None = None) -> TreeFile:
        file = TreeFile(path, len(data), modified_at or datetime.now(UTC))
        self.files[path] = Kept(file, data)
        return file

    def _require_room(self, path: str, *, replace: bool) -> None:
        parts = path.split("/")
        if any("/".join(parts[:count]) in self.files for count in range(1, len(parts))):
            raise PathConflict("A file is in the way.")
        if any(each.startswith(f"{path}/") for each in self.files):
            raise PathConflict("A folder is in the way.")
        if path in self.files and not replace:
            raise FileExists("There is one.")


def list_of(files: dict[str, Kept]) -> list[Kept]:
    return list(files.values())


def list_of_entries(entries: list[UnusableEntry]) -> list[UnusableEntry]:
    return list(entries)
