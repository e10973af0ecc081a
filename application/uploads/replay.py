"""A body that is kept for further attempts to write it."""

from collections.abc import AsyncGenerator, AsyncIterable

KEPT = 256 * 1024  # bytes


class ReplayableBody:
    """A source that can be read from its start repeatedly, until more than `limit` bytes were read."""

    def __init__(self, chunks: AsyncIterable[bytes], limit: int = KEPT) -> None:
        self._source = aiter(chunks)
        self._limit = limit
        self._kept = bytearray()  # in one piece: many small chunks would take many times their bytes
        self._size = 0
        self.can_replay = True
        """Whether all bytes read so far are kept, and the source can be read further."""

    async def fits(self, size: int) -> bool:
        """Read the source until its end, or until there are more than `size` bytes. Return whether it has ended.

        For a body that was not read yet. `replay` then yields its bytes from the first on.
        """
        async for chunk in self._source:
            self._kept += chunk
            self._size += len(chunk)
            if self._size > size:
                return False
        return True

    async def replay(self) -> AsyncGenerator[bytes]:
        """Yield the bytes from the first on. Close the generator before the next replay."""
        if self._kept:
            yield bytes(self._kept)
        while True:
            before, self.can_replay = self.can_replay, False  # and stays so if the source fails or is cancelled
            try:
                chunk = await anext(self._source)
            except StopAsyncIteration:
                self.can_replay = before
                return
            self._size += len(chunk)
            if before and self._size <= self._limit:
                self._kept += chunk
                self.can_replay = True
            else:
                self._kept.clear()
            yield chunk
