"""`drivebay` with the fault that the file `fault` in its folder names: `python -m tests.model.broken serve`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from litestar.types import ASGIApp, Receive, Send

from adapters.metadata.sql.blobs import trash as sql_trash
from adapters.metadata.sql.blobs.blobs import SqlBlobs
from adapters.metadata.sql.blobs.trash import SqlTrash
from application import quota
from application.blobs.changes import operations, trash
from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.operations import Changed, Copy, Move, Operation, Patch, Rules
from application.blobs.changes.prefixes import DeletePrefix
from application.blobs.list import ListBlobs, ListPage, end_of
from application.blobs.multipart import take
from application.blobs.store import StoreBlob
from application.ports.contents import Trashed
from application.ports.metadata import Published, UnitOfWork
from application.uploads.committer import Committer
from domain.access import Grant
from domain.blob import NEXT, Blob, BlobId, Draft
from domain.errors import BlobError
from domain.precondition import ANY, Precondition
from entrypoints.cli import main as cli
from entrypoints.http.app import create_asgi

FILE = Path("fault")
EXCHANGE = "/health/live"
REPLACED: list[tuple[type | ModuleType, str, object]] = []
FAULTS: dict[str, Callable[[], None]] = {}
FAULTS_OF_CHANGES: dict[str, Callable[[], None]] = {}


def fault(plant: Callable[[], None]) -> None:
    FAULTS[plant.__name__.replace("_", " ")] = plant


def fault_of_changes(plant: Callable[[], None]) -> None:
    FAULTS_OF_CHANGES[plant.__name__.replace("_", " ")] = plant


def put_in(owner: type | ModuleType, name: str, broken: object) -> None:
    REPLACED.append((owner, name, owner.__dict__[name]))
    setattr(owner, name, broken)


@fault
def tags_are_of_the_size() -> None:
    put_in(Blob, "etag", property(lambda blob: f"{blob.size}"))


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


@fault_of_changes
def lists_skip_one_between_pages() -> None:
    listing = ListBlobs.__call__

    async def skip(self: ListBlobs, grant: Grant, prefix: str, delimiter: str, limit: int, start: str = "") -> ListPage:
        page = await listing(self, grant, prefix, delimiter, limit + 1, start)
        return page if len(page.blobs) <= limit else replace(page, blobs=page.blobs[:limit])

    put_in(ListBlobs, "__call__", skip)


@fault_of_changes
def commits_do_what_comes_before_an_error() -> None:
    commit = CommitOperations.__call__

    async def some(self: CommitOperations, grant: Grant, operations: Sequence[Operation]) -> list[Changed]:
        try:
            return await commit(self, grant, operations)
        except BlobError as error:
            if error.index:
                with suppress(BlobError):
                    await commit(self, grant, operations[: error.index])
            raise

    put_in(CommitOperations, "__call__", some)


class Undone(Exception):
    """A unit of work that is rolled back on purpose."""


@fault_of_changes
def commits_are_visible_in_part() -> None:
    """Their outcome is the right one."""
    commit = CommitOperations.__call__

    async def one_by_one(self: CommitOperations, grant: Grant, operations: Sequence[Operation]) -> list[Changed]:
        async def attempt(change: Callable[[UnitOfWork], Awaitable[list[Changed]]]) -> None:
            async def undone(work: UnitOfWork) -> None:
                await change(work)
                raise Undone

            await self.commit(undone)

        with suppress(Undone):
            await commit(replace(self, commit=cast("Committer", attempt)), grant, operations)
        changed = []
        for each in operations:
            changed += await commit(self, grant, [each])
            await asyncio.sleep(0.1)
        return changed

    put_in(CommitOperations, "__call__", one_by_one)


@fault_of_changes
def copies_share_what_is_changed_later() -> None:
    copy, patch = Copy.apply, Patch.apply
    copies: dict[BlobId, BlobId] = {}

    async def remember(self: Copy, work: UnitOfWork, rules: Rules) -> Changed:
        copies[self.source], copies[self.target] = self.target, self.source
        return await copy(self, work, rules)

    async def patch_both(self: Patch, work: UnitOfWork, rules: Rules) -> Changed:
        changed = await patch(self, work, rules)
        if self.id in copies:
            with suppress(BlobError):
                await patch(replace(self, id=copies[self.id], precondition=ANY), work, rules)
        return changed

    put_in(Copy, "apply", remember)
    put_in(Patch, "apply", patch_both)


@fault_of_changes
def moves_keep_the_source() -> None:
    async def copy(self: Move, work: UnitOfWork, rules: Rules) -> Changed:
        return await Copy(self.source, self.target, self.replace, self.precondition).apply(work, rules)

    put_in(Move, "apply", copy)


@fault_of_changes
def moves_end_the_time_of_the_bytes() -> None:
    """`created_at` is the time of the move."""
    put_in(Blob, "draft", lambda blob: Draft(blob.id, blob.content, blob.properties, expires_at=blob.expires_at))


@fault_of_changes
def restored_blobs_lose_metadata() -> None:
    remove = SqlTrash.remove

    async def without_metadata(self: SqlTrash, key: int) -> Trashed | None:
        found = await remove(self, key)
        if found is None:
            return None
        return replace(found, blob=replace(found.blob, properties=replace(found.blob.properties, metadata={})))

    put_in(SqlTrash, "remove", without_metadata)


@fault_of_changes
def deletes_of_a_prefix_miss_a_page() -> None:
    async def miss(self: DeletePrefix, work: UnitOfWork, prefix: str) -> int:
        count, start = 0, prefix
        while ids := await work.blobs.lock_between(start, end_of(prefix), 2):
            if count != 2:
                await work.trash.move(ids, self.retention.trash, self.retention.grace)
            count += len(ids)
            start = ids[-1].value + NEXT
        return count

    put_in(DeletePrefix, "_delete", miss)


@fault_of_changes
def sources_are_not_compared_with_tags() -> None:
    lock, remove = SqlBlobs.lock, SqlBlobs.remove
    put_in(SqlBlobs, "lock", lambda self, blob_id, _: lock(self, blob_id, ANY))
    put_in(SqlBlobs, "remove", lambda self, blob_id, _: remove(self, blob_id, ANY))


@fault_of_changes
def parts_are_joined_backwards() -> None:
    chosen = take._chosen
    put_in(take, "_chosen", lambda parts, numbers: [*reversed(chosen(parts, numbers))])


async def not_charged(work: UnitOfWork, owner: str, size: int) -> None:
    """Count nothing."""


@fault_of_changes
def replaced_versions_are_not_given_back() -> None:
    put = SqlBlobs.put

    async def without_an_owner(self: SqlBlobs, draft: Draft, precondition: Precondition) -> Published:
        published = await put(self, draft, precondition)
        former = published.former
        return replace(published, former=None if former is None else replace(former, owner=""))

    put_in(SqlBlobs, "put", without_an_owner)


@fault_of_changes
def blobs_are_charged_before_bytes_are_given_back() -> None:
    """A key whose quota is used up can't replace its blobs."""

    async def charge_first(self: StoreBlob, draft: Draft, precondition: Precondition, work: UnitOfWork) -> Published:
        await quota.charge(work, draft.owner, draft.content.size)
        published = await work.blobs.put(draft, precondition)
        await self.retention.keep(work, published.former)
        return published

    put_in(StoreBlob, "_put", charge_first)


@fault_of_changes
def copies_and_uploads_are_not_charged() -> None:
    put_in(operations, "charge", not_charged)


@fault_of_changes
def restored_versions_are_not_charged() -> None:
    put_in(trash, "charge", not_charged)


@fault_of_changes
def moves_are_charged_again() -> None:
    move = Move.apply

    async def move_and_charge(self: Move, work: UnitOfWork, rules: Rules) -> Changed:
        changed = await move(self, work, rules)
        assert changed.blob is not None
        await quota.charge(work, rules.owner, changed.blob.size)
        return changed

    put_in(Move, "apply", move_and_charge)


@fault_of_changes
def deletes_of_a_prefix_give_nothing_back() -> None:
    move = sql_trash._move

    def move_for_nobody(*given: Any) -> dict[str, int]:
        move(*given)
        return {}

    put_in(sql_trash, "_move", move_for_nobody)


def exchange() -> None:
    """Plant the fault that is named in the file, in the place of the one before."""
    while REPLACED:
        setattr(*REPLACED.pop())
    name = FILE.read_text() if FILE.exists() else ""
    if name:
        (FAULTS | FAULTS_OF_CHANGES)[name]()


def create(*given: Any, **more: Any) -> ASGIApp:
    """Create an application whose fault is exchanged before each request to EXCHANGE."""
    app = create_asgi(*given, **more)
    exchange()

    async def serve(scope: Any, receive: Receive, send: Send) -> None:
        if scope.get("path") == EXCHANGE:
            exchange()
        await app(scope, receive, send)

    return serve


if __name__ == "__main__":
    cli.create_asgi = create  # type: ignore[attr-defined]  # nobody else's seam
    cli.main()
