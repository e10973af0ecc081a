"""A storage that is watched at work."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager

from adapters.storage.policies.around import Around
from adapters.watch import Watch, watched
from application.ports.blob_store import BlobStore, Stored
from application.ports.observer import Observer
from domain.blob import ByteRange, ObjectKey


class ObservedBlobStore(Around):
    """Tells `observer` of each operation, and of the streams that are under way."""

    def __init__(self, store: BlobStore, backend: str, observer: Observer) -> None:
        super().__init__(store)
        self._backend = backend
        self._observer = observer

    async def check(self) -> None:
        with watched(self._observer, self._backend, "check"):
            await self.store.check()

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        with self._stream("put") as watch:
            async with aclosing(watch.sent(chunks)) as sent:
                with watch:
                    return await self.store.put(key, sent)

    @asynccontextmanager
    async def open(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        with self._stream("open") as watch:
            async with AsyncExitStack() as stack:
                with watch:
                    chunks = await stack.enter_async_context(self.store.open(key, byte_range))
                yield watch.taken(chunks)

    async def stat(self, key: ObjectKey) -> Stored:
        with watched(self._observer, self._backend, "stat"):
            return await self.store.stat(key)

    async def delete(self, key: ObjectKey) -> None:
        with watched(self._observer, self._backend, "delete"):
            await self.store.delete(key)

    async def keys(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        watch = Watch(self._observer, self._backend, "keys")
        try:
            async for key in watch.taken(self.store.keys(after)):
                yield key
        finally:
            watch.end()

    @contextmanager
    def _stream(self, name: str) -> Iterator[Watch]:
        watch = Watch(self._observer, self._backend, name)
        self._observer.streams(self._backend, +1)
        try:
            yield watch
        finally:
            self._observer.streams(self._backend, -1)
            watch.end()
