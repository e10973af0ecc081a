"""The port to a storage that keeps bytes under object keys."""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from domain.blob import ByteRange, ObjectKey

ABSENT = "There is no object under this key."
TAKEN = "An object is under this key already."


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in a storage: its size in bytes, and the time of its last write.

    `modified_at` is by the backend's clock, in UTC, with the backend's resolution. Only `stat` sets it, and only if the
    backend has it. It is never before the object got its key, even if it is a link to an older file, because `verify
    --repair` spares young objects by it.
    """

    size: int
    modified_at: datetime | None = field(default=None, compare=False)


class BlobStore(Protocol):
    """Bytes under object keys, on one backend.

    Callers, layers around a store included, give each key to `put` once in its life, and read a key only after its
    `put` has returned. So a store needs neither temporary names nor renames, and may leave anything under a key whose
    `put` was killed, as long as `delete` removes it.

    Every method also raises UNAVAILABLE or TIMEOUT if the backend can't be used now. A store never confuses a missing
    object with a backend that can't be read.
    """

    @abstractmethod
    async def check(self) -> None:
        """Check that the backend can be used, and create what it needs, such as a folder. Called at the start.

        Raises UNAVAILABLE, TIMEOUT or NO_SPACE with a solution in the text.
        """

    @abstractmethod
    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        """Write `chunks` (of any sizes, empty ones and none at all included) under `key`, in constant memory.

        On return the object is whole and durable. If anything fails, the source of the chunks and a cancellation
        included, nothing is left under the key, no write is in progress, and the error goes to the caller. Raises
        ALREADY_EXISTS if there is an object, and does not touch it, unless it has the same bytes and may be this put's
        own; NO_SPACE if the backend is full. An empty chunk may mean that the sender pauses: a store may release its
        stream until further bytes arrive.
        """

    @abstractmethod
    def read(
        self, key: ObjectKey, byte_range: ByteRange | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read an object, or those bytes of `byte_range` that it has, in chunks that are never empty.

        Entering raises NOT_FOUND, or RANGE_NOT_SATISFIABLE if the range starts at or after the object's end.
        Leaving frees the resources of the read, at any point.
        """

    @abstractmethod
    async def stat(self, key: ObjectKey) -> Stored:
        """Return the size and time of the object. Raises NOT_FOUND."""

    @abstractmethod
    async def delete(self, key: ObjectKey) -> None:
        """Remove the object under `key`, or the leftovers of a killed `put`. Succeeds if there is nothing."""

    @abstractmethod
    def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        """Yield all keys after `after`, in ascending order, in constant memory.

        Keys that are added or deleted during the listing may be included or not. Leftovers of killed `put`s are listed,
        even those that `stat` does not find, because they are not objects yet.
        """
