"""The objects of a content, and its bytes as one stream."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from application.ports.contents import ContentReader
from application.stores import Stores
from domain.blob import ByteRange, Content, Segment
from domain.errors import IntegrityError, NotFound

PAGE = 100  # segments in memory


async def segments_of(content: Content, contents: ContentReader, position: int = 0) -> AsyncGenerator[Segment]:
    """Yield the segments from the one that has the byte at `position`; for one object, a segment that is all of it.

    Raises NOT_FOUND if their rows are gone, because the content was reclaimed.
    """
    if not content.segments:
        assert content.digest is not None
        yield Segment(content.location, 0, content.size, content.digest)
        return
    limit = 1  # a range is mostly in one segment
    while position < content.size:
        page = await contents.segments(content.key, position, limit)
        if not page or page[0].start > position:
            raise NotFound(f"Segments are missing from byte {position:,} on.", subject=content.key)
        for segment in page:
            yield segment
        position, limit = page[-1].stop, PAGE


@asynccontextmanager
async def read_segments(
    stores: Stores, contents: ContentReader, content: Content, byte_range: ByteRange | None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read a content of segments as `BlobStore.read` reads an object. Entering raises NOT_FOUND for the first segment.

    The iteration raises INTEGRITY if a later one is gone or has another size.
    """
    wanted = byte_range or ByteRange(0, content.size)
    async with aclosing(_chunks(stores, contents, content, wanted)) as chunks:
        first = await anext(chunks)
        async with aclosing(_after(first, chunks)) as all_chunks:
            yield all_chunks


async def _after(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


async def _chunks(
    stores: Stores, contents: ContentReader, content: Content, wanted: ByteRange
) -> AsyncGenerator[bytes]:
    sent = 0
    async with aclosing(segments_of(content, contents, wanted.start)) as segments:
        try:
            async for segment in segments:
                async for chunk in _segment(stores, segment, wanted):
                    sent += len(chunk)
                    yield chunk
                if segment.stop >= wanted.stop:
                    return
        except NotFound as error:
            if not sent:
                raise
            detail = f"A segment of this blob is gone, at byte {wanted.start + sent:,}. Tell the operator."
            raise IntegrityError(detail, backend=content.location.backend, subject=content.key) from error


async def _segment(stores: Stores, segment: Segment, wanted: ByteRange) -> AsyncGenerator[bytes]:
    part = ByteRange(max(wanted.start - segment.start, 0), min(wanted.stop, segment.stop) - segment.start)
    is_whole = part.stop - part.start == segment.size
    size = 0
    location = segment.location
    async with stores.holding(location).read(location.key, None if is_whole else part) as chunks:
        async for chunk in chunks:
            size += len(chunk)
            yield chunk
    if size != part.stop - part.start:
        detail = f"A segment has {size:,} bytes where it should have {part.stop - part.start:,}. Tell the operator."
        raise IntegrityError(detail, backend=location.backend, subject=location.key)
