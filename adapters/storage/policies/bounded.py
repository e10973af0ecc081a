"""A bound on what is under way at once."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

from adapters.storage.policies.around import Around
from adapters.watch import WholeWatch
from application.ports.blob_store import BlobStore, Stored
from application.ports.observer import UNOBSERVED, Observer
from domain.blob import ByteRange, ObjectKey
from domain.errors import DriveError, Kind


class BoundedBlobStore(Around):
    """No more than `streams` objects are written and read at once. To wait `seconds` for that is a TIMEOUT.

    Waits are told to the observer as an operation of their own: `wait`.
    """

    def __init__(
        self, store: BlobStore, streams: int, seconds: float, backend: str, observer: Observer = UNOBSERVED
    ) -> None:
        super().__init__(store)
        self._observer = observer
        self._places = asyncio.Semaphore(streams)
        self._seconds = seconds
        self._backend = backend

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        async with self._place("put", key):
            return await self.store.put(key, chunks)

    @asynccontextmanager
    async def open(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._place("open", key), self.store.open(key, byte_range) as chunks:
            yield chunks

    @asynccontextmanager
    async def _place(self, operation: str, key: ObjectKey) -> AsyncIterator[None]:
        if self._places.locked():
            with WholeWatch(self._observer, self._backend, "wait"):
                await self._wait(operation, key)
        else:
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

    async def _wait(self, operation: str, key: ObjectKey) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._places.acquire()
        except TimeoutError:
            detail = "Too many objects are being written and read. Try again later."
            raise DriveError(Kind.TIMEOUT, detail, operation=operation, backend=self._backend, subject=key) from None
