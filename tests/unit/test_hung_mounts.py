"""Mounts that hang: calls on them hold no threads that others need."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.concurrency.shared_call import SharedCall
from adapters.storage.layers import free_space
from application.uploads.hashing import BATCH, Hashing
from domain.errors import NoSpace
from entrypoints.telemetry import disks

PATIENCE = 10  # seconds
CALLERS = 3


class Mount:
    """A mount whose calls hang until it is back."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_back = threading.Event()

    def hang(self, _: object = None) -> int:
        self.calls += 1
        assert self.is_back.wait(PATIENCE)
        return 0


@pytest.fixture
def mount() -> Iterator[Mount]:
    mount = Mount()
    yield mount
    mount.is_back.set()


async def started(call: Callable[[], Any]) -> list["asyncio.Task[Any]"]:
    """Start the call several times, one after another."""
    tasks = list[asyncio.Task[Any]]()
    for _ in range(CALLERS):
        tasks.append(asyncio.create_task(call()))
        await asyncio.sleep(0.02)
    return tasks


async def test_hung_checks_of_free_space_do_not_stall_the_hashing_of_uploads(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_space, "FRESH", 0)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(CALLERS))
    space = free_space.FreeSpace({Path("/mount"): mount.hang}, least=1)
    checks = await started(lambda: space.require(1))
    hashing = Hashing()
    try:
        async with asyncio.timeout(PATIENCE / 2):
            await hashing.add(bytes(BATCH))
            await hashing.finish()
        assert mount.calls == 1
    finally:
        mount.is_back.set()
        found = await asyncio.gather(*checks, return_exceptions=True)
    assert [type(each) for each in found] == [NoSpace] * CALLERS


async def test_the_disk_of_a_hung_mount_is_left_out(
    mount: Mount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statvfs, dead = os.statvfs, tmp_path / "dead"
    monkeypatch.setattr(os, "statvfs", lambda path: mount.hang() if path == dead else statvfs(path))
    monkeypatch.setattr(disks, "WITHIN", 0.1)
    folders = {"rows": tmp_path, "blobs": dead, "gone": tmp_path / "gone"}
    measured = disks.Disks({name: SharedCall(partial(os.statvfs, folder)) for name, folder in folders.items()})
    for _ in range(CALLERS):
        assert [disk.name for disk in await measured.measured()] == ["rows"]
    assert mount.calls == 1


async def test_callers_share_a_call_and_its_error_and_the_next_one_runs_again(mount: Mount) -> None:
    def fail() -> None:
        mount.hang()
        raise LookupError

    call = SharedCall(fail)
    for rounds in (1, 2):
        callers = await started(call)
        callers[0].cancel()
        mount.is_back.set()
        found = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(each) for each in found] == [asyncio.CancelledError, LookupError, LookupError]
        assert mount.calls == rounds
        mount.is_back.clear()
