"""The bytes of a new blob for more than one attempt to write them."""

from collections.abc import AsyncGenerator, AsyncIterable

KEPT = 256 * 1024  # bytes


class ReplayableBody:
    """A source that can be read from its start as often as needed, until more than `limit` bytes were taken of it."""

    def __init__(self, chunks: AsyncIterable[bytes], limit: int = KEPT) -> None:
        self._source = aiter(chunks)
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0
        self.can_replay = True
        """Whether all that was taken of the source is kept, and the source can be read on."""

    async def replay(self) -> AsyncGenerator[bytes]:
        """The chunks from the first on. To be closed before the next replay."""
        for chunk in self._kept:
            yield chunk
        while True:
            before, self.can_replay = self.can_replay, False  # which it stays if the source is cancelled, or fails
            try:
                chunk = await anext(self._source)
            except StopAsyncIteration:
                self.can_replay = before
                return
            self._size += len(chunk)
            if before and self._size <= self._limit:
                self._kept.append(chunk)
                self.can_replay = True
            else:
                self._kept.clear()
            yield chunk
