"""Retries after temporary errors, over stamina."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import stamina

from adapters.error_context import ErrorContext
from adapters.storage.layers.base import BlobStoreLayer
from application.ports.blob_store import BlobStore, Stored
from application.ports.observer import UNOBSERVED, Observer
from domain.blob import ByteRange, ObjectKey
from domain.errors import Unavailable


class RetryLayer(BlobStoreLayer):
    """Makes up to `attempts` attempts at an operation that fails with UNAVAILABLE, with growing pauses.

    `read` is repeated until it returns the first time, and a listing continues after its last key. A timeout is not
    repeated, because the caller has waited long enough. A check is not repeated, because it reports the present state.

    A put is never repeated here: requests or the clean-up of the first attempt may reach the backend after the second,
    and would delete the object. Another attempt needs another key, which only the caller can choose.
    """

    def __init__(self, store: BlobStore, attempts: int, backend: str, observer: Observer = UNOBSERVED) -> None:
        super().__init__(store)
        self._attempts = attempts
        self._backend = backend
        self._observer = observer

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async with AsyncExitStack() as stack:
            async for attempt in self._retry():
                with self._attempt(attempt, "read", key):
                    chunks = await stack.enter_async_context(self.store.read(key, byte_range))
            yield chunks

    async def stat(self, key: ObjectKey) -> Stored:
        async for attempt in self._retry():
            with self._attempt(attempt, "stat", key):
                stored = await self.store.stat(key)
        return stored

    async def delete(self, key: ObjectKey) -> None:
        async for attempt in self._retry():
            with self._attempt(attempt, "delete", key):
                await self.store.delete(key)

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        async for attempt in self._retry():
            with self._attempt(attempt, "list"):
                async for key in self.store.list(after):
                    after = key
                    yield key

    @contextmanager
    def _attempt(self, attempt: stamina.Attempt, operation: str, key: ObjectKey | None = None) -> Iterator[None]:
        if attempt.num > 1:
            self._observer.retried(self._backend, operation)
        # Before stamina logs the error: the outer layers see only the error of the last attempt.
        with attempt, ErrorContext(self._backend, operation, key):
            yield

    def _retry(self) -> AsyncIterator[stamina.Attempt]:
        return aiter(
            stamina.retry_context(
                Unavailable, attempts=self._attempts, timeout=None, wait_initial=0.1, wait_max=2, wait_jitter=0.1
            )
        )
