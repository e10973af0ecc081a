"""The contract of the ports in application/ports/verifications.py."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from application.ports.metadata import UnitOfWork
from application.ports.verifications import Verification
from tests.contracts.contents import FUTURE, PAST, Contract
from tests.contracts.keys import MICROSECOND, during_another
from tests.contracts.metadata import LEFT, Leave, Metadata, blob, in_a_unit, outcomes, put

AT = datetime(2024, 2, 29, 12, 30, 15, 123_456, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST = 2**63 - 1


def verification(storage: str = "fs", **values: object) -> Verification:
    """Return a verification that found nothing."""
    return replace(Verification(storage, AT, AT + MICROSECOND), **values)  # type: ignore[arg-type]


VERIFICATIONS = [
    verification(),
    # Each number is another one.
    verification(blobs=1, bytes=2, objects=3, missing=4, damaged=5, orphans=6, unreadable=7, repaired=8),
    verification(blobs=MOST, bytes=MOST - 1, objects=MOST - 2, missing=2**40, damaged=2**31, orphans=2**32),
    verification(deep=True),
    verification(complete=False),
    verification(deep=True, complete=False, unreadable=1),
    verification(begun_at=EPOCH, ended_at=FUTURE),
    verification(begun_at=PAST, ended_at=PAST),
    verification(begun_at=AT + MICROSECOND, ended_at=AT),  # a clock that was set back
]


async def record(metadata: Metadata, *verifications: Verification) -> None:
    async def change(work: UnitOfWork) -> None:
        for each in verifications:
            await work.verifications.record(each)

    await in_a_unit(metadata, change)


class VerificationsContract(Contract):
    """The last verification of each storage: recorded, replaced and read."""

    @pytest.mark.parametrize("number", range(len(VERIFICATIONS)))
    async def test_a_verification_is_read_as_it_was_recorded(self, metadata: Metadata, number: int) -> None:
        recorded = VERIFICATIONS[number]
        for _ in range(2):  # inserted, then replaced
            await record(metadata, recorded)
            async with metadata() as work:
                for reader in (metadata.verifications, work.verifications):
                    [found] = await reader.last()
                    assert found == recorded
                    assert found.begun_at.tzinfo is found.ended_at.tzinfo is UTC
                    assert (type(found.deep), type(found.complete)) == (bool, bool)
            await record(metadata, verification(deep=not recorded.deep, complete=not recorded.complete, blobs=99))

    async def test_there_is_one_of_each_storage_in_the_order_of_their_names(self, metadata: Metadata) -> None:
        assert await metadata.verifications.last() == []
        names = ["s3", "fs", "ftp", "database", "a", "Z", "s", "a_b", "a-b", "x" * 32]
        await record(metadata, *(verification(name, blobs=number) for number, name in enumerate(names)))
        found = await metadata.verifications.last()
        assert [each.storage for each in found] == sorted(names)
        assert [names[each.blobs] for each in found] == sorted(names)

    async def test_a_later_one_replaces_that_of_its_storage(self, metadata: Metadata) -> None:
        kept = [verification("FS", blobs=1), verification("f", blobs=2), verification("fs2", blobs=3)]
        await record(metadata, verification(orphans=5), *kept)
        for later in (verification(damaged=1), verification(ended_at=EPOCH), verification(ended_at=FUTURE)):
            await record(metadata, later)
            assert {*await metadata.verifications.last()} == {later, *kept}

    async def test_a_unit_records_several(self, metadata: Metadata) -> None:
        await record(metadata, verification(), verification("s3"), verification(blobs=1), verification("s3", blobs=2))
        assert [each.blobs for each in await metadata.verifications.last()] == [1, 2]

    async def test_of_racing_ones_one_is_left(self, metadata: Metadata) -> None:
        racing = [verification(blobs=number) for number in range(16)]
        assert await outcomes(*(record(metadata, each) for each in racing)) == [None] * 16
        [found] = await metadata.verifications.last()
        assert found in racing

    @pytest.mark.parametrize("commits", [True, False])
    @pytest.mark.parametrize("is_there", [True, False])
    async def test_the_last_commit_counts(self, metadata: Metadata, commits: bool, is_there: bool) -> None:
        def recording(each: Verification) -> Callable[[UnitOfWork], Awaitable[bool]]:
            async def change(work: UnitOfWork) -> bool:
                await work.verifications.record(each)
                return True

            return change

        if is_there:
            await record(metadata, verification(blobs=1))
        first, second = verification(blobs=2), verification(blobs=3)
        assert await during_another(metadata, recording(first), recording(second), commits=commits)
        assert await metadata.verifications.last() == [second]

    # Units

    async def test_changes_are_seen_by_others_once_they_are_committed(self, metadata: Metadata) -> None:
        await record(metadata, before := verification(blobs=1))
        after = [verification(blobs=2), verification("s3")]
        async with metadata() as work:
            for each in after:
                await work.verifications.record(each)
                assert await metadata.verifications.last() == [before]
            assert await work.verifications.last() == after
            await work.commit()
        assert await metadata.verifications.last() == after

    @pytest.mark.parametrize("leave", LEFT)
    async def test_a_unit_that_is_not_committed_changes_nothing(self, metadata: Metadata, leave: Leave) -> None:
        async def unit() -> None:
            async with metadata() as work:
                await work.verifications.record(verification(blobs=2))
                await work.verifications.record(verification("s3"))
                await leave(work)

        await put(metadata, blob("old"))
        await record(metadata, before := verification(blobs=1))
        rows = await self.rows(metadata)
        leaving = asyncio.create_task(unit())
        await asyncio.wait({leaving})
        assert await metadata.verifications.last() == [before]
        assert await self.rows(metadata) == rows
