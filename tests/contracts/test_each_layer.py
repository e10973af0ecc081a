"""The policies: under the contract, and each by what it adds."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks

from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.storage.layers import upload_streams as stream_bounds
from adapters.storage.layers.concurrency import HEAD, ConcurrencyLayer
from adapters.storage.layers.observe import ObserveLayer
from adapters.storage.layers.retry import RetryLayer
from adapters.storage.layers.stack import LayerSettings, with_layers
from adapters.storage.layers.timeout import TimeoutLayer
from adapters.storage.layers.upload_streams import UploadStreams
from adapters.storage.memory import MemoryBlobStore
from application.ports.blob_store import BlobStore, Stored
from application.ports.observer import UNOBSERVED, Observer, Operation, Unobserved
from domain.blob import ByteRange, ObjectKey
from domain.errors import BlobError, Kind, TimedOut, Unavailable, error_class
from tests.contracts.blob_store import BlobStoreContract, Fault, each, keys, pattern, read, refused
from tests.faults.databases import DEADLINE

KEY = ObjectKey("ab" * 16)
OTHER = ObjectKey("cd" * 16)


class TestAroundMemory(BlobStoreContract):
    @pytest.fixture
    def store(self) -> BlobStore:
        return with_layers(MemoryBlobStore(), LayerSettings(), "memory")


class TestAroundFiles(BlobStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[BlobStore]:
        files = FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs"))
        async with with_layers(files, LayerSettings(), "fs") as store:
            await store.check()
            yield store


class TestObserved(BlobStoreContract):
    @pytest.fixture
    def store(self) -> BlobStore:
        return ObserveLayer(MemoryBlobStore(), "memory", Recorder())


class Recorder(Unobserved):
    """What an observer gets."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.retries: list[tuple[str, str]] = []
        self.under_way = 0

    def ended(self, operation: Operation) -> None:
        self.operations.append(operation)

    def retried(self, backend: str, operation: str) -> None:
        self.retries.append((backend, operation))

    def streams(self, backend: str, change: int) -> None:
        self.under_way += change

    def faults(self) -> list[tuple[str, str]]:
        return [(operation.name, operation.fault) for operation in self.operations]


def operations(store: BlobStore) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "check": store.check,
        "put": lambda: store.put(KEY, each([b"x"])),
        "read": lambda: read(store, KEY),
        "stat": lambda: store.stat(KEY),
        "delete": lambda: store.delete(KEY),
        "list": lambda: keys(store),
    }


class Patience(BlobStore):
    """A store that lets the test decide what happens before each operation, and before each chunk that it reads."""

    def __init__(self, before: Callable[[str], Awaitable[None]]) -> None:
        self.before = before
        self.store = MemoryBlobStore()

    async def check(self) -> None:
        await self.before("check")

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        stored = await self.store.put(key, chunks)
        try:
            await self.before("put")
        except BaseException:
            await self.store.delete(key)
            raise
        return stored

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        await self.before("read")
        async with self.store.read(key, byte_range) as chunks:
            yield self._read(chunks)

    async def _read(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            await self.before("read")
            yield chunk

    async def stat(self, key: ObjectKey) -> Stored:
        await self.before("stat")
        return await self.store.stat(key)

    async def delete(self, key: ObjectKey) -> None:
        await self.before("delete")
        await self.store.delete(key)

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        await self.before("list")
        async for key in self.store.list(after):
            yield key
            await self.before("list")


class TestDeadlines:
    async def test_each_operation_has_one(self) -> None:
        async def hang(_: str) -> None:
            await asyncio.Event().wait()

        store = TimeoutLayer(Patience(hang), 0.01)
        for operation in operations(store).values():
            with pytest.raises(TimedOut, match=r"did not respond within 0.01 seconds"):
                await operation()

    async def test_each_chunk_that_is_read_has_one(self) -> None:
        async def hang(operation: str) -> None:
            if operation == "read":
                await asyncio.Event().wait()

        slow = Patience(hang)
        await slow.store.put(KEY, each([b"x"]))
        with refused(Kind.TIMEOUT):
            await read(TimeoutLayer(slow, 0.01), KEY)

    async def test_the_time_of_senders_and_readers_does_not_count(self) -> None:
        async def slow_sender() -> AsyncIterator[bytes]:
            for _ in range(3):
                await asyncio.sleep(0.3)  # time is what this is about
                yield b"x"
            await asyncio.sleep(0.3)

        store = TimeoutLayer(MemoryBlobStore(), 0.5)
        assert await store.put(KEY, slow_sender()) == Stored(3)
        async with store.read(KEY) as chunks:
            await asyncio.sleep(0.6)
            assert b"".join([chunk async for chunk in chunks]) == b"xxx"

    async def test_cleaning_up_after_a_sender_that_failed_has_one(self) -> None:
        class NeverDone(MemoryBlobStore):
            async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
                try:
                    return await super().put(key, chunks)
                finally:
                    await asyncio.Event().wait()

        async def failing() -> AsyncIterator[bytes]:
            yield b"x"
            raise Fault

        async with asyncio.timeout(10):
            with refused(Kind.TIMEOUT):
                await TimeoutLayer(NeverDone(), 0.01).put(KEY, failing())

    async def test_a_store_that_suppresses_it_is_cancelled_again(self) -> None:
        class Deaf(MemoryBlobStore):
            async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
                return await super().put(key, chunks)

        with refused(Kind.TIMEOUT):
            await TimeoutLayer(Deaf(), 0.01).put(KEY, each([b"x"]))

    async def test_a_timeout_of_somebody_else_is_his(self) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield b"x"
            raise TimeoutError("the sender's")

        with pytest.raises(TimeoutError, match="the sender's"):
            await TimeoutLayer(MemoryBlobStore(), 60).put(KEY, failing())


class Flaky:
    """Fails so many times with an error of this kind."""

    def __init__(self, times: int, kind: Kind = Kind.UNAVAILABLE) -> None:
        self.times = times
        self.kind = kind
        self.tries = 0

    async def __call__(self, _: str) -> None:
        self.tries += 1
        if self.tries <= self.times:
            raise error_class(self.kind)("not now")


class TestMoreTries:
    @pytest.mark.parametrize("name", ["read", "stat", "delete", "list"])
    async def test_what_is_unavailable_is_tried_again(self, name: str) -> None:
        for times, tries in ((2, 3), (3, 3)):
            flaky = Flaky(times)
            inner = Patience(flaky)
            await inner.store.put(KEY, each([b"x"]))
            operation = operations(RetryLayer(inner, 3, "memory"))[name]
            if times == 3:
                with refused(Kind.UNAVAILABLE):
                    await operation()
                assert flaky.tries == tries
            else:
                await operation()
                assert flaky.tries >= tries

    @pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.UNAVAILABLE])
    async def test_nothing_else_is(self, kind: Kind) -> None:
        for name, operation in operations(RetryLayer(Patience(flaky := Flaky(1, kind)), 3, "memory")).items():
            flaky.tries = 0
            with refused(kind):
                await operation()
            assert flaky.tries == 1, name

    @pytest.mark.parametrize("name", ["read", "stat", "delete", "list"])
    async def test_a_repeated_error_is_logged_with_its_context(self, name: str) -> None:
        """The log line of an attempt is written here, before an outer layer sees the error."""
        logged: list[str] = []
        inner = Patience(Flaky(1))
        await inner.store.put(KEY, each([b"x"]))
        hooks = get_on_retry_hooks()
        set_on_retry_hooks([lambda details: logged.append(str(details.caused_by))])
        try:
            await operations(RetryLayer(inner, 2, "memory"))[name]()
        finally:
            set_on_retry_hooks(hooks)
        key = "" if name == "list" else f" {KEY}"
        assert logged == [f"unavailable: not now (memory {name}{key})"]

    async def test_a_check_is_not_repeated(self) -> None:
        with refused(Kind.UNAVAILABLE):
            await RetryLayer(Patience(Flaky(1)), 3, "memory").check()

    async def test_a_list_goes_on_where_it_was(self) -> None:
        looks = 0

        async def fail_in_the_middle(_: str) -> None:
            nonlocal looks
            looks += 1
            if looks in (5, 6, 9):
                raise Unavailable("not now")

        inner = Patience(fail_in_the_middle)
        made = sorted([ObjectKey.random() for _ in range(10)])
        for key in made:
            await inner.store.put(key, each([]))
        assert await keys(RetryLayer(inner, 4, "memory")) == made
        assert looks == 4 + 10  # one at each start, and one behind each key: none was listed twice


def bounded(
    store: BlobStore,
    streams: int = 1,
    *,
    senders: int = 100,
    seconds: float = DEADLINE,
    observer: Observer = UNOBSERVED,
) -> ConcurrencyLayer:
    return ConcurrencyLayer(store, UploadStreams(streams, seconds, "memory", observer), senders, seconds, "memory")


class TestBounds:
    @pytest.fixture(autouse=True)
    def never_idle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No stream is lent."""
        monkeypatch.setattr(stream_bounds, "IDLE", DEADLINE)

    async def test_no_more_streams_than_allowed(self) -> None:
        store = bounded(MemoryBlobStore(), 2, seconds=0.01)
        await store.put(KEY, each([b"x"]))
        async with store.read(KEY), store.read(KEY):
            for failing in (read(store, KEY), store.put(OTHER, each([pattern(HEAD)]))):
                with pytest.raises(BlobError, match="Too many objects") as caught:
                    await failing
                assert caught.value.kind is Kind.TIMEOUT
            assert await store.stat(KEY) == Stored(1)
        assert await read(store, KEY) == b"x"

    async def test_one_stream_is_left_for_short_puts(self) -> None:
        store = bounded(MemoryBlobStore())
        await store.put(KEY, each([b"x"]))
        async with store.read(KEY):
            puts = [store.put(ObjectKey.random(), each([b"x"])) for _ in range(20)]
            assert await asyncio.gather(*puts) == [Stored(1)] * 20

    async def test_no_more_large_puts_than_have_memory(self) -> None:
        store = bounded(MemoryBlobStore(), 3, senders=1, seconds=0.05)
        sending, going_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield pattern(HEAD + 1)
            sending.set()
            await going_on.wait()

        putting = asyncio.create_task(store.put(KEY, slow()))
        await sending.wait()
        with pytest.raises(BlobError, match="Too many large objects"):
            await store.put(OTHER, each([pattern(HEAD)]))
        going_on.set()
        assert await putting == Stored(HEAD + 1)

    async def test_who_waits_gets_the_place_that_becomes_free(self) -> None:
        store = bounded(MemoryBlobStore())
        await store.put(KEY, each([b"x"]))
        for leave_by_error in (False, True):
            waiting = asyncio.create_task(self.wait_behind(store, leave_by_error))
            assert await waiting == b"x"

    async def wait_behind(self, store: BlobStore, leave_by_error: bool) -> bytes:
        try:
            async with store.read(KEY):
                waiting = asyncio.create_task(read(store, KEY))
                await asyncio.sleep(0)
                if leave_by_error:
                    raise Fault
        except Fault:
            pass
        return await waiting

    async def test_who_is_cancelled_while_it_waits_keeps_no_stream(self) -> None:
        store = bounded(MemoryBlobStore())
        await store.put(KEY, each([b"x"]))
        for turns in range(6):
            async with store.read(KEY):
                waiting = asyncio.create_task(read(store, KEY))
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
            assert await read(store, KEY) == b"x"


class TestWhatAnObserverIsTold:
    async def test_each_operation_once_and_no_refusal_as_a_fault(self) -> None:
        store = ObserveLayer(MemoryBlobStore(), "m", recorder := Recorder())
        for operation in operations(store).values():
            await operation()
        with refused(Kind.NOT_FOUND):
            await read(store, KEY)
        names = ["check", "put", "read", "stat", "delete", "list", "read"]
        assert recorder.faults() == [(name, "") for name in names]
        assert {operation.backend for operation in recorder.operations} == {"m"}
        assert all(operation.seconds >= 0 for operation in recorder.operations)

    async def test_faults_by_their_kind_and_bugs(self) -> None:
        class Buggy(MemoryBlobStore):
            async def stat(self, key: ObjectKey) -> Stored:
                raise Fault

        store = ObserveLayer(Patience(Flaky(6)), "m", recorder := Recorder())
        for operation in operations(store).values():
            with refused(Kind.UNAVAILABLE):
                await operation()
        with pytest.raises(Fault):
            await ObserveLayer(Buggy(), "m", recorder).stat(KEY)
        unavailable = [(name, "unavailable") for name in ("check", "put", "read", "stat", "delete", "list")]
        assert recorder.faults() == [*unavailable, ("stat", "bug")]
        assert recorder.under_way == 0

    async def test_senders_and_readers_neither_count_nor_are_they_to_blame(self) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.sleep(0.5)  # time is what this is about
            raise Fault

        store = ObserveLayer(MemoryBlobStore(), "m", recorder := Recorder())
        await store.put(OTHER, each([b"x"]))
        with pytest.raises(Fault):
            await store.put(KEY, failing())
        with suppress(Fault):
            async with store.read(OTHER) as chunks:
                assert await anext(chunks) == b"x"
                assert recorder.under_way == 1
                await asyncio.sleep(0.5)
                raise Fault
        assert recorder.faults() == [("put", ""), ("put", ""), ("read", "")]
        assert all(operation.seconds < 0.5 for operation in recorder.operations)
        assert recorder.under_way == 0

    async def test_further_tries_and_waits_for_a_place(self) -> None:
        policies = LayerSettings(timeout=0.2, streams=1)
        flaky = Patience(Flaky(1))
        store = with_layers(flaky, policies, "m", recorder := Recorder())
        await flaky.store.put(KEY, each([b"x"]))
        await store.stat(KEY)
        async with store.read(KEY):
            with refused(Kind.TIMEOUT):
                await read(store, KEY)
        assert recorder.retries == [("m", "stat")]
        assert recorder.faults() == [("stat", ""), ("wait", "timeout"), ("read", "")]


async def test_the_error_of_a_source_is_in_no_reference_cycle() -> None:
    """Otherwise the bytes of an upload that breaks off take memory until the garbage collection."""
    held: list[weakref.ref[object]] = []

    class Held: ...

    async def source() -> AsyncIterator[bytes]:
        local = Held()
        held.append(weakref.ref(local))
        yield b"x"
        raise ValueError

    store = ObserveLayer(MemoryBlobStore(), "memory", UNOBSERVED)
    gc.disable()
    try:
        with suppress(ValueError):
            await store.put(KEY, source())
        assert [each() for each in held] == [None]
    finally:
        gc.enable()
