"""Chunks as they come, in pieces as a backend wants them."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from io import BytesIO
from itertools import repeat


async def rechunk(chunks: AsyncIterable[bytes], sizes: int | Iterable[int]) -> AsyncGenerator[bytes]:
    """Yield the same bytes in pieces of one size, or of one `sizes` after the other.

    The last piece may be shorter. There is at least one piece, which may be empty.

    A piece is gathered in the memory that it is handed out in, and is not kept here: there is one at a time, unless the
    caller keeps more.
    """
    gathered = BytesIO()
    none_yet = True
    following = repeat(sizes) if isinstance(sizes, int) else iter(sizes)
    size = next(following)
    async for chunk in chunks:
        rest = memoryview(chunk)
        while gathered.tell() + len(rest) > size:
            room = size - gathered.tell()
            gathered.write(rest[:room])
            rest = rest[room:]
            yield _take(gathered)
            none_yet = False
            size = next(following)
        gathered.write(rest)
        if size // 16 < gathered.tell() == gathered.getbuffer().nbytes:
            _make_room(gathered, size)
    if gathered.tell() or none_yet:
        yield _take(gathered)


def _make_room(gathered: BytesIO, size: int) -> None:
    """For a whole piece. To grow again and again beside others that grow would leave holes in the process's memory."""
    end = gathered.tell()
    if end < size:
        gathered.seek(size - 1)
        gathered.write(b"\0")
        gathered.seek(end)


def _take(gathered: BytesIO) -> bytes:
    gathered.truncate()  # the room that was not needed
    piece = gathered.getvalue()  # no copy, until one of both is written to
    gathered.seek(0)
    gathered.truncate()
    return piece


class PeekableChunks(AsyncIterator[bytes]):
    """The chunks of `rechunk`, whose first one can be awaited before it is taken. Close it at the end."""

    def __init__(self, chunks: AsyncIterable[bytes], sizes: int | Iterable[int]) -> None:
        self._cut = rechunk(chunks, sizes)
        self._first: list[bytes] = []

    async def first_size(self) -> int:
        """How long the first piece is, once it is there. To be called before any is taken."""
        self._first.append(await anext(self._cut))
        return len(self._first[0])

    async def __anext__(self) -> bytes:
        return self._first.pop() if self._first else await anext(self._cut)

    async def aclose(self) -> None:
        await self._cut.aclose()
