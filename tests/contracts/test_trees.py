"""The trees of files, each with the contract, and with what only one of them can meet."""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import aioftp
import pytest

from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.connection import FtpConnection
from adapters.storage.ftp.features import FtpFeatures
from adapters.storage.s3.config import S3Config
from adapters.trees.bucket import BucketTree
from adapters.trees.folder import FolderTree
from adapters.trees.ftp import FtpTree
from adapters.trees.temporary import aside_path, temporary_path
from application.ports.file_tree import (
    FileChanged,
    FileExists,
    FileProperties,
    FileTree,
    InvalidPath,
    PathConflict,
    TreeError,
    TreeFile,
    UnusableEntry,
)
from domain.blob import Digest
from domain.errors import BlobError, Unavailable
from domain.properties import Properties
from tests.backends import ceph
from tests.backends.ftp import FtpServer
from tests.contracts.blob_store import chunked, each, pattern
from tests.contracts.file_tree import NEW, NOTHING, OLD, THEN, FileTreeContract, listed, read, write
from tests.contracts.memory_tree import MemoryTree
from tests.contracts.test_ftp import config_of
from tests.faults.databases import DEADLINE
from tests.owners import another_owner

POLLS = 500


class TestMemory(FileTreeContract):
    @pytest.fixture
    def tree(self) -> FileTree:
        return MemoryTree()


class Syncs:
    """The fsyncs in order: the path of each, and the names in it if it is a folder. `error`: the errno for folders."""

    def __init__(self) -> None:
        self.made: list[tuple[str, list[str]]] = []
        self.error = 0
        self._fsync = os.fsync

    def fsync(self, descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        if is_folder and self.error:
            raise OSError(self.error, os.strerror(self.error))
        self._fsync(descriptor)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.made.append((path, sorted(os.listdir(descriptor)) if is_folder else []))


class TestFolder(FileTreeContract):
    @pytest.fixture
    async def tree(self, tmp_path: Path) -> AsyncIterator[FileTree]:
        async with FolderTree(tmp_path / "tree", threads=2) as tree:
            await tree.check(create=True)
            yield tree

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "tree"

    @pytest.fixture
    def syncs(self, tree: FileTree, monkeypatch: pytest.MonkeyPatch) -> Syncs:
        """The fsyncs after the root was made."""
        syncs = Syncs()
        monkeypatch.setattr(os, "fsync", syncs.fsync)
        return syncs

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

    @pytest.mark.parametrize(("mode", "passed_on"), [(0o600, 0o600), (0o755, 0o755), (0o4640, 0o640)])
    @pytest.mark.parametrize("is_continued", [False, True])
    async def test_a_replaced_file_passes_on_its_rights(
        self, tree: FileTree, root: Path, mode: int, passed_on: int, is_continued: bool
    ) -> None:
        (root / "a").write_bytes(OLD)
        (root / "a").chmod(mode)
        part = root / temporary_path("a")
        if is_continued:
            part.touch(0o666)

        async def looking() -> AsyncIterator[bytes]:
            yield NEW
            assert stat.S_IMODE(part.stat().st_mode) == 0o600

        await tree.write("a", looking(), NOTHING, replace=True)
        assert (root / "a").read_bytes() == NEW
        assert stat.S_IMODE((root / "a").stat().st_mode) == passed_on

    async def test_a_replaced_file_passes_on_its_owner(self, tree: FileTree, root: Path) -> None:
        (root / "a").write_bytes(OLD)
        os.chown(root / "a", *another_owner())
        await write(tree, "a", NEW, replace=True)
        status = (root / "a").stat()
        assert (status.st_uid, status.st_gid) == another_owner()

    @pytest.mark.parametrize("replace", [False, True])
    async def test_the_names_of_what_is_written_are_durable(
        self, tree: FileTree, root: Path, syncs: Syncs, replace: bool
    ) -> None:
        if replace:
            (root / "new" / "sub").mkdir(parents=True)
            (root / "new" / "sub" / "a").write_bytes(OLD)
        await write(tree, "new/sub/a", NEW, replace=replace)
        part, sub = str(root / temporary_path("new/sub/a")), str(root / "new" / "sub")
        folders = [] if replace else [(str(root), ["new"]), (str(root / "new"), ["sub"])]
        assert syncs.made == [*folders, (part, []), (sub, ["a"])]

    async def test_the_names_of_new_folders_are_durable(self, tree: FileTree, root: Path, syncs: Syncs) -> None:
        await tree.write("new/sub/", each([]), NOTHING)
        assert syncs.made == [(str(root), ["new"]), (str(root / "new"), ["sub"])]
        syncs.made.clear()
        async with FolderTree(root / "new" / "root") as other:
            await other.check(create=True)
            await other.check(create=True)
        assert syncs.made == [(str(root / "new"), ["root", "sub"])]

    async def test_what_can_not_be_made_durable_is_removed(self, tree: FileTree, root: Path, syncs: Syncs) -> None:
        """The next export would find it, and take it for durable."""
        syncs.error = errno.EIO
        for path in ("a", "new/a", "new/"):
            with pytest.raises(TreeError, match="Input/output error"):
                await tree.write(path, each([NEW] if path == "a" else []), NOTHING)
            assert os.listdir(root) == []

    async def test_folders_that_can_not_be_synced(self, tree: FileTree, root: Path, syncs: Syncs) -> None:
        """Those of some virtual machines."""
        syncs.error = errno.EINVAL
        await write(tree, "new/a", NEW)
        assert (root / "new" / "a").read_bytes() == NEW

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


class BucketContract(FileTreeContract):
    """What only a bucket can keep."""

    has_folders = False

    @pytest.fixture
    async def bucket(self) -> S3Config:
        raise NotImplementedError

    @pytest.fixture
    async def tree(self, bucket: S3Config) -> AsyncIterator[FileTree]:
        async with BucketTree(bucket, "below/here") as tree:
            await tree.check()
            yield tree
            async with ceph.client(bucket) as s3:
                async for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket.bucket):
                    for found in page.get("Contents", []):
                        await s3.delete_object(Bucket=bucket.bucket, Key=found["Key"])
                uploads = await s3.list_multipart_uploads(Bucket=bucket.bucket)
                assert not uploads.get("Uploads"), "an upload is left open"

    async def test_metadata_are_kept(self, tree: FileTree) -> None:
        properties = Properties(
            "image/png", "gzip", "de", "inline", "no-store", {"author": "Ada", "town": "Düsseldorf", "odd": "=?x"}
        )
        for size in (3, 6 * 1024 * 1024):
            about = FileProperties(THEN, Digest(bytes(range(32))), properties)
            written = await tree.write("a", chunked(pattern(size)), about, replace=True)
            assert (written.modified_at, written.digest) == (THEN, about.digest)
            [listed] = [entry async for entry in tree.list()]
            assert isinstance(listed, TreeFile)
            assert listed.etag == written.etag
            async with tree.read(listed) as opened:
                assert opened.about == about

    async def test_keys_next_to_the_prefix_are_not_listed(self, tree: FileTree, bucket: S3Config) -> None:
        async with ceph.client(bucket) as s3:
            for key in ("below/hereafter", "below/here", "below/her", "other", "below/here/", "below/here//x"):
                await s3.put_object(Bucket=bucket.bucket, Key=key, Body=b"x")
        await write(tree, "a", OLD)
        assert await listed(tree) == {"a": len(OLD), "/x": 1}
        assert await read(tree, TreeFile("/x", 1)) == b"x"

    async def test_an_upload_that_a_killed_export_left_is_aborted(self, tree: FileTree, bucket: S3Config) -> None:
        async with ceph.client(bucket) as s3:
            await s3.create_multipart_upload(Bucket=bucket.bucket, Key="below/here/a")
        await write(tree, "a", pattern(6 * 1024 * 1024))

    async def test_a_bucket_that_is_not_there(self, bucket: S3Config) -> None:
        async with BucketTree(replace(bucket, bucket="no-such-bucket")) as tree:
            with pytest.raises(Unavailable):
                await tree.check(create=True)


@pytest.mark.docker
class TestBucketOnCeph(BucketContract):
    @pytest.fixture
    async def bucket(self, s3_bucket: S3Config) -> S3Config:
        return s3_bucket

    async def test_more_objects_than_a_page(self, tree: FileTree, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("adapters.trees.bucket.PAGE", 3)
        names = [f"{number:04}" for number in range(10)]
        for name in names:
            await write(tree, name, b"")
        assert await listed(tree) == dict.fromkeys(names, 0)


class FtpContract(FileTreeContract):
    """What only an FTP server can meet."""

    @pytest.fixture
    async def config(self) -> FtpConfig:
        raise NotImplementedError

    @pytest.fixture
    async def tree(self, config: FtpConfig) -> AsyncIterator[FileTree]:
        async with FtpTree(replace(config, connections=2)) as tree:
            await tree.check(create=True)
            yield tree

    async def test_more_files_at_once_than_connections(self, tree: FileTree) -> None:
        names = [f"sub/{number}" for number in range(8)]
        await asyncio.gather(*(write(tree, name, pattern(100_000)) for name in names))
        assert await listed(tree) == dict.fromkeys(names, 100_000)

    async def test_folders_with_odd_names_are_not_taken_for_links(self, tree: FileTree) -> None:
        paths = ['qu"ote/a', '"/"/a', "ä/日本/a", "back\\slash/a", "sp ace/a"]
        for path in paths:
            await write(tree, path, OLD)
        assert await listed(tree) == dict.fromkeys(paths, len(OLD))

    async def test_nested_folders_with_the_same_names_are_not_taken_for_links(self, tree: FileTree) -> None:
        paths = {f"{'a/' * count}file": count for count in range(9)}
        for path, size in paths.items():
            await write(tree, path, bytes(size))
        assert await listed(tree) == paths

    async def test_a_folder_that_is_not_there(self, config: FtpConfig) -> None:
        async with FtpTree(replace(config, base_path=f"{config.base_path}/nothing")) as tree:
            with pytest.raises(BlobError):
                await tree.check()


class TestFtpOnAioftp(FtpContract):
    """A server that knows neither SIZE, MDTM nor MFMT, and says 451 where a file is in the way of a folder."""

    has_folders = False
    keeps_times = False

    async def test_links_to_the_same_folder_come_to_an_end(self, tree: FileTree, tmp_path: Path) -> None:
        """The server replies to PWD with the path as it was entered, so it does not show links."""
        await write(tree, "folder/file", OLD)
        for name in ("one", "two"):
            (tmp_path / "tree" / name).symlink_to(".")
        async with asyncio.timeout(DEADLINE):
            found = {entry.path: type(entry) async for entry in tree.list()}
        assert found["folder/file"] is TreeFile
        assert found["one/one/one/one/one"] is UnusableEntry

    async def test_a_late_command_of_a_failed_write_leaves_the_next_one_whole(
        self, tree: FileTree, tmp_path: Path
    ) -> None:
        root, data = tmp_path / "tree", pattern(200_000)

        async def failing() -> AsyncIterator[bytes]:
            yield data
            raise LookupError

        async def overtaken() -> AsyncIterator[bytes]:
            yield data[:100_000]
            for _ in range(POLLS):
                if any(path.stat().st_size for path in root.iterdir()):
                    break
                await asyncio.sleep(0.02)
            (root / temporary_path("a")).write_bytes(b"")  # as the STOR of the first write does
            yield data[100_000:]

        with pytest.raises(LookupError):
            await tree.write("a", failing(), NOTHING)
        await tree.write("a", overtaken(), NOTHING)
        assert (root / "a").read_bytes() == data

    @pytest.fixture
    async def config(self, tmp_path: Path) -> AsyncIterator[FtpConfig]:
        server = aioftp.Server([aioftp.User("somebody", "secret", base_path=tmp_path)])
        await server.start("127.0.0.1")
        yield FtpConfig("127.0.0.1", "somebody", "secret", server.server_port, "tree", tls="none")
        await server.close()


class RenameHookServer(aioftp.Server):
    """A server that renames only to free names, and calls `hook` before: with the names that a file has, and would get.

    It denies the rename if that returns False, and hangs up if it returns None.
    """

    hook: Callable[[str, str], Awaitable[bool | None]]

    async def rnto(self, connection: Any, rest: str | PurePosixPath) -> bool:
        allowed = await self.hook(connection.rename_from.name, PurePosixPath(rest).name)
        if allowed:
            return await super().rnto(connection, rest)
        if allowed is not None:
            connection.response("550", "Denied.")
        return allowed is not None


class TestFtpWithoutReplacingRenames:
    """Replacements of a file on a server that renames only to free names."""

    aside, temporary = aside_path("a"), temporary_path("a")

    @pytest.fixture
    async def server(self, root: Path) -> AsyncIterator[RenameHookServer]:
        server = RenameHookServer([aioftp.User("somebody", "secret", base_path=root)])
        await server.start("127.0.0.1")
        yield server
        await server.close()

    @pytest.fixture
    async def tree(self, server: RenameHookServer) -> AsyncIterator[FileTree]:
        config = FtpConfig("127.0.0.1", "somebody", "secret", server.server_port, tls="none", connections=1)
        async with FtpTree(config) as tree:
            yield tree

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "a").write_bytes(OLD)
        return tmp_path

    @pytest.mark.parametrize("allowed", [[], [("a", aside), (aside, "a")]], ids=["all", "the new file"])
    async def test_a_denied_rename_leaves_the_old_file(
        self, server: RenameHookServer, tree: FileTree, root: Path, allowed: list[tuple[str, str]]
    ) -> None:
        async def hook(*names: str) -> bool:
            return names in allowed

        server.hook = hook
        with pytest.raises(PathConflict, match="denies the rename"):
            await write(tree, "a", NEW, replace=True)
        assert contents(root) == {"a": OLD}

    @pytest.mark.parametrize("has_moved", [False, True])
    async def test_a_lost_connection_leaves_the_old_file(
        self, server: RenameHookServer, tree: FileTree, root: Path, has_moved: bool
    ) -> None:
        """Before the old file is renamed, or after."""

        async def hook(name: str, _: str) -> bool | None:
            lost = (self.temporary if has_moved else "a", has_moved)
            return None if (name, not (root / "a").exists()) == lost else True

        server.hook = hook
        with pytest.raises(Unavailable):
            await write(tree, "a", NEW, replace=True)
        assert contents(root) == {"a": OLD}

    async def test_a_cancellation_leaves_a_whole_file(
        self, server: RenameHookServer, tree: FileTree, root: Path
    ) -> None:
        between, go_on = asyncio.Event(), asyncio.Event()

        async def hook(*_: str) -> bool:
            if not (root / "a").exists():
                between.set()
                await go_on.wait()
            return True

        server.hook = hook
        writing = asyncio.create_task(write(tree, "a", NEW, replace=True))
        await between.wait()
        writing.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert contents(root) == {"a": NEW}

    async def test_an_old_file_that_can_not_get_its_name_back_is_reported(
        self, server: RenameHookServer, tree: FileTree, root: Path
    ) -> None:
        async def hook(*names: str) -> bool:
            return names == ("a", self.aside)

        server.hook = hook
        with pytest.raises(PathConflict, match=self.aside):
            await write(tree, "a", NEW, replace=True)
        assert contents(root) == {self.aside: OLD}

    async def test_an_old_file_that_a_killed_write_has_left_is_replaced(
        self, server: RenameHookServer, tree: FileTree, root: Path
    ) -> None:
        async def hook(*_: str) -> bool:
            return True

        server.hook = hook
        (root / self.aside).write_bytes(pattern(100))
        assert await listed(tree) == {"a": len(OLD)}
        await write(tree, "a", NEW, replace=True)
        assert contents(root) == {"a": NEW}

    async def test_a_folder_is_not_renamed(self, server: RenameHookServer, tree: FileTree, root: Path) -> None:
        async def hook(_: str, new_name: str) -> bool:
            return new_name != "folder"

        server.hook = hook
        (root / "folder").mkdir()
        with pytest.raises(PathConflict):
            await write(tree, "folder", NEW, replace=True)
        assert sorted(os.listdir(root)) == ["a", "folder"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class LinkShowingServer(aioftp.Server):
    """A server that replies to PWD with a path without links, and takes CDUP from there, as most do."""

    async def cwd(self, connection: Any, rest: str | PurePosixPath) -> bool:
        is_done = await super().cwd(connection, rest)
        base = connection.user.base_path
        real, _ = self.get_paths(connection, connection.current_directory)
        connection.current_directory = PurePosixPath("/") / real.resolve().relative_to(base.resolve())
        return is_done


class NlstServer(LinkShowingServer):
    """One that knows no MLSD, such as vsftpd."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.commands_mapping["nlst"] = self.nlst
        del self.commands_mapping["mlsd"]

    async def nlst(self, connection: Any, _: str) -> Any:
        return await self.list(connection, ".")

    async def build_list_string(self, _: Any, path: PurePosixPath) -> str:
        return path.name


@pytest.mark.parametrize("make", [LinkShowingServer, NlstServer])
class TestFtpWithLinks(FtpContract):
    """A server that shows where links lead to."""

    has_folders = False
    keeps_times = False

    @pytest.fixture
    async def config(self, tmp_path: Path, make: type[aioftp.Server]) -> AsyncIterator[FtpConfig]:
        server = make([aioftp.User("somebody", "secret", base_path=tmp_path)])
        await server.start("127.0.0.1")
        yield FtpConfig("127.0.0.1", "somebody", "secret", server.server_port, "tree", tls="none")
        await server.close()

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "tree"

    @pytest.fixture
    def outside(self, tree: FileTree, root: Path) -> Path:
        """A folder outside of the root, to which a link leads, with files whose names are in the root too."""
        outside = root.parent / "outside"
        (outside / "deep").mkdir(parents=True)
        (root / "link").symlink_to("../outside/deep")
        for file in (root / "a", root / "b", outside / "a", outside / "deep" / "a"):
            file.write_bytes(OLD)
        return outside

    async def test_a_link_leads_nowhere(self, tree: FileTree, root: Path, outside: Path) -> None:
        for path in ("link/a", "link/new", "link/new/", "link/sub/a"):
            with pytest.raises(PathConflict):
                await write(tree, path, NEW, replace=True)
            await write(tree, "a", NEW, replace=True)
        assert await tree.find("link/") is None
        assert sorted(os.listdir(root)) == ["a", "b", "link"]
        assert (root / "a").read_bytes() == NEW
        assert sorted(os.listdir(outside)) == ["a", "deep"]
        assert os.listdir(outside / "deep") == ["a"]
        assert (outside / "a").read_bytes() == (outside / "deep" / "a").read_bytes() == OLD

    async def test_links_to_folders_are_not_followed(self, tree: FileTree, root: Path, outside: Path) -> None:
        (root / "sub" / "folder").mkdir(parents=True)
        (root / "sub" / "file").write_bytes(OLD)
        (root / "to-file").symlink_to("sub/file")
        targets = {"self": ".", "again": ".", "sub/sibling": "folder", "sub/up": "..", "sub/folder/up": "../.."}
        for name, target in {**targets, "sub/folder/outside": str(outside)}.items():
            (root / name).symlink_to(target)
        async with asyncio.timeout(DEADLINE):
            found = [entry async for entry in tree.list()]
        assert len(found) == len({entry.path for entry in found})
        assert {entry.path: type(entry) for entry in found} == {
            **dict.fromkeys(["a", "b", "sub/file", "to-file"], TreeFile),
            **dict.fromkeys(["link", "sub/folder/outside", *targets], UnusableEntry),
        }

    async def test_a_connection_is_in_the_root_after_a_link(self, config: FtpConfig, outside: Path) -> None:
        ftp = await FtpConnection(config, None, FtpFeatures(config.passive)).open(make_base=False)
        assert await ftp.is_accessible("link")
        assert sorted(await ftp.names()) == ["a", "b", "link"]
        assert not await ftp.is_accessible("link", follow_links=False)
        assert sorted(await ftp.names()) == ["a", "b", "link"]
        ftp.disconnect()


@pytest.mark.docker
class TestFtpOnVsftpd(FtpContract):
    @pytest.fixture
    def config(self, vsftpd_server: FtpServer) -> FtpConfig:
        return replace(config_of(vsftpd_server), base_path=f"tree-{os.urandom(8).hex()}")


@pytest.mark.docker
class TestFtpOnProftpd(FtpContract):
    @pytest.fixture
    def config(self, proftpd_server: FtpServer) -> FtpConfig:
        return replace(config_of(proftpd_server), base_path=f"tree-{os.urandom(8).hex()}")
