"""The SHA-256 of a stream, computed in a thread while the stream goes on."""

import asyncio
import hashlib
from collections.abc import Sequence

# Below this size, another thread costs more than the hashing.
HASH_IN_THREAD = 64 * 1024
# Bytes hashed in one call in a thread: fewer would mean more calls, more would take more memory.
BATCH = 960 * 1024


class Hashing:
    """A hash that runs concurrently with its caller. Keeps up to two batches of chunks. Call `finish` at the end.

    Small chunks are hashed immediately, because many of them would take a multiple of their size.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._batch: list[bytes] = []
        self._size = 0
        self._running: asyncio.Task[None] | None = None

    async def add(self, chunk: bytes) -> None:
        """Hash a chunk, now or later. It must not change."""
        if len(chunk) < HASH_IN_THREAD:
            if self._batch or self._running is not None:
                await self.finish()
            self._sha256.update(chunk)
            return
        self._batch.append(chunk)
        self._size += len(chunk)
        if self._size >= BATCH:
            await self._start()

    async def finish(self) -> None:
        """Wait until all chunks are hashed."""
        if self._batch:
            await self._start()
        await self._wait()

    def digest(self) -> bytes:
        """Return the SHA-256 of all chunks. Call this after `finish`."""
        return self._sha256.digest()

    async def _start(self) -> None:
        await self._wait()
        batch, self._batch, self._size = self._batch, [], 0
        self._running = asyncio.create_task(asyncio.to_thread(self._update, batch))

    async def _wait(self) -> None:
        if self._running is not None:
            await self._running
            self._running = None

    def _update(self, batch: Sequence[bytes]) -> None:
        for chunk in batch:
            self._sha256.update(chunk)
