"""Chunks of the sizes that a backend needs."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from io import BytesIO
from itertools import repeat

RESERVED = 5 * 1024**2  # bytes, at first at most


async def rechunk(chunks: AsyncIterable[bytes], sizes: int | Iterable[int]) -> AsyncGenerator[bytes]:
    """Yield the same bytes in chunks of one size, or of each of `sizes` in turn.

    The last chunk may be shorter. There is at least one chunk, which may be empty. Only one is in memory at a time,
    unless the caller keeps more.
    """
    gathered = BytesIO()
    is_empty = True
    following = repeat(sizes) if isinstance(sizes, int) else iter(sizes)
    size = next(following)
    async for chunk in chunks:
        rest = memoryview(chunk)
        while gathered.tell() + len(rest) > size:
            missing = size - gathered.tell()
            gathered.write(rest[:missing])
            rest = rest[missing:]
            yield _take(gathered)
            is_empty = False
            size = next(following)
        gathered.write(rest)
        if size // 16 < gathered.tell() == gathered.getbuffer().nbytes:
            _reserve(gathered, min(size, max(RESERVED, 2 * gathered.tell())))
    if gathered.tell() or is_empty:
        yield _take(gathered)


def _reserve(gathered: BytesIO, size: int) -> None:
    """Allocate the memory of a whole chunk, or of much of a large one: small steps would fragment the heap."""
    end = gathered.tell()
    if end < size:
        gathered.seek(size - 1)
        gathered.write(b"\0")
        gathered.seek(end)


def _take(gathered: BytesIO) -> bytes:
    gathered.truncate()
    chunk = gathered.getvalue()  # no copy, until one of both is written to
    gathered.seek(0)
    gathered.truncate()
    return chunk


class PeekableChunks(AsyncIterator[bytes]):
    """The chunks of `rechunk`, with a way to await the first one without consuming it. Must be closed."""

    def __init__(self, chunks: AsyncIterable[bytes], sizes: int | Iterable[int]) -> None:
        self._chunks = rechunk(chunks, sizes)
        self._first: list[bytes] = []

    async def first_size(self) -> int:
        """Wait for the first chunk, and return its size in bytes. Call this before consuming any."""
        self._first.append(await anext(self._chunks))
        return len(self._first[0])

    async def __anext__(self) -> bytes:
        return self._first.pop() if self._first else await anext(self._chunks)

    async def aclose(self) -> None:
        await self._chunks.aclose()
