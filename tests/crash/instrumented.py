"""The ports with a point before and after each call: what the use cases do, in their own words."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Self, TypeVar, cast

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.storage.layers.base import BlobStoreLayer
from application.ports.blob_store import Stored
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from domain.blob import ObjectKey
from tests.crash.failpoints import PASSAGE, point, step

T = TypeVar("T")


class InstrumentedStore(BlobStoreLayer):
    """A store, instrumented from outside its policies."""

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        if (passage := PASSAGE.get()) is not None:
            passage.put_keys.append(key.value)
        async with step("store.put"), aclosing(_instrumented_chunks(chunks)) as instrumented:
            return await self.store.put(key, instrumented)

    async def delete(self, key: ObjectKey) -> None:
        async with step("store.delete"):
            await self.store.delete(key)


async def _instrumented_chunks(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    source = aiter(chunks)
    while True:
        await point("chunk:before")
        try:
            chunk = await anext(source)
        except StopAsyncIteration:
            return
        await point("chunk:after")
        yield chunk


def instrumented_stores(stores: Stores) -> Stores:
    return Stores(stores.active, {name: InstrumentedStore(store) for name, store in stores.by_name.items()})


class InstrumentedUnits(UnitOfWorkFactory):
    """Metadata, of which the units of work are instrumented, and not what only reads."""

    def __init__(self, metadata: MemoryMetadata | SqlMetadata) -> None:
        self._metadata = metadata

    def __getattr__(self, name: str) -> Any:
        return getattr(self._metadata, name)

    @property
    def large_units(self) -> UnitOfWorkFactory:
        return _LargeUnits(self._metadata)

    async def __aenter__(self) -> Self:
        if isinstance(self._metadata, AbstractAsyncContextManager):
            await self._metadata.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        if isinstance(self._metadata, AbstractAsyncContextManager):
            await self._metadata.__aexit__(*exc)

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return _instrumented_unit(self._metadata)


class _LargeUnits(UnitOfWorkFactory):
    def __init__(self, metadata: MemoryMetadata | SqlMetadata) -> None:
        self._units = metadata.large_units

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return _instrumented_unit(self._units)


@asynccontextmanager
async def _instrumented_unit(units: UnitOfWorkFactory) -> AsyncIterator[UnitOfWork]:
    await point("unit:before")
    async with units() as work:
        await point("unit:after")
        yield _InstrumentedUnit(work)


class _InstrumentedUnit(UnitOfWork):
    def __init__(self, work: UnitOfWork) -> None:
        self._work = work
        self.blobs = _instrumented("blobs", work.blobs)
        self.uploads = _instrumented("uploads", work.uploads)
        self.garbage = _instrumented("garbage", work.garbage)
        self.storages = _instrumented("storages", work.storages)
        self.objects = _instrumented("objects", work.objects)
        self.trash = _instrumented("trash", work.trash)
        self.contents = _instrumented("contents", work.contents)
        self.multipart = _instrumented("multipart", work.multipart)
        self.moves = _instrumented("moves", work.moves)
        self.commits = _instrumented("commits", work.commits)
        self.keys = _instrumented("keys", work.keys)
        self.shares = _instrumented("shares", work.shares)
        self.buckets = _instrumented("buckets", work.buckets)
        self.verifications = _instrumented("verifications", work.verifications)

    async def commit(self) -> None:
        async with step("commit"):
            await self._work.commit()


def _instrumented(name: str, repository: T) -> T:
    return cast("T", _Instrumented(name, repository))


class _Instrumented:
    def __init__(self, name: str, repository: object) -> None:
        self._name = name
        self._repository = repository

    def __getattr__(self, method: str) -> Any:
        async def instrumented(*args: Any, **more: Any) -> Any:
            async with step(f"{self._name}.{method}"):
                return await getattr(self._repository, method)(*args, **more)

        return instrumented
