"""The base of all layers."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from application.ports.blob_store import BlobStore, Stored
from domain.blob import ByteRange, ObjectKey


class BlobStoreLayer(BlobStore):
    """A store around another one, whose context it enters and exits."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store

    async def __aenter__(self) -> Self:
        if isinstance(self.store, AbstractAsyncContextManager):
            await self.store.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self.store, AbstractAsyncContextManager):
            await self.store.__aexit__(kind, error, trace)

    async def check(self) -> None:
        await self.store.check()

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        return await self.store.put(key, chunks)

    def read(
        self, key: ObjectKey, byte_range: ByteRange | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self.store.read(key, byte_range)

    async def stat(self, key: ObjectKey) -> Stored:
        return await self.store.stat(key)

    async def delete(self, key: ObjectKey) -> None:
        await self.store.delete(key)

    def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        return self.store.list(after)
