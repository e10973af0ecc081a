"""The bytes of a request that appends to an upload, in pieces: each becomes an object as soon as it is complete.

What has arrived is kept, however the request ends. So the last piece may be short: because the client has gone, or
because another request goes on with the same upload.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from domain.blob import ObjectKey
from domain.errors import BlobError, LeaseLost

# Seconds: the longest wait for a chunk after an interruption, and for all of them. A connection that broke may have
# left megabytes in the buffers of this machine, and they come at once.
QUIET = 0.05
DRAIN = 0.5


class Interruption:
    """Lets other requests end one that waits for the bytes of its client, who may be gone.

    What has arrived is taken before: all chunks that follow each other within `QUIET`, for `DRAIN` seconds at most.
    """

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._until: float | None = None
        self._wait: asyncio.Timeout | None = None

    def interrupt(self) -> None:
        """Let the bytes end soon, also if the next ones would never come."""
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + DRAIN
            if self._wait is not None:
                self._wait.reschedule(self._deadline())

    async def next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """Return the next chunk; None at the end. Raises LEASE_LOST after an interruption."""
        if self._until is not None and asyncio.get_running_loop().time() >= self._until:
            raise _interrupted()  # chunks that are always there never let a timeout pass
        wait = asyncio.timeout_at(self._deadline())
        try:
            async with wait:
                self._wait = wait
                return await anext(chunks, None)
        except TimeoutError:
            if not wait.expired():
                raise  # that of the bytes
            raise _interrupted() from None
        finally:
            self._wait = None

    def _deadline(self) -> float | None:
        return None if self._until is None else min(self._until, asyncio.get_running_loop().time() + QUIET)


def _interrupted() -> BlobError:
    return LeaseLost("Another request goes on with this upload.")


@dataclass(frozen=True, slots=True)
class Writers:
    """The requests in this process that are appending to uploads."""

    _writers: dict[ObjectKey, set[Interruption]] = field(default_factory=lambda: defaultdict(set))

    @contextmanager
    def writing(self, key: ObjectKey) -> Iterator[Interruption]:
        """Let others interrupt the body of the context."""
        interruption = Interruption()
        self._writers[key].add(interruption)
        try:
            yield interruption
        finally:
            interruption.ended.set()
            self._writers[key].discard(interruption)
            if not self._writers[key]:
                del self._writers[key]

    def interrupt(self, key: ObjectKey) -> list[Interruption]:
        """Interrupt all that are appending to an upload, and return them. Each has an event for its end."""
        found = [*self._writers.get(key, ())]
        for each in found:
            each.interrupt()
        return found


class Pieces:
    """The chunks of a body, as pieces of about `piece_bytes`.

    With `is_whole`, there is one piece of any size, and what ends the body ends that too. Otherwise an error of the
    body ends its last piece, and is kept as `error`, to be raised once the piece is durable. `size` counts the bytes
    of all pieces so far. `has_bytes`: some have come. `ended` is set when all bytes of the piece have come.
    """

    def __init__(
        self, chunks: AsyncIterable[bytes], interruption: Interruption, piece_bytes: int, *, is_whole: bool = False
    ) -> None:
        self.error: Exception | None = None
        self.size = 0
        self.has_bytes = False
        self.ended = asyncio.Event()
        self._chunks = aiter(chunks)
        self._interruption = interruption
        self._piece_bytes = piece_bytes
        self._is_whole = is_whole
        self._first: bytes | None = None

    async def begin(self) -> bool:
        """Wait for the first bytes of a piece. Return False if none come."""
        while self.error is None:
            self._first = await self._next()
            if self._first is None:
                return False
            if self._first:
                self.has_bytes = True
                self.ended = asyncio.Event()
                return True
        return False

    async def piece(self) -> AsyncGenerator[bytes]:
        """Yield the chunks of the piece that has begun."""
        start, chunk, ended = self.size, self._first, self.ended
        while chunk is not None:
            self.size += len(chunk)
            yield chunk
            if self.size - start >= self._piece_bytes and not self._is_whole:
                break
            chunk = await self._next()
        ended.set()

    async def _next(self) -> bytes | None:
        try:
            return await self._interruption.next(self._chunks)
        except Exception as error:
            if self._is_whole:
                raise
            self.error = error
            return None
