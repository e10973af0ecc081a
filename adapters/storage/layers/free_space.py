"""A guard that refuses new objects before the disk is full, so that deletes still have space to commit."""

import asyncio
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from adapters.storage.layers.base import BlobStoreLayer
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ObjectKey
from domain.errors import NoSpace

FRESH = 1.0  # seconds for which a measurement is reused
MAX_UNMEASURED = 16 * 1024**2  # bytes that are written between two measurements

Measures = Mapping[Path, Callable[[Path], int]]


class FreeSpaceGuard(BlobStoreLayer):
    """Makes `put` raise NO_SPACE, also half-way, while a path has less than `least` bytes free.

    `measures`: for each path, a function that returns its free bytes or raises OSError. It is called at most once a
    second, and after each eighth of `least` was written, so that several processes may write concurrently.
    """

    def __init__(self, store: BlobStore, measures: Measures, least: int, backend: str) -> None:
        super().__init__(store)
        self._backend = backend
        self._measures = measures
        self._least = least
        self._max_unmeasured = min(least // 8, MAX_UNMEASURED)
        self._unmeasured = 0
        self._measured_at = float("-inf")
        self._full: Path | None = None

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        await self._require_space(0, key)
        return await super().put(key, self._checked(key, chunks))

    async def _checked(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            await self._require_space(len(chunk), key)
            yield chunk

    async def _require_space(self, size: int, key: ObjectKey) -> None:
        self._unmeasured += size
        if self._unmeasured > self._max_unmeasured or time.monotonic() - self._measured_at > FRESH:
            self._unmeasured, self._measured_at = 0, time.monotonic()
            self._full = await asyncio.to_thread(self._find_full)
        if self._full is not None:
            detail = f"{self._full} has less than the {self._least:,} bytes free of MIN_FREE_BYTES. Free some space."
            raise NoSpace(detail, operation="put", backend=self._backend, subject=key)

    def _find_full(self) -> Path | None:
        for path, measure in self._measures.items():
            with suppress(OSError):  # a missing volume is reported by the store itself
                if measure(path) < self._least:
                    return path
        return None


def free_bytes(folder: Path) -> int:
    """Return the bytes that this user can still write to the disk of `folder`. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
