"""Fetch a blob: its row first, then its object."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from application.authorize import authorize
from application.blobs.hold import RENEWALS, Hold
from application.blobs.store import GRACE
from application.ports.metadata import BlobReader, UnitOfWorkFactory
from application.stores import Stores
from domain.access import Action, Grant
from domain.blob import Blob, BlobId, ByteRange, Location
from domain.errors import BlobError, IntegrityError, NotFound


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """A blob and its bytes, or those of `byte_range`, to be iterated once.

    All bytes are of this one version, whatever happens to the id and however long the reading takes. Raises
    INTEGRITY if the object's size differs from the blob's.
    """

    blob: Blob
    byte_range: ByteRange | None
    _chunks: AsyncIterator[bytes]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        start, stop = (self.byte_range.start, self.byte_range.stop) if self.byte_range else (0, self.blob.size)
        position = start
        async for chunk in self._chunks:
            position += len(chunk)
            if position > stop:
                break
            yield chunk
        if position != stop:
            raise damaged(self.blob, "is longer" if position > stop else f"ends after {position:,} bytes")


@dataclass(frozen=True, slots=True)
class FetchBlob:
    """Open the current version of a blob, or the part of it that `choose` names when it is shown the blob: a context.

    `grace`: how long an object is kept once its blob was replaced or deleted, which a long reading renews so many times
    in a grace. Raises FORBIDDEN, NOT_FOUND, what `choose` raises, and INTEGRITY if the bytes of a blob are not there.
    """

    blobs: BlobReader
    stores: Stores
    units: UnitOfWorkFactory
    grace: timedelta = GRACE
    renewals: int = RENEWALS

    @asynccontextmanager
    async def __call__(
        self, grant: Grant, blob_id: BlobId, choose: Callable[[Blob], ByteRange | None] = lambda _: None
    ) -> AsyncIterator[OpenBlob]:
        authorize(grant, Action.READ, blob_id)
        async with AsyncExitStack() as reading:
            yield await self._open(reading, blob_id, choose)

    async def stat(self, grant: Grant, blob_id: BlobId) -> Blob:
        """Return the current version of a blob without its bytes. Raises FORBIDDEN and NOT_FOUND."""
        authorize(grant, Action.READ, blob_id)
        return await self.blobs.get(blob_id)

    async def _open(
        self, reading: AsyncExitStack, blob_id: BlobId, choose: Callable[[Blob], ByteRange | None]
    ) -> OpenBlob:
        blob = await self.blobs.get(blob_id)
        while True:
            byte_range = choose(blob)
            with suppress(NotFound):
                chunks = await reading.enter_async_context(self._object(blob.location, byte_range))
                return OpenBlob(blob, byte_range, chunks)
            # Replaced, and the old object reaped, between the two reads? Then there is another version by now, of
            # which another part may be wanted.
            newer = await self.blobs.get(blob_id)
            if newer.location == blob.location:
                raise damaged(blob, "is gone")
            blob = newer

    @asynccontextmanager
    async def _object(self, location: Location, byte_range: ByteRange | None) -> AsyncIterator[AsyncIterator[bytes]]:
        store = self.stores.holding(location)
        hold = Hold(self.units, location.key, self.grace, self.renewals)
        async with hold, store.read(location.key, byte_range) as chunks:
            yield chunks


def damaged(blob: Blob, problem: str) -> BlobError:
    detail = f"The stored object of this blob {problem}; it should have {blob.size:,} bytes. Tell the operator."
    return IntegrityError(detail, backend=blob.location.backend, subject=blob.location.key)
