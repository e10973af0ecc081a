"""Reports and error context for the operations of a storage."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from adapters.operation_timer import OperationTimer, WholeOperationTimer
from adapters.storage.layers.base import BlobStoreLayer
from application.ports.blob_store import BlobStore, Stored
from application.ports.observer import Observer
from domain.blob import ByteRange, ObjectKey


class ObserveLayer(BlobStoreLayer):
    """Reports operations and the number of open streams to `observer`, and adds the context to errors.

    Each error of the storage gets the backend, the operation and the object key. Adapters rely on this layer for it.
    """

    def __init__(self, store: BlobStore, backend: str, observer: Observer) -> None:
        super().__init__(store)
        self._backend = backend
        self._observer = observer

    async def check(self) -> None:
        with WholeOperationTimer(self._observer, self._backend, "check"):
            await self.store.check()

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        with _Stream(self._observer, self._backend, "put", key) as timer, timer:
            return await self.store.put(key, timer.untimed(chunks))

    def read(
        self, key: ObjectKey, byte_range: ByteRange | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return _ObservedRead(self.store.read(key, byte_range), _Stream(self._observer, self._backend, "read", key))

    async def stat(self, key: ObjectKey) -> Stored:
        with WholeOperationTimer(self._observer, self._backend, "stat", key):
            return await self.store.stat(key)

    async def delete(self, key: ObjectKey) -> None:
        with WholeOperationTimer(self._observer, self._backend, "delete", key):
            await self.store.delete(key)

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        timer = OperationTimer(self._observer, self._backend, "list")
        try:
            async for key in timer.timed(self.store.list(after)):
                yield key
        finally:
            timer.end()


class _ObservedRead(AbstractAsyncContextManager[AsyncIterator[bytes]], AsyncIterator[bytes]):
    def __init__(self, reading: AbstractAsyncContextManager[AsyncIterator[bytes]], stream: "_Stream") -> None:
        self._reading = reading
        self._stream = stream

    async def __aenter__(self) -> AsyncIterator[bytes]:
        self._timer = self._stream.__enter__()
        try:
            with self._timer:
                self._chunks = await self._reading.__aenter__()
        except BaseException:
            self._stream.__exit__()
            raise
        return self

    async def __anext__(self) -> bytes:
        with self._timer:
            chunk = await anext(self._chunks, None)
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._reading.__aexit__(kind, error, trace)
        finally:
            self._stream.__exit__()


class _Stream:
    """A context manager for one open stream."""

    def __init__(self, observer: Observer, backend: str, name: str, key: ObjectKey) -> None:
        self._observer = observer
        self._backend = backend
        self._name = name
        self._key = key

    def __enter__(self) -> OperationTimer:
        self._timer = OperationTimer(self._observer, self._backend, self._name, self._key)
        self._observer.streams(self._backend, +1)
        return self._timer

    def __exit__(self, *exc: object) -> None:
        self._observer.streams(self._backend, -1)
        self._timer.end()
