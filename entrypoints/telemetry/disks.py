"""The disks of folders."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

WITHIN = 2.0  # seconds that a page waits for a file system


class Disk(NamedTuple):
    """The disk of a folder of this name. `free_bytes`: what this user can still write."""

    name: str
    free_bytes: int
    size_bytes: int


class Disks:
    """The disks of folders. `calls`: for each name, a function that measures the file system of its folder."""

    def __init__(self, calls: Mapping[str, Callable[[], Awaitable[os.statvfs_result]]]) -> None:
        self._calls = calls

    async def measured(self) -> Sequence[Disk]:
        """Return the disks. A folder that is missing, or on a mount that hangs, is left out: its storage reports it."""
        found = await asyncio.gather(*(self._measure(name) for name in self._calls))
        return [disk for disk in found if disk is not None]

    async def _measure(self, name: str) -> Disk | None:
        try:
            async with asyncio.timeout(WITHIN):
                found = await self._calls[name]()
        except OSError:  # TimeoutError is one
            return None
        return Disk(name, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
