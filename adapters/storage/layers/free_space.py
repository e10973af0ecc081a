"""A store that takes nothing new before its disk is full, so that there is room to delete, and to note it."""

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

FRESH = 1.0  # seconds for which a look at the disks serves all
MOST_UNSEEN = 16 * 1024**2  # bytes that are written without another look


Looks = Mapping[Path, Callable[[Path], int]]


class FreeSpaceGuard(BlobStoreLayer):
    """`put` raises NO_SPACE while one of the places that are looked at has less than `least` bytes free, also half-way.

    All else goes on. `looks`: for each place, what tells how many bytes it has, or raises OSError. It is asked once a
    second at most, and each time an eighth of `least` was written: so several processes may write at once.
    """

    def __init__(self, store: BlobStore, looks: Looks, least: int, backend: str) -> None:
        super().__init__(store)
        self._backend = backend
        self._looks = looks
        self._least = least
        self._most_unseen = min(least // 8, MOST_UNSEEN)
        self._unseen = 0
        self._seen_at = float("-inf")
        self._full: Path | None = None

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        await self._claim(0, key)
        return await super().put(key, self._claiming(key, chunks))

    async def _claiming(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            await self._claim(len(chunk), key)
            yield chunk

    async def _claim(self, size: int, key: ObjectKey) -> None:
        self._unseen += size
        if self._unseen > self._most_unseen or time.monotonic() - self._seen_at > FRESH:
            self._unseen, self._seen_at = 0, time.monotonic()
            self._full = await asyncio.to_thread(self._find_full)
        if self._full is not None:
            detail = f"{self._full} has less than the {self._least:,} bytes free of MIN_FREE_BYTES. Free some space."
            raise NoSpace(detail, operation="put", backend=self._backend, subject=key)

    def _find_full(self) -> Path | None:
        for place, look in self._looks.items():
            with suppress(OSError):  # a missing volume is reported by the store itself
                if look(place) < self._least:
                    return place
        return None


def on_disk(folder: Path) -> int:
    """How many bytes the disk of `folder` has for us. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
