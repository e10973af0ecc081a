"""A limit on concurrent transfers: a transfer holds a stream only while bytes move."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from typing import Self

from adapters.storage.chunking import PeekableChunks
from adapters.storage.layers.base import BlobStoreLayer
from adapters.storage.layers.upload_streams import Stream, UploadStreams
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from domain.errors import BlobError, RangeNotSatisfiable, TimedOut

HEAD = 256 * 1024  # bytes of a put that are gathered before each time it acquires a stream
FAR = 2**62  # a position after the end of any object


class ConcurrencyLayer(BlobStoreLayer):
    """Limits writes and reads by `streams`, and large puts to `senders`.

    A put of less than HEAD bytes is short: it has a stream in reserve. While others wait for a stream, a larger put or
    a read releases its own as long as its client is idle. The put then sends its store an empty chunk, and continues
    with the next bytes. The read is closed, and reopened after its last byte. So each client takes HEAD or a chunk of
    memory, plus the buffers of the store for a large put.
    """

    def __init__(self, store: BlobStore, streams: UploadStreams, senders: int, seconds: float, backend: str) -> None:
        super().__init__(store)
        self._streams = streams
        self._senders = asyncio.Semaphore(senders)
        self._seconds = seconds
        self._backend = backend

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        async with aclosing(PeekableChunks(chunks, HEAD)) as source:
            if await source.first_size() < HEAD:
                async with self._streams.short("put", key):
                    return await self.store.put(key, source)
            async with self._sender_slot(key):
                return await _LargePut(self._streams, key, source).put(self.store)

    def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> "_Read":
        return _Read(self.store, self._streams, key, byte_range)

    @asynccontextmanager
    async def _sender_slot(self, key: ObjectKey) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                await self._senders.acquire()
        except TimeoutError:
            detail = "Too many large objects are being written. Try again later."
            raise TimedOut(detail, operation="put", backend=self._backend, subject=key) from None
        try:
            yield
        finally:
            self._senders.release()


class _LargePut:
    """A large put in progress."""

    def __init__(self, streams: UploadStreams, key: ObjectKey, source: AsyncIterator[bytes]) -> None:
        self._stream = Stream(streams, self._reclaim)
        self._key = key
        self._source = source
        self._reclaimed = asyncio.get_running_loop().create_future()

    def _reclaim(self) -> None:
        if not self._reclaimed.done():
            self._reclaimed.set_result(None)

    async def put(self, store: BlobStore) -> Stored:
        await self._stream.acquire("put", self._key)
        try:
            async with aclosing(self._chunks()) as chunks:
                return await store.put(self._key, chunks)
        finally:
            self._stream.release()

    async def _chunks(self) -> AsyncGenerator[bytes]:
        while True:
            coming = asyncio.create_task(self._next())
            try:
                if await self._is_reclaimed_before(coming):
                    yield b""  # the store releases its connection, and asks for the next chunk
                    self._stream.release()
                    await asyncio.wait({coming})
                    await self._stream.acquire("put", self._key)
                    self._reclaimed = asyncio.get_running_loop().create_future()
            finally:
                await _end(coming)
            if (chunk := coming.result()) is None:
                return
            yield chunk

    async def _next(self) -> bytes | None:
        return await anext(self._source, None)

    async def _is_reclaimed_before(self, coming: "asyncio.Task[bytes | None]") -> bool:
        """Wait for the next bytes. Return True if the stream is reclaimed before they arrive."""
        self._stream.idle()
        await asyncio.wait({coming, self._reclaimed}, return_when=asyncio.FIRST_COMPLETED)
        self._stream.busy()
        if coming.done():
            self._stream.keep()
        return not coming.done()


async def _end(task: "asyncio.Task[bytes | None]") -> None:
    """Cancel a task, unless it is done, and wait until it has ended."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})


class _Read(AbstractAsyncContextManager[AsyncIterator[bytes]], AsyncIterator[bytes]):
    """A read in progress."""

    def __init__(self, store: BlobStore, streams: UploadStreams, key: ObjectKey, byte_range: ByteRange | None) -> None:
        self._store = store
        self._stream = Stream(streams, self._reclaim)
        self._key = key
        self._range = byte_range
        self._position = 0 if byte_range is None else byte_range.start
        self._reading: AbstractAsyncContextManager[AsyncIterator[bytes]] | None = None
        self._chunks: AsyncIterator[bytes]
        self._reclaiming: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._open(self._range)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._settle()
        await self._close(*exc)

    async def __anext__(self) -> bytes:
        await self._settle()
        if self._reading is None:
            await self._open_again()
        chunk = await anext(self._chunks)
        self._position += len(chunk)
        self._stream.idle()
        return chunk

    async def _open(self, byte_range: ByteRange | None) -> None:
        await self._stream.acquire("read", self._key)
        try:
            reading = self._store.read(self._key, byte_range)
            self._chunks = await reading.__aenter__()
        except BaseException:
            self._stream.release()
            raise
        self._reading = reading

    async def _open_again(self) -> None:
        """Continue after the last byte read. Raises StopAsyncIteration at the end of the object."""
        stop = FAR if self._range is None else self._range.stop
        if self._position >= stop:
            raise StopAsyncIteration
        try:
            await self._open(ByteRange(self._position, stop))
        except RangeNotSatisfiable:
            raise StopAsyncIteration from None

    def _reclaim(self) -> None:
        self._reclaiming = asyncio.create_task(self._close(None, None, None))

    async def _settle(self) -> None:
        """Forbid reclaiming the stream, and wait for a reclaim in progress."""
        self._stream.busy()
        if self._reclaiming is not None:
            await asyncio.wait({self._reclaiming})
            with suppress(BlobError):  # the closed read is not needed any more
                self._reclaiming.result()
            self._reclaiming = None

    async def _close(self, *exc: object) -> None:
        reading, self._reading = self._reading, None
        try:
            if reading is not None:
                await reading.__aexit__(*exc)  # type: ignore[arg-type]  # passed through
        finally:
            self._stream.release()
