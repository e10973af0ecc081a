"""Samples of the blobs of a storage: how many of their objects exist?

A sample reveals a wrong disk, bucket or folder before anything is changed. Object keys are random, so the blobs whose
keys follow a random key are a fair sample.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from application.concurrency import for_each
from application.contents.segments import segments_of
from application.ports.blob_store import BlobStore
from application.ports.contents import ContentReader
from application.ports.metadata import BlobReader
from domain.blob import Blob, ObjectKey
from domain.errors import NotFound

ENOUGH = 200  # objects
PAGE = 1000  # rows
PAGES = 20  # at most: a storage without a blob in so many rows has few
AT_ONCE = 8
HANDFUL = 5  # objects that may be missing from a small sample
TOLERATED = 20  # one object of so many may be missing from a large sample


@dataclass(slots=True)
class Sample:
    """The number of blobs `looked` at, and of their objects that are `missing`."""

    looked: int = 0
    missing: int = 0

    @property
    def is_suspicious(self) -> bool:
        """Whether so many objects are missing that this may be the wrong storage."""
        return too_many(self.missing, self.looked)


def too_many(missing: int, looked: int) -> bool:
    """Return whether more than 5 % are missing; of a few, more than a handful or more than half."""
    return missing * TOLERATED > looked and (missing > HANDFUL or 2 * missing > looked)


async def sample(
    blobs: BlobReader, contents: ContentReader, backend: str, store: BlobStore, start: ObjectKey
) -> Sample:
    """Sample the blobs on `backend` whose keys follow `start`: one object of each. Raises what `store.stat` raises."""
    result = Sample()

    async def look(blob: Blob) -> None:
        async with aclosing(segments_of(blob.content, contents)) as segments:
            first = await anext(segments)
        there = await is_there(store, first.location.key)  # not inside `+=`, which reads the count before the await
        result.looked += 1
        result.missing += not there

    async with aclosing(_some(blobs, backend, start)) as found:
        await for_each(found, look, AT_ONCE)
    return result


async def is_there(store: BlobStore, key: ObjectKey) -> bool:
    """Return whether there is an object under the key."""
    try:
        await store.stat(key)
    except NotFound:
        return False
    return True


async def _some(blobs: BlobReader, backend: str, start: ObjectKey) -> AsyncGenerator[Blob]:
    count = 0
    async with aclosing(_rows(blobs, start)) as rows:
        async for blob in rows:
            if blob.location.backend == backend:
                yield blob
                count += 1
            if count == ENOUGH:
                return


async def _rows(blobs: BlobReader, start: ObjectKey) -> AsyncGenerator[Blob]:
    """Yield the blobs after `start`, and then those from the first key up to it."""
    after: tuple[ObjectKey, str] | None = (start, "")
    wrapped = False
    for _ in range(PAGES):
        page = await blobs.by_content(after, PAGE)
        for blob in page:
            if wrapped and blob.location.key > start:
                return
            yield blob
        if page:
            after = page[-1].content.key, page[-1].id.value
        elif wrapped:
            return
        else:
            after, wrapped = None, True
