"""Hashing next to the event loop, for checksums that clients choose."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

# Below this size, another thread costs more than the hashing.
HASH_IN_THREAD = 64 * 1024
# Bytes hashed in one call in a thread: fewer would mean more calls, more would take more memory.
BATCH = 960 * 1024
# The size that an item has next to its bytes, about. So many small ones take no more memory than few large ones.
OVERHEAD = 256

Item = TypeVar("Item")


class ConcurrentHashing(Generic[Item]):
    """Items that are hashed in their order, concurrently with the caller: up to two batches are kept.

    `update` hashes one item, and may run in a thread, but never twice at the same time. Call `finish` at the end.
    """

    def __init__(self, update: Callable[[Item], None]) -> None:
        self._update = update
        self._batch: list[Item] = []
        self._size = 0
        self._running: asyncio.Task[None] | None = None

    async def add(self, item: Item, size: int) -> None:
        """Hash an item of this many bytes, now or later. It must not change."""
        self._batch.append(item)
        self._size += size + OVERHEAD
        if self._size >= BATCH:
            await self.wait()
            batch, self._batch, self._size = self._batch, [], 0
            self._running = asyncio.create_task(asyncio.to_thread(self._run, batch))

    async def finish(self) -> None:
        """Wait until all items are hashed."""
        await self.wait()
        batch, size, self._batch, self._size = self._batch, self._size, [], 0
        if size < HASH_IN_THREAD:
            self._run(batch)
        else:
            await asyncio.to_thread(self._run, batch)

    async def wait(self) -> None:
        """Wait until the items that were begun are hashed, and no others."""
        if self._running is not None:
            await self._running
            self._running = None

    def _run(self, batch: Sequence[Item]) -> None:
        for item in batch:
            self._update(item)
