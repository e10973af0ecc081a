"""Objects in memory, for tests and demos. They are lost when the process ends."""

from bisect import bisect_right
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import BytesIO

from application.ports.blob_store import ABSENT, TAKEN, BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from domain.errors import AlreadyExists, NotFound


class MemoryBlobStore(BlobStore):
    """Objects in a dictionary. `now` is the backend's clock. `objects` are known already, without their times."""

    def __init__(
        self, now: Callable[[], datetime] = lambda: datetime.now(UTC), objects: dict[ObjectKey, bytes] | None = None
    ) -> None:
        self._now = now
        self._objects = {} if objects is None else objects
        self._written: dict[ObjectKey, datetime] = {}

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        gathered = BytesIO()
        async for chunk in chunks:
            gathered.write(chunk)
        data = gathered.getvalue()
        if key in self._objects:
            raise AlreadyExists(TAKEN)
        self._objects[key] = data
        self._written[key] = self._now()
        return Stored(len(data))

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        data = self._get(key)
        if byte_range is not None:
            part = byte_range.within(len(data))
            data = data[part.start : part.stop]
        yield _one_chunk(data)

    async def check(self) -> None:
        """Do nothing: memory is always available."""

    async def stat(self, key: ObjectKey) -> Stored:
        return Stored(len(self._get(key)), self._written.get(key))

    async def delete(self, key: ObjectKey) -> None:
        self._objects.pop(key, None)
        self._written.pop(key, None)

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        keys = sorted(self._objects)
        for key in keys[bisect_right(keys, after) if after else 0 :]:
            yield key

    def _get(self, key: ObjectKey) -> bytes:
        try:
            return self._objects[key]
        except KeyError:
            raise NotFound(ABSENT) from None


async def _one_chunk(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data
