"""A guard that refuses new objects before the disk is full, so that deletes still have space to commit."""

import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from adapters.concurrency.shared_call import SharedCall
from adapters.error_context import ErrorContext
from adapters.storage.layers.base import BlobStoreLayer
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ObjectKey
from domain.errors import NoSpace

FRESH = 1.0  # seconds for which a measurement is reused
MAX_UNMEASURED = 16 * 1024**2  # bytes that are written between two measurements

Measures = Mapping[Path, Callable[[Path], int]]


class FreeSpace:
    """The space on some disks, of which `least` bytes are kept free.

    `measures`: for each path, a function that returns its free bytes or raises OSError. It is called again after a
    second, or once 16 MiB (or an eighth of `least`, if that is less) were written: other processes write too.
    """

    def __init__(self, measures: Measures, least: int) -> None:
        self._measures = measures
        self._least = least
        self._max_unmeasured = min(least // 8, MAX_UNMEASURED)
        self._unmeasured = 0
        self._measured_at = float("-inf")
        self._full: Path | None = None
        self._check = SharedCall(self._find_full)  # a dead mount must not hold the threads that hash uploads

    async def require(self, size: int) -> None:
        """Take note that `size` bytes will be written. Raises NO_SPACE while a path has less than the least."""
        self._unmeasured += size
        if self._unmeasured > self._max_unmeasured or time.monotonic() - self._measured_at > FRESH:
            self._unmeasured, self._measured_at = 0, time.monotonic()
            self._full = await self._check()
        if self._full is not None:
            detail = f"{self._full} has less than the {self._least:,} bytes free of MIN_FREE_BYTES. Free some space."
            raise NoSpace(detail)

    def _find_full(self) -> Path | None:
        for path, measure in self._measures.items():
            with suppress(OSError):  # a missing volume is reported by the store itself
                if measure(path) < self._least:
                    return path
        return None


class FreeSpaceGuard(BlobStoreLayer):
    """Makes `put` raise NO_SPACE, also half-way, while there is not enough free `space`."""

    def __init__(self, store: BlobStore, space: FreeSpace, backend: str) -> None:
        super().__init__(store)
        self._space = space
        self._backend = backend

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        context = ErrorContext(self._backend, "put", key)
        with context:
            await self._space.require(0)
        return await self.store.put(key, _Checked(aiter(chunks), self._space, context))


class _Checked(AsyncIterator[bytes]):
    """Chunks for which there is space. Not a generator, because every request uses it."""

    def __init__(self, chunks: AsyncIterator[bytes], space: FreeSpace, context: ErrorContext) -> None:
        self._chunks = chunks
        self._space = space
        self._context = context

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        with self._context:
            await self._space.require(len(chunk))
        return chunk


def free_bytes(folder: Path) -> int:
    """Return the bytes that this user can still write to the disk of `folder`. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
