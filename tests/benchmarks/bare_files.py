"""Files written and read whole in a thread."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.benchmarks.clients import Client, in_shares


class BareFiles(Client):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, names: Sequence[str], data: bytes, at_once: int = 1) -> None:
        await in_shares(names, lambda name: asyncio.to_thread(_write, self._folder / name, data), at_once)

    async def get(self, names: Sequence[str], at_once: int = 1) -> None:
        async def get_one(name: str) -> None:
            await asyncio.to_thread((self._folder / name).read_bytes)

        await in_shares(names, get_one, at_once)

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            (self._folder / name).unlink()


@asynccontextmanager
async def bare_files(folder: Path) -> AsyncIterator[Client]:
    await asyncio.to_thread(folder.mkdir)
    yield BareFiles(folder)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
