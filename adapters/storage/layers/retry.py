"""More tries of what fails for reasons that may pass, over stamina."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import stamina

from adapters.storage.layers.base import BlobStoreLayer
from application.ports.blob_store import BlobStore, Stored
from application.ports.observer import UNOBSERVED, Observer
from domain.blob import ByteRange, ObjectKey
from domain.errors import Unavailable


class RetryLayer(BlobStoreLayer):
    """Up to `attempts` tries, further and further apart, of what is UNAVAILABLE and can be repeated.

    An `open` is repeated until it has been entered, and a listing goes on after the last key. What took too long is not
    repeated: its caller has waited enough. Neither is a check, which is to say how things are.

    A put is never repeated here. What the first attempt has sent, or its clean-up, may reach the backend after the
    second, and would take the object away. Another attempt needs another key, which is the caller's to give.
    """

    def __init__(self, store: BlobStore, attempts: int, backend: str, observer: Observer = UNOBSERVED) -> None:
        super().__init__(store)
        self._attempts = attempts
        self._backend = backend
        self._observer = observer

    @asynccontextmanager
    async def open(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async with AsyncExitStack() as stack:
            async for attempt in self._tries():
                with self._noted("read", attempt):
                    chunks = await stack.enter_async_context(self.store.open(key, byte_range))
            yield chunks

    async def stat(self, key: ObjectKey) -> Stored:
        async for attempt in self._tries():
            with self._noted("stat", attempt):
                stored = await self.store.stat(key)
        return stored

    async def delete(self, key: ObjectKey) -> None:
        async for attempt in self._tries():
            with self._noted("delete", attempt):
                await self.store.delete(key)

    async def keys(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        async for attempt in self._tries():
            with self._noted("list", attempt):
                async for key in self.store.keys(after):
                    after = key
                    yield key

    def _noted(self, operation: str, attempt: stamina.Attempt) -> stamina.Attempt:
        if attempt.num > 1:
            self._observer.retried(self._backend, operation)
        return attempt

    def _tries(self) -> AsyncIterator[stamina.Attempt]:
        return aiter(
            stamina.retry_context(
                _may_pass, attempts=self._attempts, timeout=None, wait_initial=0.1, wait_max=2, wait_jitter=0.1
            )
        )


def _may_pass(error: Exception) -> bool:
    return isinstance(error, Unavailable)
