"""The contract of the ports in application/ports/shares.py."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from application.ports.metadata import UnitOfWork
from application.ports.shares import ShareReader
from domain.access import Action, Share
from tests.contracts.contents import FUTURE, PAST, Contract
from tests.contracts.keys import FIRST, MICROSECOND, SECOND, THIRD, during_another, random_ids
from tests.contracts.metadata import LEFT, Leave, Metadata, blob, in_a_unit, outcomes, put
from tests.ids import NASTY

KEY = "k2" * 8
AT = datetime(2024, 2, 29, 12, 30, 15, 123_456, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HASH = "scrypt$16384$aGVsbG8gd29ybGQhIQ==$+/v0MmTjYz8Zq1Ks0yT8Q9o0mF0w7Xk3bJQ5o3d2l1E="
PEOPLE = 32  # who use a link at the same time
EXPIRED = 12


def share(share_id: str = SECOND, **values: object) -> Share:
    """Return a link with only the values that each link has."""
    made = Share(share_id, KEY, Action.READ, "k5", datetime(2024, 1, 1, tzinfo=UTC), FUTURE)
    return replace(made, **values)  # type: ignore[arg-type]


FULL = share(
    key_id="z" * 16,
    action=Action.WRITE,
    ids="👩‍🚀/é/",
    created_at=PAST,
    expires_at=FUTURE - MICROSECOND,
    password=HASH,
    max_uses=2**31 - 1,
    uses=2**31 - 2,
    filename="☺ 😀.txt",
    max_bytes=2**63 - 1,
)
SHARES = [
    share(),
    FULL,
    share(action=Action.WRITE),
    *(share(ids=each) for each in NASTY),
    # Each of 2,048 bytes.
    *(share(ids=each * (2048 // len(each.encode()))) for each in ("x", '"', "\\", "é", "😀", "\U0010ffff")),
    share(created_at=EPOCH, expires_at=EPOCH),
    share(created_at=PAST + MICROSECOND, expires_at=PAST),
    share(expires_at=AT),
    share(expires_at=AT + MICROSECOND),
    share(password=HASH),
    share(max_uses=1),
    share(max_uses=1, uses=1),
    share(uses=3),
    share(filename="é", password=HASH),
    *(share(filename=name) for name in ("e\u0301", "\U0010ffff" * 255, " a ", "a'b\"c\\d%e:f;--", "null")),
    share(filename=""),
    share(max_bytes=0),
    share(max_bytes=2**40 + 1),
]


async def add(metadata: Metadata, *shares: Share) -> None:
    async def change(work: UnitOfWork) -> None:
        for each in shares:
            await work.shares.add(each)

    await in_a_unit(metadata, change)


async def use(metadata: Metadata, share_id: str = SECOND) -> bool:
    return await in_a_unit(metadata, lambda work: work.shares.use(share_id))


async def remove(metadata: Metadata, share_id: str = SECOND) -> bool:
    return await in_a_unit(metadata, lambda work: work.shares.remove(share_id))


async def remove_expired(metadata: Metadata, now: datetime, limit: int = 1000) -> int:
    return await in_a_unit(metadata, lambda work: work.shares.remove_expired(now, limit))


async def all_shares(shares: ShareReader) -> list[Share]:
    return [*await shares.after("", 1000)]


async def use_in(work: UnitOfWork) -> bool:
    return await work.shares.use(SECOND)


async def remove_in(work: UnitOfWork) -> bool:
    return await work.shares.remove(SECOND)


class SharesContract(Contract):
    """Share links: added, found, listed, used and removed, also those that have expired."""

    # Values

    async def test_a_share_is_found_as_it_was_added(self, metadata: Metadata) -> None:
        added = [replace(each, id=f"{'a' * 13}{number:03}") for number, each in enumerate(SHARES)]
        await add(metadata, *added)
        async with metadata() as work:
            for shares in (metadata.shares, work.shares):
                assert [await shares.find(each.id) for each in added] == await all_shares(shares) == added
        for found in await all_shares(metadata.shares):
            assert found.created_at.tzinfo is found.expires_at.tzinfo is UTC

    async def test_ids_are_compared_exactly(self, metadata: Metadata) -> None:
        await add(metadata, share())
        for other in ("", SECOND[:-1], SECOND + "a", SECOND + " ", SECOND.upper(), "K5" + SECOND[2:], FIRST, "%"):
            assert await metadata.shares.find(other) is None
            assert not await use(metadata, other)
            assert not await remove(metadata, other)
        assert await all_shares(metadata.shares) == [share()]

    # Lists

    async def test_shares_are_listed_in_the_order_of_their_ids(self, metadata: Metadata) -> None:
        ids = [*random_ids(20), FIRST, THIRD, "a" * 16, "a" * 15 + "2", "a" * 15 + "b", "7" * 15 + "a"]
        await add(metadata, *map(share, ids))
        ids.sort()
        async with metadata() as work:
            for shares in (metadata.shares, work.shares):
                for limit in (2, len(ids), 1000):
                    listed = list[str]()
                    while page := await shares.after(listed[-1] if listed else "", limit):
                        assert len(page) <= limit
                        assert page[0].id not in listed
                        listed += [each.id for each in page]
                    assert listed == ids
                for start in range(0, len(ids), 5):
                    assert [each.id for each in await shares.after(ids[start], 3)] == ids[start + 1 : start + 4]
                    [first] = await shares.after(ids[start][:-1], 1)
                    assert first.id[:-1] == ids[start][:-1]
                assert await shares.after("z" * 17, 10) == []

    # Uses

    async def test_a_share_is_used_up_to_its_limit(self, metadata: Metadata) -> None:
        used, others = share(max_uses=3, uses=1), [share(FIRST, max_uses=3), share(THIRD, max_uses=1, uses=1)]
        await add(metadata, used, *others)
        for uses, is_used in ((2, True), (3, True), (3, False), (3, False)):
            assert await use(metadata) == is_used
            assert await all_shares(metadata.shares) == [others[0], replace(used, uses=uses), others[1]]
        assert not await use(metadata, THIRD)
        assert await use(metadata, FIRST)

    async def test_a_unit_uses_a_share_more_than_once(self, metadata: Metadata) -> None:
        async def change(work: UnitOfWork) -> list[bool]:
            return [await work.shares.use(SECOND) for _ in range(4)]

        await add(metadata, share(max_uses=3))
        assert await in_a_unit(metadata, change) == [True, True, True, False]
        assert await metadata.shares.find(SECOND) == share(max_uses=3, uses=3)

    async def test_a_share_without_a_limit_is_used_again_and_again(self, metadata: Metadata) -> None:
        await add(metadata, share(), full := replace(FULL, id=THIRD, max_uses=None, uses=0))
        assert [await use(metadata) for _ in range(20)] == [True] * 20
        assert await outcomes(*(use(metadata, THIRD) for _ in range(6))) == [True] * 6
        # Whether these uses are counted is up to the adapter.
        assert [replace(each, uses=0) for each in await all_shares(metadata.shares)] == [share(), full]

    async def test_racing_uses_are_counted_exactly(self, metadata: Metadata) -> None:
        await add(metadata, share(max_uses=10), share(THIRD, max_uses=PEOPLE + 1))
        ended = await outcomes(*(use(metadata, each) for _ in range(PEOPLE) for each in (SECOND, THIRD)))
        assert sorted(map(str, ended[::2])) == ["False"] * (PEOPLE - 10) + ["True"] * 10
        assert ended[1::2] == [True] * PEOPLE
        assert [each.uses for each in await all_shares(metadata.shares)] == [10, PEOPLE]

    @pytest.mark.parametrize("commits", [True, False])
    async def test_a_use_waits_for_the_outcome_of_another_one(self, metadata: Metadata, commits: bool) -> None:
        await add(metadata, share(max_uses=1))

        async def look_and_use(work: UnitOfWork) -> bool:
            assert await work.shares.find(SECOND) is not None
            return await work.shares.use(SECOND)

        assert await during_another(metadata, use_in, look_and_use, commits=commits) == (not commits)
        assert await metadata.shares.find(SECOND) == share(max_uses=1, uses=1)

    async def test_a_removed_share_is_not_used(self, metadata: Metadata) -> None:
        await add(metadata, share(), share(THIRD, max_uses=5))
        for share_id in (SECOND, THIRD):
            assert await use(metadata, share_id)
            assert await remove(metadata, share_id)
            assert not await use(metadata, share_id)
        assert await all_shares(metadata.shares) == []

    @pytest.mark.parametrize("commits", [True, False])
    async def test_a_use_waits_for_the_outcome_of_a_removal(self, metadata: Metadata, commits: bool) -> None:
        await add(metadata, share(max_uses=1))
        assert await during_another(metadata, remove_in, use_in, commits=commits) == (not commits)
        assert await metadata.shares.find(SECOND) == (None if commits else share(max_uses=1, uses=1))

    async def test_the_shares_of_a_key_are_listed_without_those_of_others(self, metadata: Metadata) -> None:
        ids = sorted(random_ids(12))
        made = [share(each, key_id=f"{number % 3}" * 16) for number, each in enumerate(ids)]
        await add(metadata, *made[::-1])
        for number in range(3):
            own, listed = ids[number::3], list[str]()
            while page := await metadata.shares.of_key(f"{number}" * 16, listed[-1] if listed else "", 3):
                assert len(page) <= 3
                listed += [each.id for each in page]
            assert listed == own
        assert await metadata.shares.of_key("a" * 16, "", 10) == []
        async with metadata() as work:
            assert [each.id for each in await work.shares.of_key("1" * 16, ids[1], 2)] == [ids[4], ids[7]]

    # Removals

    async def test_a_share_is_removed_once(self, metadata: Metadata) -> None:
        await add(metadata, share(FIRST), share(SECOND), share(THIRD))
        assert not await remove(metadata, "a" * 16)
        assert await remove(metadata, SECOND)
        assert not await remove(metadata, SECOND)
        assert await metadata.shares.find(SECOND) is None
        assert await all_shares(metadata.shares) == [share(FIRST), share(THIRD)]

    async def test_a_share_is_removed_by_one(self, metadata: Metadata) -> None:
        await add(metadata, share())
        ended = await outcomes(*(remove(metadata) for _ in range(6)))
        assert sorted(map(str, ended)) == ["False"] * 5 + ["True"]

    @pytest.mark.parametrize("commits", [True, False])
    async def test_a_removal_waits_for_the_outcome_of_another_one(self, metadata: Metadata, commits: bool) -> None:
        await add(metadata, share())
        assert await during_another(metadata, remove_in, remove_in, commits=commits) == (not commits)
        assert await all_shares(metadata.shares) == []

    async def test_a_removed_share_does_not_come_back(self, metadata: Metadata) -> None:
        await add(metadata, share(max_uses=10))
        removed, *used = await outcomes(remove(metadata), *(use(metadata) for _ in range(5)))
        assert removed is True
        assert {*used} <= {True, False}
        assert await all_shares(metadata.shares) == []

    # Expired ones

    async def test_only_expired_shares_are_removed(self, metadata: Metadata) -> None:
        times = [PAST, EPOCH, AT - MICROSECOND, AT, AT + MICROSECOND, AT + timedelta(seconds=1), FUTURE]
        added = [replace(FULL, id=f"{'a' * 15}{number}", expires_at=each) for number, each in enumerate(times)]
        await add(metadata, *added)
        assert await remove_expired(metadata, EPOCH - MICROSECOND) == 0
        assert await all_shares(metadata.shares) == added, "an expired one is found until it is removed"
        assert await remove_expired(metadata, AT) == 4
        assert await all_shares(metadata.shares) == added[4:]
        assert await remove_expired(metadata, AT) == 0
        assert await remove_expired(metadata, AT + MICROSECOND) == 1
        assert await all_shares(metadata.shares) == added[5:]

    async def test_expired_shares_are_removed_up_to_a_limit(self, metadata: Metadata) -> None:
        expired = [share(each, expires_at=PAST) for each in random_ids(7)]
        await add(metadata, *expired, share(FIRST))
        for removed, left in ((3, 5), (3, 2), (1, 1), (0, 1)):
            assert await remove_expired(metadata, AT, 3) == removed
            assert len(await all_shares(metadata.shares)) == left
        assert await all_shares(metadata.shares) == [share(FIRST)]

    async def test_each_expired_share_is_removed_by_one(self, metadata: Metadata) -> None:
        """Also while others are added, as by each request that creates one."""
        expired, new = random_ids(2 * EXPIRED)[:EXPIRED], random_ids(2 * EXPIRED)[EXPIRED:]
        await add(metadata, *(share(each, expires_at=PAST) for each in expired))

        async def replaced(share_id: str) -> int:
            async def change(work: UnitOfWork) -> int:
                removed = await work.shares.remove_expired(AT, 3)
                await work.shares.add(share(share_id))
                return removed

            return await in_a_unit(metadata, change)

        removed = await asyncio.gather(*map(replaced, new))
        assert max(removed) <= 3
        # One that another unit held is left for the next one.
        assert sum(removed) + await remove_expired(metadata, AT) == EXPIRED
        assert [each.id for each in await all_shares(metadata.shares)] == sorted(new)

    # Units

    async def begin(self, metadata: Metadata) -> list[Callable[[UnitOfWork], Awaitable[object]]]:
        """Commit links, and return one change of each kind, in the order in which to make them."""
        await add(metadata, share(FIRST, max_uses=2), share(SECOND), share(THIRD, expires_at=PAST))
        return [
            lambda work: work.shares.add(share("a" * 16, max_uses=1)),
            lambda work: work.shares.use(FIRST),
            lambda work: work.shares.use("a" * 16),
            lambda work: work.shares.remove(SECOND),
            lambda work: work.shares.remove_expired(AT, 10),
        ]

    async def test_changes_are_seen_by_others_once_they_are_committed(self, metadata: Metadata) -> None:
        changes = await self.begin(metadata)
        before = await all_shares(metadata.shares)
        after = [share(FIRST, max_uses=2, uses=1), share("a" * 16, max_uses=1, uses=1)]
        async with metadata() as work:
            for change in changes:
                assert await change(work) not in (False, 0)
                assert await all_shares(metadata.shares) == before
            assert [await metadata.shares.find(each.id) for each in before] == before
            assert await metadata.shares.find("a" * 16) is None
            assert await all_shares(work.shares) == after
            assert [await work.shares.find(each) for each in (FIRST, SECOND, THIRD)] == [after[0], None, None]
            await work.commit()
        assert await all_shares(metadata.shares) == after
        assert [await metadata.shares.find(each) for each in (FIRST, SECOND, THIRD)] == [after[0], None, None]

    @pytest.mark.parametrize("leave", LEFT)
    async def test_a_unit_that_is_not_committed_changes_nothing(self, metadata: Metadata, leave: Leave) -> None:
        async def unit() -> None:
            async with metadata() as work:
                for change in changes:
                    assert await change(work) not in (False, 0)
                await leave(work)

        changes = await self.begin(metadata)
        await put(metadata, blob("old"))
        before, rows = await all_shares(metadata.shares), await self.rows(metadata)
        leaving = asyncio.create_task(unit())
        await asyncio.wait({leaving})
        error = None if leaving.cancelled() else leaving.exception()
        assert not isinstance(error, AssertionError), "a change is refused"
        assert await all_shares(metadata.shares) == before
        assert await self.rows(metadata) == rows
        assert await use(metadata, FIRST), "the use is not counted"
        assert await use(metadata, FIRST)
