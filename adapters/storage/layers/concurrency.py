"""A bound on what is in progress at once, whose streams are taken only while there are bytes for them."""

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

HEAD = 256 * 1024  # bytes of a put that are gathered before it takes a stream, and between two takes
FAR = 2**62  # a position behind the end of any object


class ConcurrencyLayer(BlobStoreLayer):
    """Objects are written and read over `streams`, by at most `senders` large puts at once.

    A put whose bytes are all there after HEAD is short, and served before others where streams are rare. A larger put
    and a reading lend their stream while their client is waited for, and others wait for a stream. The put then sends
    its store an empty chunk, and goes on with the next bytes; the reading is left, and opened again behind its last
    byte. So each client takes HEAD, or a chunk, of memory, and what the store keeps of a large put.
    """

    def __init__(self, store: BlobStore, streams: UploadStreams, senders: int, seconds: float, backend: str) -> None:
        super().__init__(store)
        self._streams = streams
        self._senders = asyncio.Semaphore(senders)
        self._seconds = seconds
        self._backend = backend

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        async with aclosing(PeekableChunks(chunks, HEAD)) as pieces:
            if await pieces.first_size() < HEAD:
                async with self._streams.short("put", key):
                    return await self.store.put(key, pieces)
            async with self._turn_to_send(key):
                return await _Sending(self._streams, key, pieces).put(self.store)

    def open(self, key: ObjectKey, byte_range: ByteRange | None = None) -> "_Reading":
        return _Reading(self.store, self._streams, key, byte_range)

    @asynccontextmanager
    async def _turn_to_send(self, key: ObjectKey) -> AsyncIterator[None]:
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


class _Sending:
    """A large object on its way from a client to a storage."""

    def __init__(self, streams: UploadStreams, key: ObjectKey, pieces: AsyncIterator[bytes]) -> None:
        self._stream = Stream(streams, self._lend)
        self._key = key
        self._pieces = pieces
        self._wanted = asyncio.get_running_loop().create_future()

    def _lend(self) -> None:
        if not self._wanted.done():
            self._wanted.set_result(None)

    async def put(self, store: BlobStore) -> Stored:
        await self._stream.take("put", self._key)
        try:
            async with aclosing(self._chunks()) as chunks:
                return await store.put(self._key, chunks)
        finally:
            self._stream.give_back()

    async def _chunks(self) -> AsyncGenerator[bytes]:
        while True:
            coming = asyncio.create_task(self._next())
            try:
                if await self._is_wanted_before(coming):
                    yield b""  # the store gives up what it holds, and comes back for more
                    self._stream.give_back()
                    await asyncio.wait({coming})
                    await self._stream.take("put", self._key)
                    self._wanted = asyncio.get_running_loop().create_future()
            finally:
                await _end(coming)
            if (chunk := coming.result()) is None:
                return
            yield chunk

    async def _next(self) -> bytes | None:
        return await anext(self._pieces, None)

    async def _is_wanted_before(self, coming: "asyncio.Task[bytes | None]") -> bool:
        """Whether others want the stream before the next bytes are there."""
        self._stream.idle()
        await asyncio.wait({coming, self._wanted}, return_when=asyncio.FIRST_COMPLETED)
        self._stream.busy()
        return not coming.done()


async def _end(task: "asyncio.Task[bytes | None]") -> None:
    """Cancel a task that nobody waits for any more, and wait until it has ended."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})


class _Reading(AbstractAsyncContextManager[AsyncIterator[bytes]], AsyncIterator[bytes]):
    """An object on its way from a storage to a client."""

    def __init__(self, store: BlobStore, streams: UploadStreams, key: ObjectKey, byte_range: ByteRange | None) -> None:
        self._store = store
        self._stream = Stream(streams, self._lend)
        self._key = key
        self._range = byte_range
        self._position = 0 if byte_range is None else byte_range.start
        self._reading: AbstractAsyncContextManager[AsyncIterator[bytes]] | None = None
        self._chunks: AsyncIterator[bytes]
        self._lending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._open(self._range)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._settle()
        await self._leave(*exc)

    async def __anext__(self) -> bytes:
        await self._settle()
        if self._reading is None:
            await self._open_again()
        chunk = await anext(self._chunks)
        self._position += len(chunk)
        self._stream.idle()
        return chunk

    async def _open(self, byte_range: ByteRange | None) -> None:
        await self._stream.take("read", self._key)
        try:
            reading = self._store.open(self._key, byte_range)
            self._chunks = await reading.__aenter__()
        except BaseException:
            self._stream.give_back()
            raise
        self._reading = reading

    async def _open_again(self) -> None:
        """Go on behind the last byte. Raises StopAsyncIteration if that was the object's last."""
        stop = FAR if self._range is None else self._range.stop
        if self._position >= stop:
            raise StopAsyncIteration
        try:
            await self._open(ByteRange(self._position, stop))
        except RangeNotSatisfiable:
            raise StopAsyncIteration from None

    def _lend(self) -> None:
        self._lending = asyncio.create_task(self._leave(None, None, None))

    async def _settle(self) -> None:
        """Keep the stream from now on, or wait until it is lent."""
        self._stream.busy()
        if self._lending is not None:
            await asyncio.wait({self._lending})
            with suppress(BlobError):  # what was left was not needed any more
                self._lending.result()
            self._lending = None

    async def _leave(self, *exc: object) -> None:
        reading, self._reading = self._reading, None
        try:
            if reading is not None:
                await reading.__aexit__(*exc)  # type: ignore[arg-type]  # as they were passed to us
        finally:
            self._stream.give_back()
