"""The use cases put together on real adapters, with a clock that can be moved."""

from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from application.blobs.fetch import FetchBlob
from application.blobs.store import IdentifiedBytes, NewBlob, StoreBlob
from application.maintenance.reap import Reap, Reaped
from application.ports.blob_store import BlobStore
from application.stores import Stores
from application.uploads.lifecycle import Uploads
from domain.access import EVERYTHING
from domain.blob import Blob, BlobId, ByteRange, ObjectKey
from domain.precondition import ANY, Precondition
from domain.properties import DEFAULT_CONTENT_TYPE, Properties
from tests.contracts.blob_store import each, keys
from tests.contracts.metadata import Metadata

ID = BlobId("k5")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Time:
    """A clock that stands still until it is moved: the database's and the monotonic one."""

    def __init__(self) -> None:
        self.now = LONG_AGO

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return (self.now - LONG_AGO).total_seconds()

    def pass_by(self, time: timedelta) -> None:
        self.now += time


def new_blob(
    blob_id: BlobId, chunks: AsyncIterable[bytes], content_type: str = DEFAULT_CONTENT_TYPE, **more: Any
) -> NewBlob:
    """A blob to store, whose id is known before its bytes."""
    return NewBlob(IdentifiedBytes(blob_id, chunks), Properties(content_type), **more)


def with_uploads(store: StoreBlob, **changes: Any) -> StoreBlob:
    """The use case with other uploads: their units of work, lease, waits or clock."""
    return replace(store, uploads=replace(store.uploads, **changes))


@dataclass
class Drive:
    """The use cases put together, and a look at what lies underneath."""

    metadata: Metadata
    stores: Stores
    time: Time

    def __post_init__(self) -> None:
        uploads = Uploads(self.metadata, self.stores, monotonic=self.time.monotonic)
        self.store = StoreBlob(uploads, ObjectKey.random, 100_000_000)
        self.fetch = FetchBlob(self.metadata.blobs, self.metadata.contents, self.stores, self.metadata)

    @property
    def active(self) -> BlobStore:
        return self.stores.by_name[self.stores.active]

    async def put(self, data: bytes, blob_id: BlobId = ID, precondition: Precondition = ANY) -> Blob:
        return (await self.store(EVERYTHING, new_blob(blob_id, each([data]), precondition=precondition))).blob

    async def get(self, blob_id: BlobId = ID, choose: Callable[[Blob], ByteRange | None] = lambda _: None) -> bytes:
        async with self.fetch(EVERYTHING, blob_id, choose) as opened:
            return b"".join([chunk async for chunk in opened])

    async def reap(self, backend: str | None = None) -> Reaped:
        return await Reap(self.metadata, self.stores)(backend or self.stores.active)

    async def objects(self) -> set[ObjectKey]:
        return set(await keys(self.active))
