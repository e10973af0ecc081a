"""Units of work that the database rolls back, because they are in the way of others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from application.blobs.changes.delete import DeleteBlob
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.repeat import ATTEMPTS
from domain.access import EVERYTHING
from domain.errors import Kind, RolledBack
from tests.contracts.blob_store import refused
from tests.integration.drive import ID, Drive, with_uploads


class RollsBack(UnitOfWorkFactory):
    """Units of work of which so many that change blobs are rolled back."""

    def __init__(self, units: UnitOfWorkFactory, times: int) -> None:
        self.units = units
        self.times = times

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self.units() as work:
            for name in ("put", "remove"):
                self._plant(work, name)
            yield work

    def _plant(self, work: UnitOfWork, name: str) -> None:
        change = getattr(work.blobs, name)

        async def changed(*args: object) -> object:
            if self.times:
                self.times -= 1
                raise RolledBack("a deadlock")
            return await change(*args)

        setattr(work.blobs, name, changed)


@pytest.mark.parametrize("times", [1, ATTEMPTS - 1])
async def test_changes_are_repeated(any_drive: Drive, times: int) -> None:
    any_drive.store = with_uploads(any_drive.store, units=RollsBack(any_drive.metadata, times))
    assert (await any_drive.put(b"data")) == await any_drive.metadata.blobs.get(ID)
    assert await any_drive.get() == b"data"
    await DeleteBlob(RollsBack(any_drive.metadata, times))(EVERYTHING, ID)
    with refused(Kind.NOT_FOUND):
        await any_drive.get()


async def test_they_are_not_repeated_for_ever(any_drive: Drive) -> None:
    any_drive.store = with_uploads(any_drive.store, units=RollsBack(any_drive.metadata, ATTEMPTS))
    with refused(Kind.ROLLED_BACK):
        await any_drive.put(b"data")
    with refused(Kind.NOT_FOUND):
        await any_drive.get()
    assert [backlog.uploads for backlog in await any_drive.metadata.backlog()] == [0]
