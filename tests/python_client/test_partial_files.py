"""Files that are downloaded: which bytes of an interrupted run are trusted, on disks that fail and lose their power."""

import asyncio
import errno
import itertools
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import drivebay
import pytest

from entrypoints.client.flows.commands import Work
from entrypoints.client.flows.downloads import download
from entrypoints.client.flows.journal import PartialFile
from tests.contracts.blob_store import MIB
from tests.python_client.conftest import names_in


class Disk:
    """The flushes of this process, by the names of files. They raise an error for names in `failing`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events = list[str]()
        self.failing = set[str]()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._sync)

    def _sync(self, file: int) -> None:
        name = name_of(file)
        self.events.append(f"sync {name}")
        if name in self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fsync(file)


def name_of(file: int) -> str:
    return Path(os.readlink(f"/proc/self/fd/{file}")).name


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


class TestFlush:
    async def test_bytes_that_were_not_made_durable_are_fetched_again(
        self, client: Any, prefix: str, tmp_path: Path, disk: Disk
    ) -> None:
        path, seen = tmp_path / "file", list[int]()
        await client.put(prefix, os.urandom(9 * MIB))
        path.write_bytes(b"before")
        disk.failing = {".file.drivebay-part"}
        with pytest.raises(OSError, match="Input/output error"):
            await client.download(prefix, path)
        assert path.read_bytes() == b"before"
        assert names_in(tmp_path) == ["file"]
        disk.failing = set()
        await client.download(prefix, path, progress=lambda done, _: seen.append(done))
        assert seen[0] == 0
        assert path.stat().st_size == 9 * MIB

    async def test_the_name_of_a_file_is_made_durable(
        self, client: Any, prefix: str, tmp_path: Path, disk: Disk
    ) -> None:
        await client.put(prefix, b"x")
        await client.download(prefix, tmp_path / "file")
        assert disk.events == ["sync .file.drivebay-part", f"sync {tmp_path.name}"]
        disk.failing = {tmp_path.name}
        with pytest.raises(OSError, match="Input/output error"):
            await client.download(prefix, tmp_path / "file")

    async def test_a_folder_whose_names_may_not_be_listed(
        self, client: Any, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real_open = os.open

        def refuse(path: Any, *arguments: Any) -> int:
            if path == tmp_path:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return real_open(path, *arguments)

        await client.put(prefix, b"x")
        monkeypatch.setattr(os, "open", refuse)
        await client.download(prefix, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == b"x"


class TestPowerCut:
    async def test_without_a_digest_a_block_is_durable_before_it_is_noted(
        self, client: Any, prefix: str, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real_write, real_pwrite = os.write, os.pwrite

        def write(file: int, data: bytes) -> int:
            if name_of(file).endswith(".state"):
                disk.events.append(f"note {data.decode().strip()}")
            return real_write(file, data)

        def pwrite(file: int, data: bytes, offset: int) -> int:
            disk.events.append("write")
            return real_pwrite(file, data, offset)

        data = os.urandom(20 * MIB)
        await client.put(prefix, data)
        known = await client.head(prefix)
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", pwrite)
            patched.setattr(os, "write", write)
            await client.download(prefix, tmp_path / "file", known=replace(known, sha256=None), parallel=1)
        state, *events = [event for event, _ in itertools.groupby(disk.events)]
        assert state == "sync .file.drivebay-part.state"
        blocks = [each for number in range(3) for each in ("write", "sync .file.drivebay-part", f"note {number}")]
        assert events[1:] == [*blocks, "sync .file.drivebay-part", f"sync {tmp_path.name}"]
        assert (tmp_path / "file").read_bytes() == data

    async def test_a_block_that_was_not_made_durable_is_not_noted(
        self, client: Any, prefix: str, tmp_path: Path, disk: Disk
    ) -> None:
        await client.put(prefix, os.urandom(20 * MIB))
        known = replace(await client.head(prefix), sha256=None)
        disk.failing = {".file.drivebay-part"}
        with pytest.raises(OSError, match="Input/output error"):
            await client.download(prefix, tmp_path / "file", known=known)
        assert names_in(tmp_path) == []

    def test_notes_of_a_file_that_is_gone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process ends just when the new file has its size."""
        truncate = os.ftruncate

        def end_at_full_size(file: int, size: int) -> None:
            truncate(file, size)
            if size:
                raise KeyboardInterrupt

        first = PartialFile(tmp_path / "file", '"a"', 3, 1)
        first.open()
        for number in range(3):
            first.finish_block(number)
        first.close()
        first.path.unlink()
        second = PartialFile(tmp_path / "file", '"a"', 3, 1)
        with monkeypatch.context() as patched:
            patched.setattr(os, "ftruncate", end_at_full_size)
            with pytest.raises(KeyboardInterrupt):
                second.open()
        second.close()
        third = PartialFile(tmp_path / "file", '"a"', 3, 1)
        third.open()
        assert third.written == set()
        third.close()


class TestLock:
    async def test_is_released_if_the_notes_cannot_be_opened(self, client: Any, prefix: str, tmp_path: Path) -> None:
        await client.put(prefix, b"x")
        state = tmp_path / ".file.drivebay-part.state"
        state.mkdir()
        with pytest.raises(IsADirectoryError):
            await client.download(prefix, tmp_path / "file")
        state.rmdir()
        await client.download(prefix, tmp_path / "file")
        assert names_in(tmp_path) == ["file"]

    def test_is_released_if_a_download_is_cancelled_while_it_opens_its_file(self, tmp_path: Path) -> None:
        known = drivebay.BlobMeta("a", 1, '"a-1"')
        flow = download(drivebay.Retries(), "a", tmp_path / "file", known=known)
        command, part = next(flow), tmp_path / ".file.drivebay-part"
        while not part.exists():
            assert isinstance(command, Work)
            found = command.function()
            if not part.exists():
                command = flow.send(found)
        with pytest.raises(asyncio.CancelledError):
            flow.throw(asyncio.CancelledError())
        other = PartialFile(tmp_path / "file", '"a-1"', 1, 1)
        other.open()
        other.close()


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "\U0001f4c1" * 63], ids=["one byte", "two bytes", "four bytes"])
async def test_the_longest_names(client: Any, prefix: str, tmp_path: Path, name: str) -> None:
    await client.put(prefix, b"x")
    await client.download(prefix, tmp_path / name)
    assert names_in(tmp_path) == [name]
