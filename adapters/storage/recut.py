"""Chunks as they come, in pieces as a backend wants them."""

from collections.abc import AsyncGenerator, AsyncIterable


async def recut(chunks: AsyncIterable[bytes], size: int) -> AsyncGenerator[bytes]:
    """The same bytes in pieces of `size`, but for the last, which may be shorter; at least one, which may be empty."""
    gathered = bytearray()
    none_yet = True
    async for chunk in chunks:
        gathered += chunk
        while len(gathered) > size:
            yield bytes(gathered[:size])
            del gathered[:size]
            none_yet = False
    if gathered or none_yet:
        yield bytes(gathered)
