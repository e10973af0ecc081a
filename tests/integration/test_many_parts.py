"""Uploads of many parts: on SQLite, the event loop does not wait for their rows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.operations import Changed, Operation, Patch, Put, Rules
from application.blobs.multipart.parts import FEW_PARTS
from application.blobs.multipart.uploads import NewUpload
from application.blobs.resumable.uploads import ResumableUploads
from application.ports.contents import Part, Resumable
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.uploads.committer import Committer
from domain.access import EVERYTHING, Grant
from domain.blob import BlobId, Digest, Location, ObjectKey
from domain.checksums import Checksums
from tests.integration.drive import ID, Drive
from tests.integration.test_contents import uploads


class Counted(UnitOfWorkFactory):
    """Units of work that are counted."""

    def __init__(self, units: UnitOfWorkFactory) -> None:
        self.units = units
        self.count = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        self.count += 1
        async with self.units() as work:
            yield work


class Commits:
    """Commits of a drive, as the server has them, with numbers of their units."""

    def __init__(self, drive: Drive) -> None:
        metadata: Any = drive.metadata
        self.large, self.small = Counted(metadata.large_units), Counted(metadata)
        large, small = (Committer(units, ObjectKey.random) for units in (self.large, self.small))
        self.operations = CommitOperations(large, small, Rules())

    @property
    def counts(self) -> tuple[int, int]:
        return self.large.count, self.small.count


async def begin(drive: Drive, count: int, resumable: Resumable | None = None) -> ObjectKey:
    """Begin an upload, and record parts of a byte each, as if it had come."""
    is_partial = resumable is not None and resumable.is_partial
    new = NewUpload(None if is_partial else ID, size=count, resumable=resumable)
    key = (await uploads(drive).begin(EVERYTHING, new)).key
    metadata: Any = drive.metadata
    async with metadata.large_units() as work:
        for number in range(1, count + 1):
            location = Location(drive.stores.active, ObjectKey.random())
            await work.multipart.put_part(key, Part(number, location, 1, Digest(bytes(32)), Checksums(bytes(16))))
        await work.commit()
    return key


@pytest.mark.parametrize(("count", "expected"), [(1, (0, 1)), (FEW_PARTS, (0, 1)), (FEW_PARTS + 1, (1, 0))])
async def test_a_unit_for_many_rows_publishes_many_parts(
    any_drive: Drive, count: int, expected: tuple[int, int]
) -> None:
    commits = Commits(any_drive)
    key = await begin(any_drive, count)
    await commits.operations.one(EVERYTHING, Put(ID, key, range(1, count + 1)))
    assert commits.counts == expected
    await commits.operations.one(EVERYTHING, Patch(ID, {"tags": {"a": "b"}}))
    assert commits.counts == (expected[0], expected[1] + 1)


@pytest.mark.parametrize("partials", [0, 1, 3])
@pytest.mark.parametrize(("count", "expected"), [(3, (0, 1)), (FEW_PARTS + 1, (1, 0))])
async def test_so_it_is_at_the_end_of_a_resumable_upload(
    any_drive: Drive, partials: int, count: int, expected: tuple[int, int]
) -> None:
    commits = Commits(any_drive)
    resumable = ResumableUploads(uploads(any_drive), commits.operations)
    if partials:
        sizes = [count // partials + (number < count % partials) for number in range(partials)]
        keys = [await begin(any_drive, size, Resumable(is_partial=True)) for size in sizes]
        progress = await resumable.begin(EVERYTHING, NewUpload(ID), keys)
    else:
        progress = await resumable.progress(EVERYTHING, await begin(any_drive, count, Resumable()))
    assert progress.is_finished
    assert commits.counts == expected
    assert (await any_drive.metadata.blobs.get(ID)).size == count


@dataclass(frozen=True)
class Watched:
    """An operation that reports how many turns other tasks had meanwhile."""

    operation: Operation
    turns: list[int] = field(default_factory=list)

    @property
    def changes(self) -> Sequence[BlobId]:
        return self.operation.changes

    @property
    def reads(self) -> Sequence[BlobId]:
        return self.operation.reads

    @property
    def changes_many(self) -> bool:
        return self.operation.changes_many

    def authorize(self, grant: Grant) -> None:
        self.operation.authorize(grant)

    async def apply(self, work: UnitOfWork, rules: Rules) -> Changed:
        others = asyncio.create_task(self._take_turns())
        await asyncio.sleep(0)  # it begins
        self.turns.clear()
        try:
            return await self.operation.apply(work, rules)
        finally:
            others.cancel()

    async def _take_turns(self) -> None:
        while True:
            self.turns.append(1)
            await asyncio.sleep(0)


@pytest.mark.parametrize("any_drive", ["sqlite and files"], indirect=True)
async def test_others_have_their_turns_while_many_rows_change(any_drive: Drive) -> None:
    count = 2000
    watched = Watched(Put(ID, await begin(any_drive, count), range(1, count + 1)))
    await Commits(any_drive).operations.one(EVERYTHING, watched)
    assert watched.turns
