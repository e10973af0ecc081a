"""The bytes of a put in stretches, between which no connection is needed."""

from collections.abc import AsyncIterable, AsyncIterator


class Stretches:
    """A source in stretches: each ends before an empty chunk, which says that nothing more is there for now."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._source = aiter(chunks)
        self._next = b""

    async def begin(self) -> bool:
        """Wait for the next bytes. False if there are none any more."""
        while not self._next:
            try:
                self._next = await anext(self._source)
            except StopAsyncIteration:
                return False
        return True

    async def stretch(self, *, may_pause: bool) -> AsyncIterator[bytes]:
        """The bytes up to the next pause, or, where none may be made, up to the end."""
        while self._next or (not may_pause and await self.begin()):
            chunk, self._next = self._next, b""
            yield chunk
            self._next = await anext(self._source, b"")
