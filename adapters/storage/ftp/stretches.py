"""The content of a put in stretches, between which no connection is held."""

from collections.abc import AsyncIterable, AsyncIterator


class Stretches:
    """A source of chunks, split at each empty chunk, which means that the client is idle."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._source = aiter(chunks)
        self._next = b""

    async def begin(self) -> bool:
        """Wait for the next bytes. Return False at the end."""
        while not self._next:
            try:
                self._next = await anext(self._source)
            except StopAsyncIteration:
                return False
        return True

    async def stretch(self, *, may_pause: bool) -> AsyncIterator[bytes]:
        """Yield the bytes up to the next pause, or to the end unless `may_pause`."""
        while self._next or (not may_pause and await self.begin()):
            chunk, self._next = self._next, b""
            yield chunk
            self._next = await anext(self._source, b"")
