"""More tries of what fails for reasons that may pass, over stamina."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import stamina

from adapters.storage.policies.around import Around
from application.ports.blob_store import BlobStore, Stored
from application.ports.observer import UNOBSERVED, Observer
from domain.blob import ByteRange, ObjectKey
from domain.errors import DriveError, Kind

KEPT = 256 * 1024  # bytes of a put that are kept for another try


class RetryingBlobStore(Around):
    """Up to `attempts` tries, further and further apart, of what is UNAVAILABLE and can be repeated.

    So a put is while all that it took of its source is still at hand, an `open` until it has been entered, and a
    listing goes on behind the last key. What took too long is not tried again: its caller has waited enough. Neither
    is a check, which is to say how things are.
    """

    def __init__(self, store: BlobStore, attempts: int, backend: str, observer: Observer = UNOBSERVED) -> None:
        super().__init__(store)
        self._attempts = attempts
        self._backend = backend
        self._observer = observer

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        source = _Kept(chunks)
        async for attempt in self._tries(lambda: source.is_whole):
            with self._told("put", attempt):
                async with aclosing(source.again()) as again:
                    stored = await self.store.put(key, again)
        return stored

    @asynccontextmanager
    async def open(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async with AsyncExitStack() as stack:
            async for attempt in self._tries():
                with self._told("open", attempt):
                    chunks = await stack.enter_async_context(self.store.open(key, byte_range))
            yield chunks

    async def stat(self, key: ObjectKey) -> Stored:
        async for attempt in self._tries():
            with self._told("stat", attempt):
                stored = await self.store.stat(key)
        return stored

    async def delete(self, key: ObjectKey) -> None:
        async for attempt in self._tries():
            with self._told("delete", attempt):
                await self.store.delete(key)

    async def keys(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        async for attempt in self._tries():
            with self._told("keys", attempt):
                async for key in self.store.keys(after):
                    after = key
                    yield key

    def _told(self, operation: str, attempt: stamina.Attempt) -> stamina.Attempt:
        if attempt.num > 1:
            self._observer.retried(self._backend, operation)
        return attempt

    def _tries(self, repeatable: Callable[[], bool] = lambda: True) -> AsyncIterator[stamina.Attempt]:
        def helps(error: Exception) -> bool:
            return isinstance(error, DriveError) and error.kind is Kind.UNAVAILABLE and repeatable()

        return aiter(
            stamina.retry_context(
                helps, attempts=self._attempts, timeout=None, wait_initial=0.1, wait_max=2, wait_jitter=0.1
            )
        )


class _Kept:
    """A source that can be read from its start as often as wanted, while it is short."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._source = aiter(chunks)
        self._kept: list[bytes] = []
        self._size = 0
        self.is_whole = True
        """Whether what was read so far can be read again, and the source be read on."""

    async def again(self) -> AsyncGenerator[bytes]:
        for chunk in self._kept:
            yield chunk
        while True:
            before, self.is_whole = self.is_whole, False  # which it stays if the source is cancelled, or fails
            try:
                chunk = await anext(self._source)
            except StopAsyncIteration:
                self.is_whole = before
                return
            self._size += len(chunk)
            if before and self._size <= KEPT:
                self._kept.append(chunk)
                self.is_whole = True
            else:
                self._kept.clear()
            yield chunk
