"""List blobs in the order of their ids, page by page, with common prefixes as single entries."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.authorize import authorized_prefixes
from application.ports.metadata import BlobReader
from domain.access import Action, Grant
from domain.blob import LAST, NEXT, Blob

# The first control character and the first surrogate, which no id and no cursor has, and the characters after them all.
SKIPPED = {0x7F: 0xA0, 0xD800: 0xE000}


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
    two pages: a blob that exists all the time is listed once. Blobs outside the grant are left out. Raises FORBIDDEN
    if no id that begins with `prefix` is granted.
    """

    blobs: BlobReader

    async def __call__(self, grant: Grant, prefix: str, delimiter: str, limit: int, start: str = "") -> ListPage:
        found = list[Blob | str]()
        after: str | None = start
        for each in authorized_prefixes(grant, Action.LIST, prefix):
            if after is not None and len(found) <= limit:
                found += await self._entries(max(after, each), end_of(each), limit + 1 - len(found), prefix, delimiter)
                after = _following(found[-1]) if found else after
        page = found[:limit]
        blobs = [entry for entry in page if isinstance(entry, Blob)]
        prefixes = [entry for entry in page if isinstance(entry, str)]
        return ListPage(blobs, prefixes, _following(page[-1]) if len(found) > limit else None)

    async def _entries(
        self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
    ) -> Sequence[Blob | str]:
        if stop is not None and start >= stop:
            return []
        if delimiter:
            return await self.blobs.rolled_up(start, stop, limit, prefix, delimiter)
        return await self.blobs.between(start, stop, limit)


def _following(entry: Blob | str) -> str | None:
    """Return the first text after a blob's id, or after all ids with a common prefix; None at the end."""
    return entry.id.value + NEXT if isinstance(entry, Blob) else end_of(entry)


def end_of(prefix: str) -> str | None:
    """Return a text after all ids that begin with `prefix`, and before all later ones; None if there are none."""
    rest = prefix.rstrip(LAST)
    if not rest:
        return None
    following = ord(rest[-1]) + 1
    return rest[:-1] + chr(SKIPPED.get(following, following))
