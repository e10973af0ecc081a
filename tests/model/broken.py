"""`drivebay` with a fault that was planted in it: `python -m tests.model.broken "tags are of the size" serve`."""

import sys
from collections.abc import Callable
from dataclasses import replace

from adapters.metadata.sql.blobs import SqlBlobs
from application.blobs.list import ListBlobs, ListPage
from application.ports.metadata import Published
from domain.access import Grant
from domain.blob import Blob, BlobId, Draft
from domain.precondition import ANY, Precondition
from entrypoints.cli import main as cli

FAULTS: dict[str, Callable[[], None]] = {}


def fault(plant: Callable[[], None]) -> None:
    FAULTS[plant.__name__.replace("_", " ")] = plant


def put_in(owner: type, name: str, broken: object) -> None:
    setattr(owner, name, broken)


@fault
def tags_are_of_the_size() -> None:
    put_in(Blob, "etag", property(lambda blob: f"{blob.size}"))


@fault
def lists_skip_one_between_pages() -> None:
    listing = ListBlobs.__call__

    async def skip(self: ListBlobs, grant: Grant, prefix: str, delimiter: str, limit: int, start: str = "") -> ListPage:
        page = await listing(self, grant, prefix, delimiter, limit + 1, start)
        return page if len(page.blobs) <= limit else replace(page, blobs=page.blobs[:limit])

    put_in(ListBlobs, "__call__", skip)


@fault
def what_was_read_is_remembered() -> None:
    find = SqlBlobs.find
    remembered: dict[BlobId, Blob | None] = {}

    async def remember(self: SqlBlobs, blob_id: BlobId) -> Blob | None:
        found = remembered[blob_id] = remembered.get(blob_id) or await find(self, blob_id)
        return found

    put_in(SqlBlobs, "find", remember)


@fault
def what_comes_second_is_not_checked_again() -> None:
    """Preconditions are checked before the bytes come, and not when they have come."""
    put = SqlBlobs.put

    async def overwrite(self: SqlBlobs, draft: Draft, _: Precondition) -> Published:
        return await put(self, draft, ANY)

    put_in(SqlBlobs, "put", overwrite)


@fault
def dates_are_those_of_the_second() -> None:
    """A date holds for each version that was stored in that second."""
    put_in(Blob, "unchanged_since", property(lambda blob: blob.created_at.replace(microsecond=0)))
    put_in(Blob, "last_modified", Blob.unchanged_since)


if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    cli.main()
