"""List blobs by their ids, a page at a time, with what lies below a delimiter as one entry."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.metadata import BlobReader
from domain.blob import Blob

# Ids have no control characters, so nothing lies between an id and this behind it.
NEXT = "\x01"
LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class ListPage:
    """The blobs, and the common prefixes of those that are not shown one by one; `following` begins the next page."""

    blobs: list[Blob]
    prefixes: list[str]
    following: str | None


@dataclass(frozen=True, slots=True)
class ListBlobs:
    """Up to `limit` entries from `start` on, in the order of the ids' bytes.

    An entry is a blob whose id begins with `prefix`; or, if it has the `delimiter` somewhere behind that, the part of
    the id that ends with the delimiter, which stands for all blobs that begin with it. Others may put and delete
    between two pages: what was there all the time is listed once.
    """

    blobs: BlobReader

    async def __call__(self, prefix: str, delimiter: str, limit: int, start: str = "") -> ListPage:
        start, stop = max(start, prefix), end_of(prefix)
        if stop is not None and start >= stop:
            return ListPage([], [], None)
        found: Sequence[Blob | str]
        if delimiter:
            found = await self.blobs.rolled_up(start, stop, limit + 1, prefix, delimiter)
        else:
            found = await self.blobs.between(start, stop, limit + 1)
        blobs, prefixes, following = list[Blob](), list[str](), None
        for entry in found[:limit]:
            if isinstance(entry, Blob):
                blobs.append(entry)
                following = entry.id.value + NEXT
            else:
                prefixes.append(entry)
                following = end_of(entry)
        return ListPage(blobs, prefixes, following if len(found) > limit else None)


def end_of(prefix: str) -> str | None:
    """The first text that comes behind all that begin with `prefix`; None if there is none."""
    rest = prefix.rstrip(LAST)
    if not rest:
        return None
    following = ord(rest[-1]) + 1
    return rest[:-1] + chr(0xE000 if following == 0xD800 else following)  # surrogates are no characters
