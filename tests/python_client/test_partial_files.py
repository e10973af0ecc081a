"""Files that are downloaded: which bytes of an interrupted run are trusted, on disks that fail and lose their power."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.blob_store import MIB
from tests.python_client.conftest import names_in


class Disk:
    """The flushes of this process, by the names of files. Those of a name in `failing` raise an error."""

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
