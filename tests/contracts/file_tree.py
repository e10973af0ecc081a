"""The contract of `FileTree`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from application.ports.file_tree import (
    FileChanged,
    FileExists,
    FileGone,
    FileProperties,
    FileTree,
    InvalidPath,
    PathConflict,
    TreeFile,
)
from tests.contracts.blob_store import Fault, chunked, each, never, pattern

SIZES = [0, 1, 70_000, 3_000_001, 2 * 5 * 1024 * 1024 + 1]
# Names that a protocol may take for something else.
NAMES = [
    *("a", "a b", "ä", "e\u0301", "日本.txt", "🎬", "-x", ".hidden"),
    *("[a]*?", "type=dir; b", "a'b\"c", "back\\slash", "100%41"),
    *("sub/a", "sub/b/c", "-sub/a", "[s]/a", "sub b/a", ".sub/a"),
]
NO_PATHS = [
    *("", "/", "/etc/x", "..", "../x", "a/../../x", "a/..", ".", "./a", "a/./b", "a//b", "//", "d/../"),
    *("a.drivebay-part", "a.drivebay-part/b"),
]
THEN = datetime(2001, 2, 3, 4, 5, 6, 789_123, UTC)
OLD, NEW = b"old", b"newer"
NOTHING = FileProperties()


async def write(tree: FileTree, path: str, data: bytes, *, replace: bool = False) -> TreeFile:
    return await tree.write(path, chunked(data), NOTHING, replace=replace)


async def read(tree: FileTree, file: TreeFile) -> bytes:
    async with tree.read(file) as opened:
        found = [chunk async for chunk in opened.chunks]
    assert all(found), "a chunk is empty"
    return b"".join(found)


async def listed(tree: FileTree) -> dict[str, int]:
    """Return the sizes of all files. Nothing may be unusable, or listed twice."""
    found = [entry async for entry in tree.list()]
    files = {entry.path: entry.size for entry in found if isinstance(entry, TreeFile)}
    assert len(files) == len(found), found
    return files


class FileTreeContract:
    """The promises of every FileTree. An adapter adds a subclass with a `tree` fixture: a tree that is empty.

    `has_folders`: a path can't be both a file and the folder of another one. `keeps_times`: of the last write.
    """

    has_folders: ClassVar[bool] = True
    keeps_times: ClassVar[bool] = True

    async def test_what_was_written_is_read(self, tree: FileTree) -> None:
        for size in SIZES:
            data = pattern(size)
            written = await write(tree, f"sizes/{size}", data)
            assert (written.path, written.size) == (f"sizes/{size}", size)
            assert await read(tree, written) == data

    async def test_each_file_is_listed_once(self, tree: FileTree) -> None:
        assert await listed(tree) == {}
        for number, path in enumerate(NAMES):
            await write(tree, path, bytes(number))
        assert await listed(tree) == {path: number for number, path in enumerate(NAMES)}
        async for entry in tree.list():
            assert isinstance(entry, TreeFile)
            assert await read(tree, entry) == bytes(entry.size)

    async def test_a_file_is_found_or_not(self, tree: FileTree) -> None:
        assert await tree.find("sub/a") is None
        written = await write(tree, "sub/a", OLD)
        found = await tree.find("sub/a")
        assert found == written
        assert [await tree.find(path) for path in ("sub", "sub/b", "a", "sub/a/b")] == [None] * 4

    async def test_a_file_is_replaced_only_if_asked(self, tree: FileTree) -> None:
        written = await write(tree, "a", OLD)
        with pytest.raises(FileExists):
            await write(tree, "a", NEW)
        assert await read(tree, written) == OLD
        assert await listed(tree) == {"a": len(OLD)}
        replaced = await write(tree, "a", NEW, replace=True)
        assert await read(tree, replaced) == NEW
        assert await read(tree, await write(tree, "b", NEW, replace=True)) == NEW
        assert await listed(tree) == {"a": len(NEW), "b": len(NEW)}

    @pytest.mark.parametrize("replace", [False, True])
    async def test_a_file_appears_whole(self, tree: FileTree, replace: bool) -> None:
        if replace:
            await write(tree, "a", OLD)
        before = await tree.find("a")

        async def looking() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield pattern(100_000)
                assert await tree.find("a") == before
                assert await listed(tree) == ({"a": len(OLD)} if replace else {})

        await tree.write("a", looking(), NOTHING, replace=replace)
        assert await listed(tree) == {"a": 300_000}

    @pytest.mark.parametrize("replace", [False, True])
    async def test_a_write_that_fails_leaves_what_was_there(self, tree: FileTree, replace: bool) -> None:
        if replace:
            await write(tree, "a", OLD)

        async def failing(size: int) -> AsyncIterator[bytes]:
            yield pattern(size)
            raise Fault

        for size in (1, 300_000, 6 * 1024 * 1024):
            with pytest.raises(Fault):
                await tree.write("a", failing(size), NOTHING, replace=replace)
            assert await listed(tree) == ({"a": len(OLD)} if replace else {})
        assert await read(tree, await write(tree, "a", NEW, replace=replace)) == NEW

    async def test_a_cancelled_write_leaves_nothing(self, tree: FileTree) -> None:
        for size in (1, 6 * 1024 * 1024):
            begun = asyncio.Event()

            async def sticking(size: int = size, begun: asyncio.Event = begun) -> AsyncIterator[bytes]:
                yield pattern(size)
                begun.set()
                await never()

            writing = asyncio.create_task(tree.write("a", sticking(), NOTHING))
            await begun.wait()
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            assert await listed(tree) == {}
        assert await read(tree, await write(tree, "a", NEW)) == NEW

    async def test_a_path_that_is_none_is_refused(self, tree: FileTree) -> None:
        for path in NO_PATHS:
            with pytest.raises(InvalidPath):
                await tree.find(path)
            with pytest.raises(InvalidPath):
                await write(tree, path, NEW, replace=True)
        assert await listed(tree) == {}

    async def test_a_name_is_a_file_or_a_folder(self, tree: FileTree) -> None:
        await write(tree, "file", OLD)
        await write(tree, "folder/a", OLD)
        if self.has_folders:
            for path in ("file/a", "file/b/c", "folder"):
                with pytest.raises(PathConflict):
                    await write(tree, path, NEW, replace=True)
        assert await listed(tree) == {"file": len(OLD), "folder/a": len(OLD)}

    async def test_an_empty_folder_is_made(self, tree: FileTree) -> None:
        await tree.write("above/folder/", each([]), NOTHING)
        found = await tree.find("above/folder/")
        assert found is not None
        assert found.size == 0
        assert await tree.find("above/other/") is None
        await write(tree, "above/folder/a", OLD)
        assert (await listed(tree))["above/folder/a"] == len(OLD)

    async def test_a_file_that_is_not_the_listed_one_is_not_read(self, tree: FileTree) -> None:
        written = await write(tree, "a", OLD)
        await write(tree, "a", NEW, replace=True)
        with pytest.raises(FileChanged):
            await read(tree, written)
        with pytest.raises(FileGone):
            await read(tree, TreeFile("b", 1, THEN))

    async def test_the_time_is_kept(self, tree: FileTree) -> None:
        for time in (THEN, datetime(1971, 1, 1, tzinfo=UTC), datetime(2037, 7, 1, 12, tzinfo=UTC)):
            before = datetime.now(UTC) - timedelta(seconds=5)
            await tree.write("a", chunked(OLD), FileProperties(time), replace=True)
            [file] = [entry async for entry in tree.list()]
            assert isinstance(file, TreeFile)
            found = await tree.find("a")
            assert found is not None
            async with tree.read(file) as opened:
                opened_at = opened.about.modified_at
            if self.keeps_times:
                expected = time - timedelta(microseconds=time.microsecond) % tree.resolution
                assert (found.modified_at, opened_at) == (expected, expected)
            else:
                assert opened_at is None or opened_at > before

    async def test_reads_that_are_left_early_free_what_they_hold(self, tree: FileTree) -> None:
        written = await write(tree, "a", pattern(3_000_000))
        for _ in range(4):
            async with tree.read(written):
                pass
            async with tree.read(written) as opened:
                assert await anext(opened.chunks)
        assert await read(tree, written) == pattern(3_000_000)
