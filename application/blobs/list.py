"""List blobs in the order of their ids, page by page, with common prefixes as single entries."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.authorize import authorize
from application.ports.metadata import BlobReader
from domain.access import Action, Grant
from domain.blob import LAST, NEXT, Blob


@dataclass(frozen=True, slots=True)
class ListPage:
    """Blobs, and common prefixes that stand for further blobs. The next page starts at `following`; None at the end."""

    blobs: list[Blob]
    prefixes: list[str]
    following: str | None


@dataclass(frozen=True, slots=True)
class ListBlobs:
    """Return up to `limit` entries from `start` on, in the order of the ids' bytes.

    An entry is a blob whose id begins with `prefix`. If the id contains the `delimiter` after the prefix, the entry is
    the id up to the delimiter instead, once for all blobs that begin with it. Blobs may be stored and deleted between
    two pages: a blob that exists all the time is listed once. Raises FORBIDDEN unless `prefix` is granted.
    """

    blobs: BlobReader

    async def __call__(self, grant: Grant, prefix: str, delimiter: str, limit: int, start: str = "") -> ListPage:
        authorize(grant, Action.LIST, prefix)
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
    """Return the first text after all texts that begin with `prefix`; None if there is none."""
    rest = prefix.rstrip(LAST)
    if not rest:
        return None
    following = ord(rest[-1]) + 1
    return rest[:-1] + chr(0xE000 if following == 0xD800 else following)  # surrogates are not characters
