"""The contract of the ports in application/ports/buckets.py."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC

import pytest

from application.ports.buckets import BucketReader
from application.ports.metadata import UnitOfWork
from domain.acls import AUTHENTICATED_READ, PUBLIC_READ
from domain.buckets import BLOCKS, DEFAULTS, Bucket, BucketSettings, CorsRule
from tests.contracts.contents import PAST, Contract
from tests.contracts.keys import during_another
from tests.contracts.metadata import LEFT, Leave, Metadata, in_a_unit, outcomes
from tests.ids import NASTY

FIRST, SECOND, THIRD = "10-a", "films", "z.y"
RACERS = 6
# Names whose order differs if hyphens, dots or digits have another weight than that of their bytes.
NAMES = ["a-b", "a.b", "a0b", "a1", "a10", "a2", "aa", "ab", "b-1", "b.1", "b1", "0a", "9a", "z" * 63, "z" * 62]
# Of 2,048 bytes each. An empty one is that of all blobs.
PREFIXES = ["", *NASTY, *(each * (2048 // len(each.encode())) for each in ("x", '"', "\\", "é", "😀", "\U0010ffff"))]
# A rule has up to 255 characters of an id, and texts without control characters. Zero seconds are not none.
RULES = (
    CorsRule(("*",), ("GET",)),
    CorsRule(("https://*.example.com", "null"), ("PUT", "HEAD"), ("*", "x-amz-*"), ("ETag",), 0, '"ü" 😀\\'),
)
LARGE = BucketSettings(
    {f"{number}" + "😀" * 120: "é" * 256 for number in range(50)},
    tuple(CorsRule((f"https://{number}." + "x" * 500,), ("GET",)) for number in range(100)),
)
SETTINGS = [
    BucketSettings({"a": "1", "b": ""}),
    BucketSettings(cors=RULES),
    BucketSettings(acl=PUBLIC_READ),
    BucketSettings(location="eu-west-1"),
    BucketSettings(blocked=()),
    BucketSettings(blocked=BLOCKS),
    BucketSettings({'"ü" 😀\\': " "}, RULES, AUTHENTICATED_READ, "EU"),
    LARGE,
    DEFAULTS,
]


def bucket(name: str = SECOND, prefix: str = "films/", owner: str = "k5" * 8) -> Bucket:
    """Return a bucket. Its time is not that of the database."""
    return Bucket(name, prefix, owner, PAST)


async def add(metadata: Metadata, *buckets: Bucket) -> list[Bucket | None]:
    async def change(work: UnitOfWork) -> list[Bucket | None]:
        return [await work.buckets.add(each) for each in buckets]

    return await in_a_unit(metadata, change)


async def remove(metadata: Metadata, name: str = SECOND) -> bool:
    return await in_a_unit(metadata, lambda work: work.buckets.remove(name))


async def change(metadata: Metadata, settings: BucketSettings, name: str = SECOND) -> bool:
    """Replace the settings of a bucket, and try to replace all else."""
    new = Bucket(name, "new/", "new", PAST, settings)
    return await in_a_unit(metadata, lambda work: work.buckets.replace(new))


async def add_tag(metadata: Metadata, name: str) -> None:
    """Add a tag to those that a bucket has."""

    async def change(work: UnitOfWork) -> None:
        current = await work.buckets.lock(SECOND)
        assert current is not None
        await asyncio.sleep(0)
        settings = replace(current.settings, tags={**current.settings.tags, name: name})
        assert await work.buckets.replace(replace(current, settings=settings))

    await in_a_unit(metadata, change)


async def all_buckets(buckets: BucketReader) -> list[Bucket]:
    return [*await buckets.list("", 1000)]


async def add_in(work: UnitOfWork) -> bool:
    return await work.buckets.add(bucket()) is not None


async def remove_in(work: UnitOfWork) -> bool:
    return await work.buckets.remove(SECOND)


async def lock_in(work: UnitOfWork) -> bool:
    return await work.buckets.lock(SECOND) is not None


async def replace_in(work: UnitOfWork) -> bool:
    return await work.buckets.replace(replace(bucket(), settings=BucketSettings(acl=PUBLIC_READ)))


class BucketsContract(Contract):
    """Buckets: added, found, listed, changed and removed."""

    # Values

    async def test_a_bucket_is_found_as_it_was_added(self, metadata: Metadata) -> None:
        made = [bucket(f"b{number:04}", prefix, "") for number, prefix in enumerate(PREFIXES)]
        made += [bucket("owner", owner="z" * 16), bucket("w" * 63), bucket("3.3")]
        before = await self.now(metadata)
        added = await add(metadata, *made)
        after = await self.now(metadata)
        for each, new in zip(made, added, strict=True):
            assert new == replace(each, created_at=new.created_at if new else PAST)
            assert new is not None
            assert before <= new.created_at <= after
        async with metadata() as work:
            for buckets in (metadata.buckets, work.buckets):
                found = [await buckets.find(each.name) for each in made]
                assert found == added
                assert await all_buckets(buckets) == sorted(filter(None, added), key=lambda each: each.name)
                assert {each.created_at.tzinfo for each in found if each} == {UTC}

    async def test_names_are_compared_exactly(self, metadata: Metadata) -> None:
        [added] = await add(metadata, bucket())
        for other in ("", SECOND[:-1], SECOND + "a", SECOND + " ", SECOND.upper(), "F" + SECOND[1:], FIRST, "%"):
            assert await metadata.buckets.find(other) is None
            assert not await remove(metadata, other)
        assert await all_buckets(metadata.buckets) == [added]

    # Lists

    async def test_buckets_are_listed_in_the_order_of_their_names(self, metadata: Metadata) -> None:
        names = [*NAMES, *(f"n{number}" for number in range(20))]
        random.Random(5).shuffle(names)  # noqa: S311
        await add(metadata, *map(bucket, names))
        names.sort()
        async with metadata() as work:
            for buckets in (metadata.buckets, work.buckets):
                for limit in (2, len(names), 1000):
                    listed = list[str]()
                    while page := await buckets.list(listed[-1] if listed else "", limit):
                        assert len(page) <= limit
                        assert page[0].name not in listed
                        listed += [each.name for each in page]
                    assert listed == names
                assert [each.name for each in await buckets.list("a1", 3)] == ["a10", "a2", "aa"]
                assert [each.name for each in await buckets.list("a", 1)] == ["a-b"]
                assert await buckets.list("z" * 63, 10) == []

    # Additions

    async def test_a_name_is_added_once(self, metadata: Metadata) -> None:
        [added] = await add(metadata, bucket())
        assert await add(metadata, bucket()) == [None]
        refused, other = await add(metadata, bucket(prefix="other/", owner="other"), bucket(FIRST))
        assert refused is None, "the unit stays usable"
        assert await all_buckets(metadata.buckets) == [other, added]

    async def test_a_bucket_is_added_by_one(self, metadata: Metadata) -> None:
        made = [bucket(prefix=f"{number}/") for number in range(RACERS)]
        ended = await outcomes(*(add(metadata, each) for each in made))
        assert ended.count([None]) == RACERS - 1
        assert await all_buckets(metadata.buckets) in ended

    @pytest.mark.parametrize("commits", [True, False])
    async def test_an_addition_waits_for_the_outcome_of_another_one(self, metadata: Metadata, commits: bool) -> None:
        assert await during_another(metadata, add_in, add_in, commits=commits) == (not commits)
        assert [each.name for each in await all_buckets(metadata.buckets)] == [SECOND]

    # Settings

    async def test_settings_are_found_as_they_were_set(self, metadata: Metadata) -> None:
        added = await add(metadata, *(replace(bucket(f"s-{n}"), settings=new) for n, new in enumerate(SETTINGS)))
        assert [each and each.settings for each in added] == SETTINGS
        [first] = await add(metadata, bucket())
        for settings in SETTINGS * 2:
            assert await change(metadata, settings)
            assert await change(metadata, settings), "they may be the same"
            assert first is not None
            expected = replace(first, settings=settings)
            assert await metadata.buckets.find(SECOND) == expected
            async with metadata() as work:
                assert await work.buckets.lock(SECOND) == expected
        assert await all_buckets(metadata.buckets) == [expected, *added]

    async def test_only_the_settings_of_one_bucket_are_replaced(self, metadata: Metadata) -> None:
        first, second, third = await add(metadata, bucket(FIRST), bucket(SECOND), bucket(THIRD))
        assert not await change(metadata, SETTINGS[0], "none")
        assert await change(metadata, SETTINGS[0])
        assert second is not None
        assert await all_buckets(metadata.buckets) == [first, replace(second, settings=SETTINGS[0]), third]
        async with metadata() as work:
            assert await work.buckets.lock("none") is None

    async def test_no_change_of_settings_is_lost(self, metadata: Metadata) -> None:
        await add(metadata, bucket())
        names = [f"tag{number}" for number in range(RACERS)]
        assert await outcomes(*(add_tag(metadata, name) for name in names)) == [None] * RACERS
        found = await metadata.buckets.find(SECOND)
        assert found is not None
        assert sorted(found.settings.tags) == names

    @pytest.mark.parametrize("commits", [True, False])
    async def test_a_lock_waits_for_the_outcome_of_a_removal(self, metadata: Metadata, commits: bool) -> None:
        await add(metadata, bucket())
        assert await during_another(metadata, remove_in, lock_in, commits=commits) == (not commits)

    @pytest.mark.parametrize("commits", [True, False])
    async def test_a_replacement_waits_for_the_outcome_of_a_removal(self, metadata: Metadata, commits: bool) -> None:
        await add(metadata, bucket())
        assert await during_another(metadata, remove_in, replace_in, commits=commits) == (not commits)
        assert [each.name for each in await all_buckets(metadata.buckets)] == ([] if commits else [SECOND])

    # Removals

    async def test_a_bucket_is_removed_once(self, metadata: Metadata) -> None:
        first, _, third = await add(metadata, bucket(FIRST), bucket(SECOND), bucket(THIRD))
        assert not await remove(metadata, "none")
        assert await remove(metadata)
        assert not await remove(metadata)
        assert await metadata.buckets.find(SECOND) is None
        assert await all_buckets(metadata.buckets) == [first, third]

    async def test_a_bucket_is_removed_by_one(self, metadata: Metadata) -> None:
        await add(metadata, bucket())
        ended = await outcomes(*(remove(metadata) for _ in range(RACERS)))
        assert sorted(map(str, ended)) == ["False"] * (RACERS - 1) + ["True"]

    @pytest.mark.parametrize("commits", [True, False])
    async def test_a_removal_waits_for_the_outcome_of_another_one(self, metadata: Metadata, commits: bool) -> None:
        await add(metadata, bucket())
        assert await during_another(metadata, remove_in, remove_in, commits=commits) == (not commits)
        assert await all_buckets(metadata.buckets) == []

    async def test_a_removed_name_can_be_added_again(self, metadata: Metadata) -> None:
        async def change(work: UnitOfWork) -> Bucket | None:
            assert await work.buckets.remove(SECOND)
            return await work.buckets.add(bucket(prefix="new/"))

        [former] = await add(metadata, bucket())
        assert former is not None
        new = await in_a_unit(metadata, change)
        assert new is not None
        assert (new.prefix, former.created_at <= new.created_at) == ("new/", True)
        assert await all_buckets(metadata.buckets) == [new]
        assert await remove(metadata)
        [again] = await add(metadata, bucket())
        assert await all_buckets(metadata.buckets) == [again]

    # Units

    async def begin(self, metadata: Metadata) -> list[Callable[[UnitOfWork], Awaitable[object]]]:
        """Commit buckets, and return one change of each kind, in the order in which to make them."""
        await add(metadata, bucket(FIRST), bucket(SECOND))
        changed = replace(bucket(FIRST), settings=SETTINGS[0])
        return [
            lambda work: work.buckets.add(bucket(THIRD)),
            lambda work: work.buckets.replace(changed),
            lambda work: work.buckets.remove(SECOND),
        ]

    async def test_changes_are_seen_by_others_once_they_are_committed(self, metadata: Metadata) -> None:
        changes = await self.begin(metadata)
        before = await all_buckets(metadata.buckets)
        async with metadata() as work:
            for change in changes:
                assert await change(work)
                assert await all_buckets(metadata.buckets) == before
            assert await metadata.buckets.find(SECOND) == before[1]
            assert await metadata.buckets.find(THIRD) is None
            after = await all_buckets(work.buckets)
            assert [each.name for each in after] == [FIRST, THIRD]
            assert [await work.buckets.find(each) for each in (SECOND, THIRD)] == [None, after[1]]
            await work.commit()
        assert await all_buckets(metadata.buckets) == after

    @pytest.mark.parametrize("leave", LEFT)
    async def test_a_unit_that_is_not_committed_changes_nothing(self, metadata: Metadata, leave: Leave) -> None:
        async def unit() -> None:
            async with metadata() as work:
                for change in changes:
                    assert await change(work)
                await leave(work)

        changes = await self.begin(metadata)
        before, rows = await all_buckets(metadata.buckets), await self.rows(metadata)
        leaving = asyncio.create_task(unit())
        await asyncio.wait({leaving})
        error = None if leaving.cancelled() else leaving.exception()
        assert not isinstance(error, AssertionError), "a change is refused"
        assert await all_buckets(metadata.buckets) == before
        assert await self.rows(metadata) == rows
        assert await add(metadata, bucket(THIRD)) != [None]
