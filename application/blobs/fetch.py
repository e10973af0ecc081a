"""Fetch a blob: its row first, then its object."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

from application.authorize import authorize
from application.blobs.hold import RENEWALS, Hold
from application.contents.retention import GRACE
from application.contents.segments import SegmentRows, read_segments
from application.ports.contents import ContentReader
from application.ports.metadata import BlobAndBytesReader, BlobReader, UnitOfWorkFactory
from application.stores import Stores, any_storage
from domain.access import Action, Grant
from domain.blob import Blob, BlobId, ByteRange, Content
from domain.errors import BlobError, IntegrityError, NotFound, RangeNotSatisfiable

Choose = Callable[[Blob], ByteRange | None]


class OpenBlob:
    """A blob and its bytes, or those of `byte_range`, to be iterated once.

    All bytes are of this one version, whatever happens to the id and however long the reading takes. Raises
    INTEGRITY if the object's size differs from the blob's, or if a part of it is gone.
    """

    __slots__ = ("_chunks", "_position", "_stop", "blob", "byte_range")

    def __init__(self, blob: Blob, byte_range: ByteRange | None, chunks: AsyncIterator[bytes]) -> None:
        self.blob = blob
        self.byte_range = byte_range
        self._chunks = chunks
        self._position, self._stop = (byte_range.start, byte_range.stop) if byte_range else (0, blob.size)

    @property
    def size(self) -> int:
        """The number of bytes to come, before the iteration."""
        return self._stop - self._position

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self._next():
            return chunk
        raise StopAsyncIteration

    async def read(self) -> bytes:
        """Return all bytes, of a blob that is small."""
        first = await self._next()
        while chunk := await self._next():
            first += chunk
        return first

    async def _next(self) -> bytes:
        """Return the next chunk; an empty one at the end."""
        try:
            chunk = await anext(self._chunks, b"")
        except NotFound:  # too late for another version: these bytes are a part of the one that was opened
            raise damaged(self.blob, f"is gone after {self._position:,} bytes") from None
        self._position += len(chunk)
        if self._position > self._stop:
            raise damaged(self.blob, "is longer")
        if not chunk and self._position != self._stop:
            raise damaged(self.blob, f"ends after {self._position:,} bytes")
        return chunk


@dataclass(frozen=True, slots=True)
class FetchBlob:
    """Open the current version of a blob, or the part of it that `choose` names when it is shown the blob: a context.

    `together`: a reader of rows with their bytes, for servers whose small blobs may be on DATABASE.
    `grace`: how long an object is kept once its blob was replaced or deleted, which a long reading renews so many times
    in a grace. `recognise` raises if a storage is not the one that the database knows: then an object that is not there
    is no damage. Raises FORBIDDEN, NOT_FOUND, what `choose` raises, and INTEGRITY if the bytes of a blob are not there.
    """

    blobs: BlobReader
    contents: ContentReader
    stores: Stores
    units: UnitOfWorkFactory
    grace: timedelta = GRACE
    renewals: int = RENEWALS
    together: BlobAndBytesReader | None = None
    recognise: Callable[[str], Awaitable[object]] = any_storage

    def __call__(self, grant: Grant, blob_id: BlobId, choose: Choose = lambda _: None) -> "Fetching":
        return Fetching(self, grant, blob_id, choose)

    async def stat(self, grant: Grant, blob_id: BlobId) -> Blob:
        """Return the current version of a blob without its bytes. Raises FORBIDDEN and NOT_FOUND."""
        authorize(grant, Action.READ, blob_id)
        return await self.blobs.get(blob_id)


class Fetching(AbstractAsyncContextManager[OpenBlob]):
    """A fetch in progress. Not a generator, because every request uses it."""

    def __init__(self, fetch: FetchBlob, grant: Grant, blob_id: BlobId, choose: Choose) -> None:
        self._fetch = fetch
        self._grant = grant
        self._id = blob_id
        self._choose = choose
        self._reading: AbstractAsyncContextManager[AsyncIterator[bytes]] | None = None

    async def __aenter__(self) -> OpenBlob:
        authorize(self._grant, Action.READ, self._id)
        blob, data = await self._find()
        while True:
            byte_range = self._choose(blob)
            if data is not None:
                part = data[byte_range.start : byte_range.stop] if byte_range else data
                return OpenBlob(blob, byte_range, _OneChunk(part))
            try:
                return OpenBlob(blob, byte_range, await self._open(blob.content, byte_range))
            except NotFound:
                # Replaced or moved, and the old object reaped, between the two reads? Then there is another version by
                # now, of which another part may be wanted, or the same bytes elsewhere.
                newer = await self._fetch.blobs.get(self._id)
                if newer.location == blob.location:
                    await self._fetch.recognise(blob.location.backend)
                    raise damaged(blob, "is gone") from None
                blob = newer
            except RangeNotSatisfiable:  # of the object: that of the blob was compared with its size
                assert byte_range is not None
                raise damaged(blob, f"ends before byte {byte_range.start:,}") from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._reading is None:
            return None
        try:
            return await self._reading.__aexit__(kind, error, trace)
        finally:
            await self._hold.__aexit__()

    async def _find(self) -> tuple[Blob, bytes | None]:
        if self._fetch.together is None:
            return await self._fetch.blobs.get(self._id), None
        if (found := await self._fetch.together(self._id)) is None:
            raise NotFound(subject=self._id)
        return found

    async def _open(self, content: Content, byte_range: ByteRange | None) -> AsyncIterator[bytes]:
        stores, location, grace = self._fetch.stores, content.location, self._fetch.grace
        self._hold = Hold(self._fetch.units, content.key, grace, self._fetch.renewals)
        if content.segments:
            # A row that is older may name an object that is deleted before the next renewal.
            max_age = grace / self._fetch.renewals
            rows = SegmentRows(self._fetch.contents, content, max_age.total_seconds(), self._hold.reading)
            self._reading = read_segments(stores, rows, byte_range)
        else:
            self._reading = stores.holding(location).read(location.key, byte_range)
        await self._hold.__aenter__()
        try:
            return await self._reading.__aenter__()
        except BaseException:
            await self._hold.__aexit__()
            raise


class _OneChunk(AsyncIterator[bytes]):
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __anext__(self) -> bytes:
        data, self._data = self._data, b""
        if data:
            return data
        raise StopAsyncIteration


def damaged(blob: Blob, problem: str) -> BlobError:
    detail = f"The stored object of this blob {problem}; it should have {blob.size:,} bytes. Tell the operator."
    return IntegrityError(detail, backend=blob.location.backend, subject=blob.location.key)
