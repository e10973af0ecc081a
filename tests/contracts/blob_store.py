"""The contract of `BlobStore`."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable

import pytest

from application.ports.blob_store import BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from domain.errors import DriveError, Kind

KIB = 1024
MIB = 1024 * 1024
PART = 8 * MIB  # a usual size of the parts of a multipart upload
SIZES = [0, 1, *(chunk + more for chunk in (64 * KIB, MIB, 2 * MIB, PART) for more in (-1, 0, 1)), 3 * PART + 12_345]


class Fault(Exception):
    """What the source of the chunks may raise: none of the store's business."""


def pattern(size: int) -> bytes:
    """Bytes that differ from each other at any offset and shift."""
    block = hashlib.shake_256(size.to_bytes(8, "big")).digest(min(size, 1021) or 1)
    return (block * (size // len(block) + 1))[:size]


async def chunked(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def each(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(store: BlobStore, key: ObjectKey, byte_range: ByteRange | None = None) -> bytes:
    async with store.open(key, byte_range) as chunks:
        gathered = [chunk async for chunk in chunks]
    assert all(gathered), "a chunk is empty"
    return b"".join(gathered)


async def keys(store: BlobStore, after: ObjectKey | None = None) -> list[ObjectKey]:
    return [key async for key in store.keys(after)]


def refused(kind: Kind) -> "pytest.RaisesExc[DriveError]":
    """What is inside raises a DriveError of this kind."""
    return pytest.raises(DriveError, check=lambda error: error.kind is kind)


class BlobStoreContract:
    """What every BlobStore promises. A backend adds a subclass with a `store` fixture, and nothing else.

    After each case the store must hold exactly the objects that the case put and did not delete, and after these are
    deleted, nothing. A backend that can hold more than its `keys` show overrides `residue`.
    """

    async def residue(self, store: BlobStore) -> list[str]:
        """All that the backend holds, by names of its own."""
        return [key.value for key in await keys(store)]

    @pytest.fixture(autouse=True)
    async def _leaves_nothing(self, store: BlobStore) -> AsyncIterator[None]:
        self.alive: set[ObjectKey] = set()
        assert await self.residue(store) == []
        yield
        assert set(await keys(store)) == self.alive
        for key in self.alive:
            await store.delete(key)
        assert await self.residue(store) == []

    async def put(self, store: BlobStore, data: bytes, key: ObjectKey | None = None) -> ObjectKey:
        key = key or ObjectKey.random()
        assert await store.put(key, chunked(data)) == Stored(len(data))
        self.alive.add(key)
        return key

    async def delete(self, store: BlobStore, key: ObjectKey) -> None:
        await store.delete(key)
        self.alive.discard(key)

    async def test_a_check_leaves_nothing(self, store: BlobStore) -> None:
        for _ in range(2):
            await store.check()
        assert await keys(store) == []

    # Bytes

    @pytest.mark.parametrize("size", SIZES)
    async def test_what_was_put_is_read(self, store: BlobStore, size: int) -> None:
        data = pattern(size)
        key = await self.put(store, data)
        assert await store.stat(key) == Stored(size)
        assert hashlib.sha256(await read(store, key)).digest() == hashlib.sha256(data).digest()

    async def test_every_byte_at_every_place_of_a_line(self, store: BlobStore) -> None:
        every = bytes(range(256))
        data = b"".join(every[turn:] + every[:turn] + b"\r\n" for turn in range(256)) + b"\xff\xfe\xc0\n\r"
        assert await read(store, await self.put(store, data)) == data

    @pytest.mark.parametrize(
        "chunks",
        [
            [],
            [b""],
            [b"", b"", b""],
            [b"", b"a", b"", b"b", b""],
            [b"x"] * 5000,
            [b"a", b"b" * 3 * MIB, b"c"],
        ],
        ids=["none", "one empty", "empty ones", "some empty", "many small", "irregular"],
    )
    async def test_chunks_of_any_sizes(self, store: BlobStore, chunks: list[bytes]) -> None:
        key = ObjectKey.random()
        self.alive.add(key)
        assert await store.put(key, each(chunks)) == Stored(sum(map(len, chunks)))
        assert await read(store, key) == b"".join(chunks)

    async def test_an_object_is_never_changed(self, store: BlobStore) -> None:
        key = await self.put(store, b"the first")
        with refused(Kind.ALREADY_EXISTS):
            await store.put(key, each([b"the second, which is longer"]))
        assert await read(store, key) == b"the first"

    async def test_a_reading_can_be_left_early(self, store: BlobStore) -> None:
        key = await self.put(store, pattern(5 * MIB))
        async with store.open(key) as chunks:
            assert await anext(chunks)
        async with store.open(key):
            pass
        assert await read(store, key) == pattern(5 * MIB)

    # Failure: nothing is left

    @pytest.mark.parametrize("before", [0, 1, 300 * KIB, 3 * PART + 1])
    async def test_a_source_that_fails_leaves_nothing(self, store: BlobStore, before: int) -> None:
        async def failing() -> AsyncIterator[bytes]:
            async for chunk in chunked(pattern(before)):
                yield chunk
            raise Fault

        key = ObjectKey.random()
        with pytest.raises(Fault):
            await store.put(key, failing())
        await self.expect_nothing(store, key)

    @pytest.mark.parametrize("before", [0, 1, 300 * KIB, 3 * PART + 1])
    async def test_a_cancelled_put_leaves_nothing(self, store: BlobStore, before: int) -> None:
        stuck = asyncio.Event()

        async def sticking() -> AsyncIterator[bytes]:
            async for chunk in chunked(pattern(before)):
                yield chunk
            stuck.set()
            await asyncio.Event().wait()

        key = ObjectKey.random()
        putting = asyncio.create_task(store.put(key, sticking()))
        await stuck.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        await self.expect_nothing(store, key)

    @pytest.mark.parametrize("size", [0, 1, 3 * PART + 1])
    async def test_a_put_that_is_cancelled_at_its_end_is_whole_or_nothing(self, store: BlobStore, size: int) -> None:
        ending = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            async for chunk in chunked(pattern(size)):
                yield chunk
            ending.set()

        key = ObjectKey.random()
        putting = asyncio.create_task(store.put(key, source()))
        await ending.wait()
        putting.cancel()
        try:
            await putting
        except asyncio.CancelledError:
            await self.expect_nothing(store, key)
        else:
            self.alive.add(key)
            assert await read(store, key) == pattern(size)

    async def test_a_key_is_free_after_a_put_that_failed(self, store: BlobStore) -> None:
        key = ObjectKey.random()

        async def failing() -> AsyncIterator[bytes]:
            yield b"the tail of this must not be seen again"
            raise Fault

        with pytest.raises(Fault):
            await store.put(key, failing())
        await self.put(store, b"short", key)
        assert await read(store, key) == b"short"

    async def expect_nothing(self, store: BlobStore, key: ObjectKey) -> None:
        with refused(Kind.NOT_FOUND):
            await store.stat(key)
        with refused(Kind.NOT_FOUND):
            await read(store, key)

    # Absence

    async def test_what_is_not_there_is_named(self, store: BlobStore) -> None:
        key = ObjectKey.random()
        for reading in (store.stat(key), read(store, key), read(store, key, ByteRange(0, 1))):
            with pytest.raises(DriveError) as caught:
                await reading
            assert (caught.value.kind, caught.value.subject) == (Kind.NOT_FOUND, key.value)

    async def test_deleting_what_is_not_there_succeeds(self, store: BlobStore) -> None:
        key = await self.put(store, b"once")
        await self.delete(store, key)
        await store.delete(key)
        await store.delete(ObjectKey.random())

    async def test_a_delete_takes_one_object(self, store: BlobStore) -> None:
        digits = "0123456789abcdef" * 2
        near = [ObjectKey(digits[:-1] + last) for last in "0123"]
        for key in near:
            await self.put(store, key.value.encode(), key)
        await self.delete(store, near[1])
        await self.expect_nothing(store, near[1])
        for key in (near[0], near[2], near[3]):
            assert await read(store, key) == key.value.encode()

    # Ranges

    @pytest.mark.parametrize("size", [1, 1000, 2 * MIB + 5])
    async def test_ranges(self, store: BlobStore, size: int) -> None:
        data = pattern(size)
        key = await self.put(store, data)
        edges = sorted({0, 1, size // 2, size - 1, size, min(size, MIB), min(size, MIB + 1)})
        for start, stop in [(start, stop) for start in edges for stop in edges if start < stop]:
            assert await read(store, key, ByteRange(start, stop)) == data[start:stop], (start, stop)

    async def test_a_range_is_cut_at_the_end(self, store: BlobStore) -> None:
        key = await self.put(store, b"0123456789")
        assert await read(store, key, ByteRange(7, 100)) == b"789"
        assert await read(store, key, ByteRange(9, 2**62)) == b"9"

    @pytest.mark.parametrize(("size", "start"), [(0, 0), (0, 5), (10, 10), (10, 11), (10, 2**62)])
    async def test_a_range_behind_the_end_is_refused(self, store: BlobStore, size: int, start: int) -> None:
        key = await self.put(store, pattern(size))
        with refused(Kind.RANGE_NOT_SATISFIABLE):
            await read(store, key, ByteRange(start, start + 1))

    # Lists

    async def test_keys_are_listed_in_order(self, store: BlobStore) -> None:
        made = sorted([await self.put(store, b"") for _ in range(30)])
        assert await keys(store) == made
        assert await keys(store, made[0]) == made[1:]
        assert await keys(store, made[17]) == made[18:]
        assert await keys(store, made[-1]) == []
        assert await keys(store, ObjectKey("0" * 32)) == made
        between = ObjectKey(f"{int(made[9].value, 16) + 1:032x}")
        assert await keys(store, between) == made[10:]

    # Many at once

    async def test_many_objects_at_once(self, store: BlobStore) -> None:
        contents = [pattern(size) for size in range(100_000, 120_000, 1000)]
        made = await asyncio.gather(*(self.put(store, data) for data in contents))
        assert await asyncio.gather(*(read(store, key) for key in made)) == contents

    async def test_many_readers_of_one_object(self, store: BlobStore) -> None:
        data = pattern(3 * MIB)
        key = await self.put(store, data)
        ranges = [ByteRange(start, start + 2 * MIB) for start in range(0, 32 * 30_000, 30_000)]
        parts = await asyncio.gather(*(read(store, key, part) for part in ranges))
        assert parts == [data[part.start : part.stop] for part in ranges]
