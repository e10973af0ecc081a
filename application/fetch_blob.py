"""Fetch a blob: its row first, then its object."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from application.ports.metadata import BlobReader
from application.stores import Stores
from domain.blob import Blob, BlobId
from domain.errors import DriveError, Kind


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """A blob and its bytes, to be iterated once and left like any context: `async with`.

    All bytes are of this one version, whatever happens to the id meanwhile. Raises INTEGRITY if the object turns out to
    be of another size than the blob.
    """

    blob: Blob
    _chunks: AsyncIterator[bytes]
    _reading: AbstractAsyncContextManager[AsyncIterator[bytes]]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._chunks:
            size += len(chunk)
            if size > self.blob.size:
                break
            yield chunk
        if size != self.blob.size:
            raise damaged(self.blob, "is longer" if size > self.blob.size else f"ends after {size:,} bytes")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reading.__aexit__(kind, error, trace)


@dataclass(frozen=True, slots=True)
class FetchBlob:
    """Open the current version of a blob. Raises NOT_FOUND, and INTEGRITY if the bytes of a blob are not there."""

    blobs: BlobReader
    stores: Stores

    async def __call__(self, blob_id: BlobId) -> OpenBlob:
        blob = await self.blobs.get(blob_id)
        try:
            return await self._open(blob)
        except DriveError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
        # Replaced, and the old object reaped, between the two reads? Then there is another version by now.
        newer = await self.blobs.get(blob_id)
        if newer.location == blob.location:
            raise damaged(blob, "is gone")
        return await self._open(newer)

    async def _open(self, blob: Blob) -> OpenBlob:
        reading = self.stores.holding(blob.location).open(blob.location.key)
        return OpenBlob(blob, await reading.__aenter__(), reading)


def damaged(blob: Blob, fault: str) -> DriveError:
    detail = f"The stored object of this blob {fault}; it should have {blob.size:,} bytes. Tell the operator."
    return DriveError(Kind.INTEGRITY, detail, backend=blob.location.backend, subject=blob.location.key)
