"""The trees of files, each with the contract, and with what only one of them can meet."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.trees.folder import FolderTree
from adapters.trees.temporary import temporary_path
from application.ports.file_tree import (
    FileChanged,
    FileExists,
    FileTree,
    InvalidPath,
    PathConflict,
    TreeFile,
    UnusableEntry,
)
from domain.errors import Unavailable
from tests.contracts.blob_store import pattern
from tests.contracts.file_tree import NEW, NOTHING, OLD, FileTreeContract, listed, read, write
from tests.contracts.memory_tree import MemoryTree


class TestMemory(FileTreeContract):
    @pytest.fixture
    def tree(self) -> FileTree:
        return MemoryTree()


class TestFolder(FileTreeContract):
    @pytest.fixture
    async def tree(self, tmp_path: Path) -> AsyncIterator[FileTree]:
        async with FolderTree(tmp_path / "tree", threads=2) as tree:
            await tree.check(create=True)
            yield tree

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "tree"

    async def test_a_file_that_is_changed_while_it_is_read(self, tree: FileTree, root: Path) -> None:
        file = await write(tree, "a", pattern(3_000_000))

        async def reading() -> None:
            async with tree.read(file) as opened:
                assert await anext(opened.chunks)
                os.truncate(root / "a", 2_000_000)
                async for _ in opened.chunks:
                    pass

        with pytest.raises(FileChanged):
            await reading()

    async def test_entries_that_are_no_files_are_listed_as_such(self, tree: FileTree, root: Path) -> None:
        (root / "folder").mkdir()
        (root / "folder" / "file").write_bytes(OLD)
        (root / "to-file").symlink_to("folder/file")
        (root / "to-folder").symlink_to("folder")
        (root / "to-nothing").symlink_to("nothing")
        os.mkfifo(root / "pipe")
        os.close(os.open(os.fsencode(root) + b"/\xff", os.O_CREAT))
        found = {entry.path: entry async for entry in tree.list()}
        assert {path: type(entry) for path, entry in found.items()} == {
            **dict.fromkeys(["folder/file", "to-file"], TreeFile),
            **dict.fromkeys(["to-folder", "to-nothing", "pipe", "\\udcff"], UnusableEntry),
        }
        assert isinstance(found["to-file"], TreeFile)
        assert await read(tree, found["to-file"]) == OLD

    async def test_a_link_leads_nowhere(self, tree: FileTree, root: Path) -> None:
        outside = root.parent / "outside"
        outside.mkdir()
        (outside / "file").write_bytes(OLD)
        (root / "to-folder").symlink_to(outside)
        (root / "to-file").symlink_to(outside / "file")
        (root / "to-nothing").symlink_to(outside / "nothing")
        for path in ("to-folder/file", "to-folder/new", "to-folder/new/", "to-folder/a/b"):
            with pytest.raises(PathConflict):
                await write(tree, path, NEW, replace=True)
        for path in ("to-file", "to-nothing"):
            with pytest.raises(FileExists):
                await write(tree, path, NEW)
            await write(tree, path, NEW, replace=True)
            assert not (root / path).is_symlink()
        assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"file": OLD}

    async def test_a_link_at_the_temporary_name_leads_nowhere(self, tree: FileTree, root: Path) -> None:
        outside = root.parent / "outside"
        outside.write_bytes(OLD)
        (root / temporary_path("a")).symlink_to(outside)
        with pytest.raises(PathConflict):
            await write(tree, "a", NEW)
        assert outside.read_bytes() == OLD

    async def test_what_a_killed_write_has_left_is_replaced(self, tree: FileTree, root: Path) -> None:
        (root / temporary_path("a")).write_bytes(pattern(100))
        assert await listed(tree) == {}
        await write(tree, "a", NEW)
        assert os.listdir(root) == ["a"]

    async def test_two_exports_do_not_write_one_file(self, tree: FileTree) -> None:
        async def meeting() -> AsyncIterator[bytes]:
            yield OLD
            with pytest.raises(FileExists, match="Another export"):
                await write(tree, "a", NEW)

        assert await read(tree, await tree.write("a", meeting(), NOTHING)) == OLD

    async def test_a_file_that_appears_meanwhile_is_not_replaced(self, tree: FileTree, root: Path) -> None:
        async def late() -> AsyncIterator[bytes]:
            yield NEW
            (root / "a").write_bytes(OLD)

        with pytest.raises(FileExists):
            await tree.write("a", late(), NOTHING)
        assert (root / "a").read_bytes() == OLD
        assert os.listdir(root) == ["a"]

    async def test_names_that_are_too_long(self, tree: FileTree) -> None:
        for path in ("x" * 256, f"{'x' * 256}/a"):
            with pytest.raises(InvalidPath):
                await write(tree, path, NEW)

    async def test_the_rights_are_those_of_new_files(self, tree: FileTree, root: Path) -> None:
        await write(tree, "a", NEW)
        (root / "b").write_bytes(NEW)
        assert stat.S_IMODE((root / "a").stat().st_mode) == stat.S_IMODE((root / "b").stat().st_mode)

    async def test_a_root_that_is_not_there(self, tmp_path: Path) -> None:
        async with FolderTree(tmp_path / "a" / "b") as tree:
            for create in (False, True):
                with pytest.raises(Unavailable, match="There is no folder"):
                    await tree.check(create=create)

    async def test_more_entries_than_a_page(self, tree: FileTree, root: Path) -> None:
        names = {f"{number:04}" for number in range(1201)}
        for name in names:
            (root / name).touch()
        assert await listed(tree) == dict.fromkeys(names, 0)
