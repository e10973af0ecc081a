"""What is measured and what it is measured by, behind one face: names and bytes, many in a call."""

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from application.ports.blob_store import BlobStore
from domain.blob import ObjectKey

CHUNK = 256 * 1024


class Client(Protocol):
    """Puts and gets objects, `at_once` of them at the same time."""

    @abstractmethod
    async def put(self, names: Sequence[str], data: bytes, at_once: int = 1) -> None:
        """Write the same bytes under each name, durable where the storage makes them so."""

    @abstractmethod
    async def get(self, names: Sequence[str], at_once: int = 1) -> None:
        """Read them, `at_once` of them at the same time."""

    @abstractmethod
    async def delete(self, names: Sequence[str]) -> None:
        """Remove them."""


class Drivebay(Client):
    """A store of ours."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._keys: dict[str, ObjectKey] = {}

    async def put(self, names: Sequence[str], data: bytes, at_once: int = 1) -> None:
        async def put_one(name: str) -> None:
            self._keys[name] = ObjectKey.random()
            await self._store.put(self._keys[name], _chunked(data))

        await in_shares(names, put_one, at_once)

    async def get(self, names: Sequence[str], at_once: int = 1) -> None:
        async def get_one(name: str) -> None:
            async with self._store.read(self._keys[name]) as chunks:
                async for _ in chunks:
                    pass

        await in_shares(names, get_one, at_once)

    async def delete(self, names: Sequence[str]) -> None:
        await in_shares(names, lambda name: self._store.delete(self._keys.pop(name)), at_once=16)


async def in_shares(names: Sequence[str], call: Callable[[str], Awaitable[None]], at_once: int) -> None:
    """Call for each name; the names are dealt out to as many tasks as may run at once."""

    async def one_share(share: Sequence[str]) -> None:
        for name in share:
            await call(name)

    await asyncio.gather(*(one_share(names[number::at_once]) for number in range(at_once)))


async def seconds(work: Awaitable[None]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def _chunked(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), CHUNK):
        await asyncio.sleep(0)  # others have their turn, as between the packets of a client
        yield data[start : start + CHUNK]
