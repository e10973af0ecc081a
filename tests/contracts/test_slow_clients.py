"""Slow senders and readers of a bounded store: they lend their streams to others."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.storage.layers import upload_streams
from adapters.storage.layers.concurrency import HEAD, _LargePut
from adapters.storage.layers.upload_streams import Stream, UploadStreams
from adapters.storage.memory import MemoryBlobStore
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from domain.errors import Kind, TooLarge
from tests.contracts.blob_store import Fault, each, keys, never, pattern, read, refused
from tests.contracts.leftovers import no_task_left
from tests.contracts.test_each_layer import KEY, OTHER, bounded
from tests.faults.databases import DEADLINE


class OneTransfer(MemoryBlobStore):
    """Has one transfer at a time: a read, whose first chunks have a byte, or a stretch of a put up to a pause."""

    def __init__(self) -> None:
        super().__init__()
        self.transfer = asyncio.Lock()
        self.opened = 0

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        source = aiter(chunks)
        data = b""
        while chunk := await anext(source, b""):
            async with asyncio.timeout(DEADLINE), self.transfer:
                while chunk:
                    data += chunk
                    chunk = await anext(source, b"")
        return await super().put(key, each([data]))

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        self.opened += 1
        async with asyncio.timeout(DEADLINE):
            await self.transfer.acquire()
        try:
            async with super().read(key, byte_range) as chunks:
                data = b"".join([chunk async for chunk in chunks])
                yield each(piece for piece in (*(data[at : at + 1] for at in range(10)), data[10:]) if piece)
        finally:
            self.transfer.release()


class Sink(MemoryBlobStore):
    """Keeps only small objects, and is slower than each sender."""

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            await asyncio.sleep(0)
            if size < HEAD:
                await super().put(key, each([chunk]))
        return Stored(size)


class TestSlowClients:
    """They lend their streams to others."""

    @pytest.fixture(autouse=True)
    def soon_idle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upload_streams, "IDLE", 0.01)
        monkeypatch.setattr(upload_streams, "LOOK", 0.01)

    @pytest.mark.parametrize("part", [None, ByteRange(1, 5), ByteRange(1, 6), ByteRange(1, 100)])
    async def test_readers(self, part: ByteRange | None) -> None:
        store = bounded(one := OneTransfer())
        await store.put(KEY, each([b"012345"]))
        expected = b"012345"[part.start : part.stop] if part else b"012345"
        got = b""
        async with store.read(KEY, part) as chunks:
            async for chunk in chunks:
                got += chunk
                assert await read(store, KEY) == b"012345"  # while the first is read, and idle
        assert got == expected
        assert one.opened > 2 * len(expected) - 2

    async def test_readers_that_leave_while_their_stream_is_lent(self) -> None:
        store = bounded(OneTransfer())
        await store.put(KEY, each([b"0123"]))
        async with no_task_left():
            async with store.read(KEY) as chunks:
                assert await anext(chunks) == b"0"
                assert await read(store, KEY) == b"0123"
            assert await read(store, KEY) == b"0123"

    async def test_readers_of_deleted_objects_fail(self) -> None:
        store = bounded(OneTransfer())
        await store.put(KEY, each([b"0123"]))
        await store.put(OTHER, each([b"x"]))
        with refused(Kind.NOT_FOUND):
            async with store.read(KEY) as chunks:
                assert await anext(chunks) == b"0"
                assert await read(store, OTHER) == b"x"
                await store.delete(KEY)
                await anext(chunks)

    @pytest.mark.parametrize("ends", [b"", b"the end"])
    async def test_senders(self, ends: bytes) -> None:
        store = bounded(OneTransfer())
        await store.put(OTHER, each([b"x"]))
        data = pattern(2 * HEAD)

        async def slow() -> AsyncIterator[bytes]:
            yield data + b"more"
            for _ in range(3):
                assert await read(store, OTHER) == b"x"  # over the stream of this put
                yield data
            yield ends

        assert await store.put(KEY, slow()) == Stored(len(data) * 4 + 4 + len(ends))
        assert await read(store, KEY) == data + b"more" + data * 3 + ends

    @pytest.mark.parametrize("fault", [Fault(), TooLarge("The source's.")])
    async def test_senders_that_fail_while_their_stream_is_lent(self, fault: Exception) -> None:
        store = bounded(OneTransfer())
        await store.put(OTHER, each([b"x"]))

        async def failing() -> AsyncIterator[bytes]:
            yield pattern(HEAD + 1)
            assert await read(store, OTHER) == b"x"
            raise fault

        async with no_task_left():
            with pytest.raises(type(fault)) as caught:
                await store.put(KEY, failing())
            assert caught.value is fault
            assert await read(store, OTHER) == b"x"
        assert await keys(store) == [OTHER]

    async def test_senders_that_are_cancelled_at_any_moment(self) -> None:
        store = bounded(OneTransfer())
        await store.put(OTHER, each([b"x"]))
        stuck = asyncio.Event()

        async def sticking() -> AsyncIterator[bytes]:
            yield pattern(HEAD + 1)
            stuck.set()
            await never()

        async with no_task_left():
            for lent in (False, True):
                putting = asyncio.create_task(store.put(KEY, sticking()))
                await stuck.wait()
                if lent:
                    assert await read(store, OTHER) == b"x"
                putting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await putting
                assert await read(store, OTHER) == b"x"
                stuck.clear()

    async def test_many_at_once(self) -> None:
        """Each gets its turn, and each byte arrives once."""
        store = bounded(OneTransfer(), 1)
        data = pattern(HEAD + 1)

        async def slow() -> AsyncIterator[bytes]:
            yield data
            await asyncio.sleep(0.05)
            yield data

        keys_of = [ObjectKey.random() for _ in range(8)]
        async with no_task_left(), asyncio.timeout(4 * DEADLINE):
            assert await asyncio.gather(*(store.put(key, slow()) for key in keys_of)) == [Stored(2 * len(data))] * 8
            await store.put(KEY, each([b"0123456789"]))
            assert await asyncio.gather(*(self.read_slowly(store) for _ in range(8))) == [b"0123456789"] * 8

    async def test_short_puts_leave_the_queues_when_they_have_had_their_turn(self) -> None:
        streams = UploadStreams(1, DEADLINE, "memory")
        held = Stream(streams, lambda: None)
        await held.acquire("put", KEY)

        async def put_shortly() -> None:
            async with streams.short("put", OTHER):
                await asyncio.sleep(0)

        await asyncio.gather(*(put_shortly() for _ in range(10)))
        assert [*streams._common.waiting, *streams._reserve.waiting] == []
        held.release()
        assert (streams._common.free, streams._reserve.free) == (1, 1)

    async def test_a_sender_that_goes_on_when_it_is_to_lend_leaves_that_to_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = bounded(Sink(), 2)
        asked = asyncio.Event()
        served = asyncio.Event()
        reclaim = _LargePut._reclaim

        def ask(put: _LargePut) -> None:
            reclaim(put)
            asked.set()

        async def going_on() -> AsyncIterator[bytes]:
            yield pattern(HEAD + 1)
            await asked.wait()
            while not served.is_set():
                yield pattern(HEAD)

        async def idle() -> AsyncIterator[bytes]:
            yield pattern(HEAD + 1)
            await served.wait()

        async def read_soon() -> None:
            await asyncio.sleep(0.05)  # both are idle
            assert await read(store, KEY) == b"x"
            served.set()

        await store.put(KEY, each([b"x"]))
        monkeypatch.setattr(_LargePut, "_reclaim", ask)
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            group.create_task(store.put(OTHER, going_on()))
            group.create_task(store.put(ObjectKey.random(), idle()))
            group.create_task(read_soon())

    async def read_slowly(self, store: BlobStore) -> bytes:
        got = b""
        async with store.read(KEY) as chunks:
            async for chunk in chunks:
                got += chunk
                await asyncio.sleep(0.02)
        return got
