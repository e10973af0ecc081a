"""The objects of a content, and its bytes as one stream."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from math import inf

from application.ports.contents import ContentReader
from application.stores import Stores
from domain.blob import ByteRange, Content, ObjectKey, Segment
from domain.errors import IntegrityError, NotFound, RangeNotSatisfiable

PAGE = 100  # segments in memory


async def segments_of(
    content: Content,
    contents: ContentReader,
    position: int = 0,
    max_age: float = inf,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Segment]:
    """Yield the segments from the one that has the byte at `position`; for one object, a segment that is all of it.

    No row is older than `max_age` seconds when it is yielded. Raises NOT_FOUND if the rows are gone, because the
    content was reclaimed.
    """
    if not content.segments:
        assert content.digest is not None
        yield Segment(content.location, 0, content.size, content.digest)
        return
    limit = 1  # a range is mostly in one segment
    while position < content.size:
        read_at = monotonic()
        page = await contents.segments(content.key, position, limit)
        if not page or page[0].start > position:
            raise NotFound(f"Segments are missing from byte {position:,} on.", subject=content.key)
        for segment in page:
            yield segment
            position = segment.stop
            if monotonic() - read_at > max_age:
                break
        limit = PAGE


def _ignore(_: ObjectKey) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class SegmentRows:
    """The segments of a content, as their rows say. `max_age`: as in `segments_of`. `reading` is called with the key of
    each object before it is read.
    """

    contents: ContentReader
    content: Content
    max_age: float = inf
    reading: Callable[[ObjectKey], None] = _ignore

    async def moved(self, segment: Segment) -> Segment | None:
        """Return the row of a segment whose object is gone, if its bytes are elsewhere by now."""
        for found in await self.contents.segments(self.content.key, segment.start, 1):
            if found.start == segment.start and found.location != segment.location:
                return found
        return None


@asynccontextmanager
async def read_segments(
    stores: Stores, rows: SegmentRows, byte_range: ByteRange | None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read a content of segments as `BlobStore.read` reads an object. Entering raises NOT_FOUND for the first segment.

    The iteration raises INTEGRITY if a later one is gone or has another size.
    """
    wanted = byte_range or ByteRange(0, rows.content.size)
    async with aclosing(_chunks(stores, rows, wanted)) as chunks:
        first = await anext(chunks)
        async with aclosing(_after(first, chunks)) as all_chunks:
            yield all_chunks


async def _after(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


async def _chunks(stores: Stores, rows: SegmentRows, wanted: ByteRange) -> AsyncGenerator[bytes]:
    sent, content = 0, rows.content
    async with aclosing(segments_of(content, rows.contents, wanted.start, rows.max_age)) as segments:
        try:
            async for segment in segments:
                async with aclosing(_segment(stores, rows, segment, wanted)) as chunks:
                    async for chunk in chunks:
                        sent += len(chunk)
                        yield chunk
                if segment.stop >= wanted.stop:
                    return
        except NotFound as error:
            if not sent:
                raise
            detail = f"A segment of this blob is gone, at byte {wanted.start + sent:,}. Tell the operator."
            raise IntegrityError(detail, backend=content.location.backend, subject=content.key) from error


async def _segment(stores: Stores, rows: SegmentRows, segment: Segment, wanted: ByteRange) -> AsyncGenerator[bytes]:
    part = ByteRange(max(wanted.start - segment.start, 0), min(wanted.stop, segment.stop) - segment.start)
    is_whole = part.stop - part.start == segment.size
    size = 0
    async with AsyncExitStack() as stack:
        while True:
            location = segment.location
            rows.reading(location.key)
            try:
                reading = stores.holding(location).read(location.key, None if is_whole else part)
                chunks = await stack.enter_async_context(reading)
                break
            except NotFound:
                if (moved := await rows.moved(segment)) is None:
                    raise
                segment = moved
            except RangeNotSatisfiable:
                raise _damaged(segment, f"ends before its byte {part.start:,}") from None
        wanted_size = part.stop - part.start
        async for chunk in chunks:
            size += len(chunk)
            if size > wanted_size:  # before its bytes get the places of others
                raise _damaged(segment, f"has more than the {wanted_size:,} bytes that it should have")
            yield chunk
    if size != wanted_size:
        raise _damaged(segment, f"has {size:,} bytes where it should have {wanted_size:,}")


def _damaged(segment: Segment, problem: str) -> IntegrityError:
    location = segment.location
    detail = f"A segment {problem}. Tell the operator."
    return IntegrityError(detail, backend=location.backend, subject=location.key)
