"""The contract of `BlobStore`."""

import asyncio
import errno
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from application.ports.blob_store import BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from domain.errors import BlobError, Kind, NotFound, TooLarge
from tests.contracts.leftovers import no_task_left

KIB = 1024
MIB = 1024 * 1024
PART = 8 * MIB  # a usual size of the parts of a multipart upload
SIZES = [0, 1, *(chunk + more for chunk in (64 * KIB, MIB, 2 * MIB, PART) for more in (-1, 0, 1)), 3 * PART + 12_345]
STREAMS = 32  # more than that wait for each other, on any backend
MOMENTS = 12
# Keys that a store may confuse if it cuts them to make folders, or looks them up by a prefix: neighbours in one folder
# of two or three digits, at its edges, and in the folders next to it.
CHOSEN = [
    ObjectKey(start.ljust(31, "0") + end)
    for start, end in (
        *(("", "0"), ("", "1"), ("00f", "f"), ("010", "0"), ("ab0", "0"), ("abb" + "f" * 28, "f")),
        *(("abc", "0"), ("abc", "1"), ("abc7", "0"), ("abc7", "1"), ("abc" + "f" * 28, "f")),
        *(("abd", "0"), ("abd" + "f" * 28, "f"), ("ac0", "0"), ("f" * 31, "e"), ("f" * 31, "f")),
    )
]
SKEW = timedelta(seconds=5)  # of another machine's clock, whole seconds included


class Fault(Exception):
    """An error of the source of the chunks, which the store must not translate."""


def pattern(size: int) -> bytes:
    """Return bytes without repetition, so that any shift is visible."""
    block = hashlib.shake_256(size.to_bytes(8, "big")).digest(min(size, 1021) or 1)
    return (block * (size // len(block) + 1))[:size]


async def chunked(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        await asyncio.sleep(0)  # others have their turn, as between the packets of a client
        yield data[start : start + size]


async def each(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(store: BlobStore, key: ObjectKey, byte_range: ByteRange | None = None) -> bytes:
    async with store.read(key, byte_range) as chunks:
        gathered = [chunk async for chunk in chunks]
    assert all(isinstance(chunk, bytes) for chunk in gathered), "a chunk can be changed by others"
    assert all(gathered), "a chunk is empty"
    return b"".join(gathered)


async def keys(store: BlobStore, after: ObjectKey | None = None) -> list[ObjectKey]:
    return [key async for key in store.list(after)]


def refused(kind: Kind) -> "pytest.RaisesExc[BlobError]":
    """Require that the block raises a BlobError of this kind."""
    return pytest.raises(BlobError, check=lambda error: error.kind is kind)


async def never() -> None:
    await asyncio.Event().wait()


# How a reading ends before its end.


async def left_at_once(store: BlobStore, key: ObjectKey) -> None:
    async with store.read(key):
        pass


async def left_in_the_middle(store: BlobStore, key: ObjectKey) -> None:
    async with store.read(key) as chunks:
        assert await anext(chunks)


async def left_by_a_fault(store: BlobStore, key: ObjectKey) -> None:
    async def failing() -> None:
        async with store.read(key) as chunks:
            assert await anext(chunks)
            raise Fault

    with pytest.raises(Fault):
        await failing()


async def left_by_a_cancellation(store: BlobStore, key: ObjectKey) -> None:
    begun = asyncio.Event()

    async def sticking() -> None:
        async with store.read(key) as chunks:
            assert await anext(chunks)
            begun.set()
            await never()

    reading = asyncio.create_task(sticking())
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def cancelled_while_it_waits_for_bytes(store: BlobStore, key: ObjectKey) -> None:
    begun = asyncio.Event()

    async def reading_on() -> None:
        async with store.read(key) as chunks:
            async for _ in chunks:
                begun.set()

    reading = asyncio.create_task(reading_on())
    await begun.wait()
    reading.cancel()
    await asyncio.wait({reading})
    assert reading.cancelled() or reading.exception() is None


class BlobStoreContract:
    """The promises of every BlobStore. A backend adds a subclass with a `store` fixture, and nothing else.

    After each case the store must hold exactly the objects that the case put and did not delete, and after these are
    deleted, nothing; and no task may be under way. A backend that can hold more than its `list` shows overrides
    `residue`.
    """

    async def residue(self, store: BlobStore) -> list[str]:
        """Return everything in the backend, by the backend's names."""
        return [key.value for key in await keys(store)]

    @pytest.fixture(autouse=True)
    async def _nothing_is_left(self, store: BlobStore) -> AsyncIterator[None]:
        async with self.leaving_nothing(store):
            yield

    @asynccontextmanager
    async def leaving_nothing(self, store: BlobStore) -> AsyncIterator[None]:
        """A context manager around each case."""
        self.alive: set[ObjectKey] = set()
        await self.expect_no_residue(store, "before the case")
        async with no_task_left():
            yield
        assert set(await keys(store)) == self.alive, "not the objects that the case put and did not delete"
        for key in self.alive:
            await store.delete(key)
        await self.expect_no_residue(store, "after the case, all its objects being deleted")

    async def expect_no_residue(self, store: BlobStore, when: str) -> None:
        residue = await self.residue(store)
        assert residue == [], f"there is something {when}: {residue}"

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

    async def test_a_check_leaves_objects_alone(self, store: BlobStore) -> None:
        key = await self.put(store, b"from before the restart")
        await store.check()
        assert await keys(store) == [key]
        assert await read(store, key) == b"from before the restart"

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

    @pytest.mark.parametrize("first", [b"the first", b"", pattern(PART + 1)], ids=["small", "empty", "large"])
    @pytest.mark.parametrize("second", [b"the second", b"", pattern(2 * PART)], ids=["small", "empty", "large"])
    async def test_an_object_is_never_changed(self, store: BlobStore, first: bytes, second: bytes) -> None:
        key = await self.put(store, first)
        [outcome] = await asyncio.gather(store.put(key, chunked(second)), return_exceptions=True)
        if first != second or outcome != Stored(len(first)):  # the very same bytes may be taken for those of this put
            assert isinstance(outcome, BlobError), outcome
            assert outcome.kind is Kind.ALREADY_EXISTS
        assert await store.stat(key) == Stored(len(first))
        assert await read(store, key) == first

    async def test_stat_returns_the_time_of_the_write_or_none(self, store: BlobStore) -> None:
        before = datetime.now(UTC)
        key = await self.put(store, pattern(MIB + 1))
        after = datetime.now(UTC)
        modified_at = (await store.stat(key)).modified_at
        if modified_at is not None:
            assert modified_at.tzinfo is UTC
            assert before - SKEW <= modified_at <= after + SKEW
            await asyncio.sleep(0.01)  # a clock goes on
            assert (await store.stat(key)).modified_at == modified_at, "it changes by being asked for"

    # Readings that are left before their end

    @pytest.mark.parametrize(
        "leave",
        [
            left_at_once,
            left_in_the_middle,
            left_by_a_fault,
            left_by_a_cancellation,
            cancelled_while_it_waits_for_bytes,
        ],
    )
    async def test_readings_that_are_left_early_free_what_they_hold(
        self, store: BlobStore, leave: Callable[[BlobStore, ObjectKey], Awaitable[None]]
    ) -> None:
        data = pattern(3 * MIB)
        key = await self.put(store, data)
        for _ in range(STREAMS + 1):
            await leave(store, key)
        assert await read(store, key) == data

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
            await never()

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
        await self.expect_whole_or_nothing(store, key, putting, pattern(size))

    async def test_a_put_that_is_cancelled_at_any_moment_is_whole_or_nothing(self, store: BlobStore) -> None:
        data = pattern(PART + 1)
        begun = time.monotonic()
        await self.put(store, data)
        whole = time.monotonic() - begun
        for moment in range(MOMENTS):
            key = ObjectKey.random()
            putting = asyncio.create_task(store.put(key, chunked(data)))
            await asyncio.wait({putting}, timeout=whole * moment / MOMENTS)
            putting.cancel()
            await self.expect_whole_or_nothing(store, key, putting, data)

    @pytest.mark.parametrize("before", [300 * KIB, 2 * PART + 1])
    @pytest.mark.parametrize(
        "fault",
        [
            TooLarge("The source has more than it may have."),
            NotFound("The source is an object that is gone."),
            TimeoutError("The source is a client that sends nothing."),
            ConnectionResetError(errno.ECONNRESET, "The source is a client that hung up."),
            OSError(errno.ENOSPC, "The source is on a disk of its own."),
            LookupError("The source is wrong."),
        ],
        ids=lambda fault: type(fault).__name__,
    )
    async def test_the_fault_of_a_source_goes_to_the_caller(
        self, store: BlobStore, fault: Exception, before: int
    ) -> None:
        async def failing() -> AsyncIterator[bytes]:
            async for chunk in chunked(pattern(before)):
                yield chunk
            raise fault

        key = ObjectKey.random()
        with pytest.raises(type(fault)) as caught:
            await store.put(key, failing())
        assert caught.value is fault, "the source's fault is raised as the store's own"
        await self.expect_nothing(store, key)

    async def test_a_key_is_free_after_a_put_that_failed(self, store: BlobStore) -> None:
        key = ObjectKey.random()

        async def failing() -> AsyncIterator[bytes]:
            yield b"the tail of this must not be seen again"
            raise Fault

        with pytest.raises(Fault):
            await store.put(key, failing())
        await self.put(store, b"short", key)
        assert await read(store, key) == b"short"

    async def expect_whole_or_nothing(
        self, store: BlobStore, key: ObjectKey, putting: "asyncio.Task[Stored]", data: bytes
    ) -> None:
        try:
            await putting
        except asyncio.CancelledError:
            await self.expect_nothing(store, key)
        else:
            self.alive.add(key)
            assert await read(store, key) == data

    async def expect_nothing(self, store: BlobStore, key: ObjectKey) -> None:
        with refused(Kind.NOT_FOUND):
            await store.stat(key)
        with refused(Kind.NOT_FOUND):
            await read(store, key)

    # Absence

    async def test_an_absent_object_is_not_found(self, store: BlobStore) -> None:
        key = ObjectKey.random()
        for looking in (store.stat, partial(read, store), partial(read, store, byte_range=ByteRange(0, 1))):
            with pytest.raises(NotFound):
                await looking(key)

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

    async def test_a_delete_that_comes_before_its_put_takes_nothing(self, store: BlobStore) -> None:
        key = ObjectKey.random()
        await store.delete(key)
        await self.put(store, b"a slow write lands", key)
        assert await read(store, key) == b"a slow write lands"

    @pytest.mark.parametrize("before", [0, 300 * KIB, PART + 1])
    async def test_a_delete_during_a_put_and_one_after_it_leave_nothing(self, store: BlobStore, before: int) -> None:
        """As the reaper does after a lease has expired, while the slow writer still writes."""
        stuck, going_on = asyncio.Event(), asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            async for chunk in chunked(pattern(before)):
                yield chunk
            stuck.set()
            await going_on.wait()
            async for chunk in chunked(pattern(PART)):
                yield chunk

        key = ObjectKey.random()
        putting = asyncio.create_task(store.put(key, source()))
        await stuck.wait()
        await store.delete(key)
        going_on.set()
        await asyncio.wait({putting})
        assert isinstance(putting.exception(), BlobError | None)
        await store.delete(key)
        await self.expect_nothing(store, key)

    # Ranges

    @pytest.mark.parametrize("size", [1, 1000, 2 * MIB + 5])
    async def test_ranges(self, store: BlobStore, size: int) -> None:
        data = pattern(size)
        key = await self.put(store, data)
        inside = {0, 1, 512 * KIB, MIB - 1, MIB, MIB + 1, size // 2, size - 1, size}
        edges = sorted(edge for edge in inside if edge <= size)
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

    async def test_keys_with_a_common_prefix_are_distinct(self, store: BlobStore) -> None:
        for key in CHOSEN:
            await self.put(store, key.value.encode(), key)
        for key in CHOSEN:
            assert await read(store, key) == key.value.encode()
        gone = CHOSEN[1::3]
        for key in gone:
            await self.delete(store, key)
            await self.expect_nothing(store, key)
        assert await keys(store) == [key for key in CHOSEN if key not in gone]

    async def test_a_list_goes_on_inside_a_folder(self, store: BlobStore) -> None:
        """After each key, and after keys that do not exist."""
        for key in reversed(CHOSEN):
            await self.put(store, b"", key)
        for position, key in enumerate(CHOSEN):
            assert await keys(store, key) == CHOSEN[position + 1 :], key
        for cursor in ("00", "0100", "aa", "abb0", "abc3", "abc70", "abcf", "abd", "abd1", "ac", "f"):
            after = ObjectKey(cursor.ljust(31, "0") + "5")
            assert await keys(store, after) == [key for key in CHOSEN if key > after], after

    async def test_what_does_not_change_is_listed_once_while_the_rest_does(self, store: BlobStore) -> None:
        made = sorted([await self.put(store, b"") for _ in range(40)])
        ahead = made[30::2]
        listed = []
        async for key in store.list():
            listed.append(key)
            if key in made[:30:2]:
                await self.delete(store, key)
                if ahead:
                    await self.delete(store, ahead.pop())
        stay = made[1:30:2] + made[31::2]
        assert [key for key in listed if key in stay] == stay
        listed = []
        async for key in store.list():
            listed.append(key)
            if len(listed) < len(made):
                await self.put(store, b"")
        assert [key for key in listed if key in stay] == stay

    async def test_a_list_can_be_left_early(self, store: BlobStore) -> None:
        made = sorted([await self.put(store, b"") for _ in range(3)])
        for _ in range(STREAMS + 1):
            async for key in store.list():
                assert key == made[0]
                break
        assert await keys(store) == made

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

    async def test_streams_in_both_directions_at_once(self, store: BlobStore) -> None:
        contents = [pattern(MIB + size) for size in range(STREAMS // 2)]
        made = [await self.put(store, data) for data in contents]
        new = [data[::-1] for data in contents]
        writing = (self.put(store, data) for data in new)
        reading = (read(store, key) for key in made)
        written, found = await asyncio.gather(asyncio.gather(*writing), asyncio.gather(*reading))
        assert found == contents
        assert [await read(store, key) for key in written] == new

    async def test_of_many_puts_at_once_those_that_fail_leave_the_others_alone(self, store: BlobStore) -> None:
        async def failing(data: bytes) -> AsyncIterator[bytes]:
            async for chunk in chunked(data):
                yield chunk
            raise Fault

        async def fail(data: bytes) -> None:
            with pytest.raises(Fault):
                await store.put(ObjectKey.random(), failing(data))

        contents = [pattern(MIB + size) for size in range(8)]
        made, _ = await asyncio.gather(
            asyncio.gather(*(self.put(store, data) for data in contents)),
            asyncio.gather(*(fail(data) for data in contents)),
        )
        assert [await read(store, key) for key in made] == contents
