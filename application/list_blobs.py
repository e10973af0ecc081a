"""List blobs by their ids, a page at a time, with what lies below a delimiter as one entry."""

from dataclasses import dataclass

from application.ports.metadata import BlobReader
from domain.blob import Blob

# Ids have no control characters, so nothing lies between an id and this behind it.
NEXT = "\x01"
LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Page:
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

    async def __call__(self, prefix: str, delimiter: str, limit: int, start: str = "") -> Page:
        page = Page([], [], None)
        start, stop = max(start, prefix), end_of(prefix)
        while stop is None or start < stop:
            wanted = limit - len(page.blobs) - len(page.prefixes) + 1  # one more tells whether there is another page
            found = await self.blobs.between(start, stop, wanted)
            for blob in found:
                if blob.id.value < start:
                    continue  # below the prefix that was listed last
                if len(page.blobs) + len(page.prefixes) == limit:
                    return Page(page.blobs, page.prefixes, start)
                common = _common(blob.id.value, prefix, delimiter)
                if common is None:
                    page.blobs.append(blob)
                    start = blob.id.value + NEXT
                else:
                    page.prefixes.append(common)
                    behind = end_of(common)
                    if behind is None:
                        return page
                    start = behind
            if len(found) < wanted:
                break
        return page


def end_of(prefix: str) -> str | None:
    """The first text that comes behind all that begin with `prefix`; None if there is none."""
    rest = prefix.rstrip(LAST)
    if not rest:
        return None
    following = ord(rest[-1]) + 1
    return rest[:-1] + chr(0xE000 if following == 0xD800 else following)  # surrogates are no characters


def _common(blob_id: str, prefix: str, delimiter: str) -> str | None:
    end = blob_id.find(delimiter, len(prefix)) if delimiter else -1
    return None if end < 0 else blob_id[: end + len(delimiter)]
