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
    """What a storage knows of an object: its size in bytes, and when it was written last.

    `modified_at` is by the backend's clock, in UTC, and rounded as the backend likes. Only `stat` tells it, and it is
    None where the backend does not.
    """

    size: int
    modified_at: datetime | None = field(default=None, compare=False)


class BlobStore(Protocol):
    """Bytes under object keys, on one backend.

    Callers, layers around a store included, give each key to `put` once in its life, and read a key only after its
    `put` has returned. So a store needs neither temporary names nor renames, and may leave any mess under a key whose
    `put` was killed, as long as `delete` clears it up.

    Besides what is said below, every method raises UNAVAILABLE or TIMEOUT if the backend can't be used now. An absent
    object and a backend that can't be looked into are never confused.
    """

    @abstractmethod
    async def check(self) -> None:
        """See to it that the backend can be used, and make what it needs of its own, such as a folder.

        Raises UNAVAILABLE, TIMEOUT or NO_SPACE, and says what to do about it. Called at the start.
        """

    @abstractmethod
    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        """Write `chunks` (of any sizes, empty ones and none at all included) under `key`, in constant memory.

        On return the object is whole and durable. If anything fails, the source of the chunks and a cancellation
        included, nothing is left under the key, no write is still under way, and the fault goes to the caller.
        Raises ALREADY_EXISTS, and leaves the object alone, if there is one, unless it has the very same bytes and may
        be this put's own; NO_SPACE if the backend is full. An empty chunk may mean that the sender pauses: a store may
        give up what it holds until there are further bytes.
        """

    @abstractmethod
    def open(
        self, key: ObjectKey, byte_range: ByteRange | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read an object, or those bytes of `byte_range` that it has, in chunks that are never empty.

        Entering raises NOT_FOUND, or RANGE_NOT_SATISFIABLE if the range starts at or behind the object's end.
        Leaving frees what the reading holds, at whatever point it is left.
        """

    @abstractmethod
    async def stat(self, key: ObjectKey) -> Stored:
        """What is known of the object. Raises NOT_FOUND."""

    @abstractmethod
    async def delete(self, key: ObjectKey) -> None:
        """See to it that nothing is under `key`, neither an object nor the rest of a killed `put`.

        It succeeds if there is nothing.
        """

    @abstractmethod
    def keys(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        """All keys behind `after`, in ascending order, in constant memory.

        Keys that come or go meanwhile may be listed or not. Leftovers of killed `put`s are listed, also those that
        are no objects yet, which `stat` does not find.
        """
