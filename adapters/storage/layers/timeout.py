"""Deadlines for a storage."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import TypeVar

from adapters.storage.layers.base import BlobStoreLayer
from adapters.storage.progress import extend, reporting_to
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from domain.errors import TimedOut

T = TypeVar("T")


class TimeoutLayer(BlobStoreLayer):
    """Raises TIMEOUT when the storage takes longer than `seconds`.

    An operation without content has one deadline. A transfer has one between two chunks, which is extended while bytes
    move. The time that the source or the consumer takes does not count.
    """

    def __init__(self, store: BlobStore, seconds: float) -> None:
        super().__init__(store)
        self._seconds = seconds

    async def check(self) -> None:
        async with self._deadline():
            await self.store.check()

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        async with self._deadline() as deadline, aclosing(self._timed_source(chunks, deadline)) as timed:
            with reporting_to(partial(extend, deadline, self._seconds)):
                return await self.store.put(key, timed)

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async with AsyncExitStack() as stack:
            async with self._deadline():
                chunks = await stack.enter_async_context(self.store.read(key, byte_range))
            yield self._timed(chunks)

    async def stat(self, key: ObjectKey) -> Stored:
        async with self._deadline():
            return await self.store.stat(key)

    async def delete(self, key: ObjectKey) -> None:
        async with self._deadline():
            await self.store.delete(key)

    def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        return self._timed(self.store.list(after))

    @asynccontextmanager
    async def _deadline(self) -> AsyncIterator[asyncio.Timeout]:
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                yield deadline
        except TimeoutError as error:
            if not deadline.expired():
                raise
            detail = f"The storage did not respond within {self._seconds:g} seconds. Try again later."
            raise TimedOut(detail) from error

    async def _timed_source(self, chunks: AsyncIterable[bytes], deadline: asyncio.Timeout) -> AsyncGenerator[bytes]:
        """Yield the chunks of a source, and suspend the deadline while waiting for it."""
        source = aiter(chunks)
        while True:
            if deadline.expired():
                raise TimeoutError  # the storage has suppressed the cancellation
            deadline.reschedule(None)
            try:
                chunk = await anext(source)
            except StopAsyncIteration:
                return
            finally:
                deadline.reschedule(asyncio.get_running_loop().time() + self._seconds)
            yield chunk

    async def _timed(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        while True:
            async with self._deadline() as deadline:
                with reporting_to(partial(extend, deadline, self._seconds)):
                    try:
                        item = await anext(items)
                    except StopAsyncIteration:
                        return
            yield item
