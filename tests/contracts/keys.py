"""The contract of the ports in application/ports/keys.py."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from application.ports.keys import KeyReader
from application.ports.metadata import UnitOfWork
from domain.access import AccessKey, Action, Limits
from domain.blob import BlobId
from domain.errors import Kind
from tests.contracts.contents import FUTURE, PAST, Contract
from tests.contracts.metadata import (
    LEFT,
    Leave,
    Metadata,
    blob,
    in_a_unit,
    outcomes,
    put,
)

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
MICROSECOND = timedelta(microseconds=1)
USED = datetime(2024, 2, 29, 12, 30, 15, 123_456, tzinfo=UTC)
OVERLAPPING = 0.02  # seconds for which a unit stays open while another one begins

FIRST, SECOND, THIRD = ("2" * 16, "k5" * 8, "z" * 16)


def key(key_id: str = SECOND, **values: object) -> AccessKey:
    """Return a key with only the values that each key has."""
    made = AccessKey(key_id, "ci", frozenset({Action.READ}), ("",), datetime(2024, 1, 1, tzinfo=UTC), master="0" * 16)
    return replace(made, **values)  # type: ignore[arg-type]


FULL = key(
    name="a name",
    actions=frozenset(Action),
    prefixes=("z/", "a/", "a/b"),
    created_at=PAST,
    expires_at=FUTURE,
    generation=2**31 - 1,
    former_until=FUTURE - MICROSECOND,
    used_at=USED,
    master="0123456789abcdef",
    limits=Limits(10, 2**40 + 1, 2**50 + 1),
    stored_bytes=2**45 + 1,
)
KEYS = [
    key(),
    FULL,
    *(key(actions=frozenset({action})) for action in Action),
    key(actions=frozenset({Action.LIST, Action.ADMIN})),
    key(created_at=PAST + MICROSECOND),
    key(created_at=datetime(1970, 1, 1, tzinfo=UTC), used_at=datetime(1970, 1, 1, tzinfo=UTC)),
    key(expires_at=USED),
    key(generation=2, former_until=USED + MICROSECOND),
    key(used_at=USED - MICROSECOND),
    key(name="👩‍🚀 é ☺ \U0010ffff", prefixes=("👩‍🚀/", "é", "e\u0301", "\U0010ffff")),
    key(name="\U0001f600" * 100),
    key(name="a'b\"c\\d%e:f?g`h;--", prefixes=("a,b", 'a"b', "a'b\\", "[", "%s", ":x", "null")),
    key(name=" a  b ", prefixes=(" ", "a ", "a")),
    key(limits=Limits(max_blob_bytes=0, quota_bytes=0)),
    key(limits=Limits(max_blob_bytes=2**63 - 1)),
    key(limits=Limits(quota_bytes=2**63 - 1), stored_bytes=2**62),
    key(stored_bytes=1),
    *(key(limits=Limits(requests_per_second=rate)) for rate in (0.001, 0.3, 1, 3, 7.5, 1000, 1_000_000)),
]
# Each of 2,048 bytes. They are many more in JSON.
LONG_PREFIXES = [each * (2048 // len(each.encode())) for each in ("x", '"', "\\", "é", "😀", "\U0010ffff", "\u2028")]


def long_prefixes() -> tuple[str, ...]:
    """Return 100 prefixes, none of them equal to another."""
    return tuple(f"{number:02}{LONG_PREFIXES[number % 7][: -(2 if number % 7 < 3 else 1)]}" for number in range(100))


def random_ids(count: int) -> list[str]:
    generator = random.Random(5)  # noqa: S311
    return ["".join(generator.choices(ALPHABET, k=16)) for _ in range(count)]


async def add(metadata: Metadata, *keys: AccessKey) -> None:
    async def change(work: UnitOfWork) -> None:
        for each in keys:
            await work.keys.add(each)

    await in_a_unit(metadata, change)


async def swap(metadata: Metadata, former: AccessKey, new: AccessKey) -> bool:
    return await in_a_unit(metadata, lambda work: work.keys.replace(former, new))


async def remove(metadata: Metadata, key_id: str) -> bool:
    return await in_a_unit(metadata, lambda work: work.keys.remove(key_id))


async def use(metadata: Metadata, key_ids: Sequence[str], used_at: datetime) -> None:
    await in_a_unit(metadata, lambda work: work.keys.record_use(key_ids, used_at))


async def charge(metadata: Metadata, key_id: str, size: int) -> bool:
    return await in_a_unit(metadata, lambda work: work.keys.charge(key_id, size))


async def all_keys(keys: KeyReader) -> list[AccessKey]:
    return [*await keys.after("", 1000)]


async def times_of_use(metadata: Metadata) -> dict[str, datetime | None]:
    return {each.id: each.used_at for each in await all_keys(metadata.keys)}


def following(former: AccessKey, **values: object) -> AccessKey:
    """Return the next generation of a key."""
    new = replace(former, generation=former.generation + 1, former_until=FUTURE)
    return replace(new, **values)  # type: ignore[arg-type]


async def during_another(
    metadata: Metadata,
    first: Callable[[UnitOfWork], Awaitable[bool]],
    second: Callable[[UnitOfWork], Awaitable[bool]],
    *,
    commits: bool,
) -> bool:
    """Make a change while another unit, which has made its own, is open. Return the outcome of the second one."""

    async def holding() -> None:
        async with metadata() as work:
            assert await first(work)
            has_changed.set()
            await asyncio.sleep(OVERLAPPING)
            if commits:
                await work.commit()

    async def then() -> bool:
        await has_changed.wait()
        return await in_a_unit(metadata, second)

    has_changed = asyncio.Event()
    _, outcome = await asyncio.gather(holding(), then())
    return outcome


class KeysContract(Contract):
    """Keys: added, found, listed, replaced and removed, and the times of their use."""

    # Values

    async def test_a_key_is_found_as_it_was_added(self, metadata: Metadata) -> None:
        added = [replace(each, id=f"{'a' * 14}{number:02}") for number, each in enumerate(KEYS)]
        await add(metadata, *added)
        async with metadata() as work:
            for keys in (metadata.keys, work.keys):
                assert [await keys.find(each.id) for each in added] == await all_keys(keys) == added
        for found in await all_keys(metadata.keys):
            times = (found.created_at, found.expires_at, found.former_until, found.used_at)
            assert {time.tzinfo for time in times if time} == {UTC}

    async def test_a_key_may_have_many_long_prefixes(self, metadata: Metadata) -> None:
        prefixes = long_prefixes()
        assert {len(each.encode()) for each in prefixes} <= set(range(2044, 2049))
        await add(metadata, key(prefixes=prefixes))
        found = await metadata.keys.find(SECOND)
        assert found is not None
        assert found.prefixes == prefixes
        assert await swap(metadata, found, following(found, prefixes=prefixes[::-1]))
        [found] = await metadata.keys.after("", 2)
        assert found.prefixes == prefixes[::-1]

    async def test_ids_are_compared_exactly(self, metadata: Metadata) -> None:
        await add(metadata, key())
        for other in ("", SECOND[:-1], SECOND + "a", SECOND + " ", SECOND.upper(), "K5" + SECOND[2:], FIRST, "%"):
            assert await metadata.keys.find(other) is None
            assert not await remove(metadata, other)
            await use(metadata, [other], USED)
        assert await all_keys(metadata.keys) == [key()]

    # Lists

    async def test_keys_are_listed_in_the_order_of_their_ids(self, metadata: Metadata) -> None:
        ids = [*random_ids(20), FIRST, THIRD, "a" * 16, "a" * 15 + "2", "a" * 15 + "b", "7" * 15 + "a"]
        await add(metadata, *map(key, ids))
        ids.sort()
        async with metadata() as work:
            for keys in (metadata.keys, work.keys):
                for limit in (2, len(ids), 1000):
                    listed = list[str]()
                    while page := await keys.after(listed[-1] if listed else "", limit):
                        assert len(page) <= limit
                        assert page[0].id not in listed
                        listed += [each.id for each in page]
                    assert listed == ids
                for start in range(0, len(ids), 5):
                    assert [each.id for each in await keys.after(ids[start], 3)] == ids[start + 1 : start + 4]
                    [first] = await keys.after(ids[start][:-1], 1)
                    assert first.id[:-1] == ids[start][:-1]
                assert await keys.after("z" * 17, 10) == []

    # Replacements

    async def test_a_key_is_replaced_by_its_next_generation(self, metadata: Metadata) -> None:
        await add(metadata, key(FIRST), former := key(expires_at=USED), key(THIRD))
        for generation in (2, 3, 4):
            new = following(former, master=f"{generation:016}", former_until=USED if generation == 3 else None)
            assert new.generation == generation
            assert await swap(metadata, former, new)
            assert await metadata.keys.find(new.id) == new
            former = new
        assert await all_keys(metadata.keys) == [key(FIRST), former, key(THIRD)]

    async def test_a_replaced_key_keeps_its_counts(self, metadata: Metadata) -> None:
        """The bytes stored and the time of the last use may have changed since it was read."""
        former = key(limits=Limits(quota_bytes=100))
        await add(metadata, former)
        await use(metadata, [former.id], USED)
        assert await charge(metadata, former.id, 10)
        for used_at, stored in ((None, 0), (PAST, 9), (FUTURE, 11)):
            new = following(former, used_at=used_at, stored_bytes=stored)
            assert await swap(metadata, former, new)
            former = replace(new, used_at=USED, stored_bytes=10)
            assert await metadata.keys.find(new.id) == former

    async def test_only_the_current_generation_is_replaced(self, metadata: Metadata) -> None:
        await add(metadata, first := key())
        assert await swap(metadata, first, second := following(first))
        for stale in (first, replace(first, generation=3), replace(first, generation=0)):
            assert not await swap(metadata, stale, following(stale, master="f" * 16))
        assert not await swap(metadata, key(THIRD), following(key(THIRD)))
        assert await all_keys(metadata.keys) == [second]
        assert await remove(metadata, second.id)
        assert not await swap(metadata, second, following(second))
        assert await all_keys(metadata.keys) == []

    async def test_a_generation_is_replaced_by_one(self, metadata: Metadata) -> None:
        await add(metadata, former := key())
        new = [following(former, master=f"{number:016}") for number in range(6)]
        ended = await outcomes(*(swap(metadata, former, each) for each in new))
        assert sorted(map(str, ended)) == ["False"] * 5 + ["True"]
        assert await metadata.keys.find(former.id) == new[ended.index(True)]

    @pytest.mark.parametrize("commits", [True, False])
    async def test_a_replacement_waits_for_the_outcome_of_another_one(self, metadata: Metadata, commits: bool) -> None:
        await add(metadata, former := key())
        one, two = following(former, master="1" * 16), following(former, master="2" * 16)

        async def rotate(work: UnitOfWork) -> bool:
            assert await work.keys.find(former.id) in (former, one)
            return await work.keys.replace(former, two)

        replaced = await during_another(metadata, lambda work: work.keys.replace(former, one), rotate, commits=commits)
        assert replaced == (not commits)
        assert await metadata.keys.find(former.id) == (one if commits else two)

    # Removals

    async def test_a_key_is_removed_once(self, metadata: Metadata) -> None:
        await add(metadata, key(FIRST), key(SECOND), key(THIRD))
        assert not await remove(metadata, "a" * 16)
        assert await remove(metadata, SECOND)
        assert not await remove(metadata, SECOND)
        assert await metadata.keys.find(SECOND) is None
        assert await all_keys(metadata.keys) == [key(FIRST), key(THIRD)]

    async def test_a_key_is_removed_by_one(self, metadata: Metadata) -> None:
        await add(metadata, key())
        ended = await outcomes(*(remove(metadata, SECOND) for _ in range(6)))
        assert sorted(map(str, ended)) == ["False"] * 5 + ["True"]

    @pytest.mark.parametrize("commits", [True, False])
    async def test_a_removal_waits_for_the_outcome_of_another_one(self, metadata: Metadata, commits: bool) -> None:
        await add(metadata, key())

        async def change(work: UnitOfWork) -> bool:
            return await work.keys.remove(SECOND)

        assert await during_another(metadata, change, change, commits=commits) == (not commits)
        assert await all_keys(metadata.keys) == []

    async def test_a_removed_key_does_not_come_back(self, metadata: Metadata) -> None:
        await add(metadata, former := key())
        new = following(former)
        removed, replaced, used = await outcomes(
            remove(metadata, SECOND), swap(metadata, former, new), use(metadata, [SECOND], USED)
        )
        assert (removed, used) == (True, None)
        assert replaced in (True, False)
        for changed in (await swap(metadata, former, new), await swap(metadata, new, following(new))):
            assert not changed
        await use(metadata, [SECOND], USED)
        assert await all_keys(metadata.keys) == []

    # Quotas

    async def test_a_key_is_charged_up_to_its_quota(self, metadata: Metadata) -> None:
        charged, other = key(FIRST, limits=Limits(quota_bytes=100)), key(THIRD, limits=Limits(quota_bytes=10))
        await add(metadata, charged, other, key())
        sizes = ((60, True), (41, False), (0, True), (39, True), (2, False), (1, True), (1, False), (0, True))
        stored = 0
        for size, is_charged in sizes:
            assert await charge(metadata, FIRST, size) == is_charged
            stored += size if is_charged else 0
            assert await all_keys(metadata.keys) == [replace(charged, stored_bytes=stored), key(), other]
        for key_id in (SECOND, "a" * 16):
            assert not await charge(metadata, key_id, 1)
        assert await remove(metadata, THIRD)
        assert not await charge(metadata, THIRD, 1)
        assert await all_keys(metadata.keys) == [replace(charged, stored_bytes=100), key()]

    async def test_no_racing_charges_exceed_a_quota(self, metadata: Metadata) -> None:
        await add(metadata, key(limits=Limits(quota_bytes=5), stored_bytes=1))
        ended = await outcomes(*(charge(metadata, SECOND, 1) for _ in range(6)))
        assert ended.count(True) == 4
        assert all(each in (True, False, Kind.QUOTA_EXCEEDED) for each in ended), ended
        [found] = await all_keys(metadata.keys)
        assert found.stored_bytes == 5

    # Uses

    async def test_uses_are_recorded(self, metadata: Metadata) -> None:
        before = [key(FIRST, expires_at=USED), replace(FULL, used_at=None), key(THIRD)]
        await add(metadata, *before)
        await use(metadata, [], USED)
        assert await all_keys(metadata.keys) == before
        await use(metadata, [THIRD, FIRST], USED)
        after = [replace(each, used_at=None if each.id == SECOND else USED) for each in before]
        assert await all_keys(metadata.keys) == after
        await use(metadata, [SECOND, FIRST], USED + MICROSECOND)
        assert await times_of_use(metadata) == {FIRST: USED + MICROSECOND, SECOND: USED + MICROSECOND, THIRD: USED}

    async def test_a_recorded_use_is_never_earlier(self, metadata: Metadata) -> None:
        await add(metadata, key(FIRST), key(SECOND, used_at=USED))
        for earlier in (USED - MICROSECOND, PAST, USED):
            await use(metadata, [FIRST, SECOND], earlier)
            assert (await times_of_use(metadata))[SECOND] == USED
        assert (await times_of_use(metadata))[FIRST] == USED

    async def test_uses_of_unknown_keys_are_ignored(self, metadata: Metadata) -> None:
        await add(metadata, key(FIRST), key(SECOND), key(THIRD))
        await remove(metadata, SECOND)
        await use(metadata, ["a" * 16, SECOND, THIRD, FIRST, "zz", THIRD], USED)
        assert await times_of_use(metadata) == {FIRST: USED, THIRD: USED}
        assert await metadata.keys.find(SECOND) is None

    async def test_of_racing_uses_the_last_is_kept(self, metadata: Metadata) -> None:
        await add(metadata, key(FIRST), key(SECOND))
        times = [USED + number * MICROSECOND for number in (3, 1, 5, 2, 4, 0)]
        assert await outcomes(*(use(metadata, [FIRST, SECOND], each) for each in times)) == [None] * 6
        assert await times_of_use(metadata) == dict.fromkeys((FIRST, SECOND), max(times))

    async def test_units_that_record_the_same_uses_do_not_deadlock(self, metadata: Metadata) -> None:
        ids = sorted(random_ids(8))

        async def once(key_ids: Sequence[str], used_at: datetime) -> None:
            """Record uses, not again if the unit is rolled back."""
            async with metadata() as work:
                await work.keys.record_use(key_ids, used_at)
                await work.commit()

        await add(metadata, *map(key, ids))
        for number in range(3):
            used_at = USED + number * MICROSECOND
            assert await outcomes(once(ids, used_at), once(ids[::-1], used_at)) == [None, None]
            assert await times_of_use(metadata) == dict.fromkeys(ids, used_at)

    # Units

    async def begin(self, metadata: Metadata) -> list[Callable[[UnitOfWork], Awaitable[object]]]:
        """Commit keys, and return one change of each kind, in the order in which to make them."""
        former = key(FIRST)
        await add(metadata, former, key(SECOND), key(THIRD, limits=Limits(quota_bytes=10)))
        return [
            lambda work: work.keys.add(key("a" * 16)),
            lambda work: work.keys.replace(former, following(former)),
            lambda work: work.keys.remove(SECOND),
            lambda work: work.keys.record_use([THIRD, "a" * 16], USED),
            lambda work: work.keys.charge(THIRD, 10),
        ]

    async def test_changes_are_seen_by_others_once_they_are_committed(self, metadata: Metadata) -> None:
        changes = await self.begin(metadata)
        before = await all_keys(metadata.keys)
        after = [
            following(key(FIRST)),
            key("a" * 16, used_at=USED),
            replace(before[2], used_at=USED, stored_bytes=10),
        ]
        async with metadata() as work:
            for change in changes:
                assert await change(work) is not False
                assert await all_keys(metadata.keys) == before
            assert await metadata.keys.find(SECOND) == key(SECOND)
            # What is charged may be seen only after the commit.
            found = [replace(each, stored_bytes=0) for each in await all_keys(work.keys)]
            assert found == [replace(each, stored_bytes=0) for each in after]
            assert [await work.keys.find(each) for each in (FIRST, SECOND)] == [after[0], None]
            await work.commit()
        assert await all_keys(metadata.keys) == after
        assert [await metadata.keys.find(each) for each in (FIRST, SECOND)] == [after[0], None]

    @pytest.mark.parametrize("leave", LEFT)
    async def test_a_unit_that_is_not_committed_changes_nothing(self, metadata: Metadata, leave: Leave) -> None:
        async def unit() -> None:
            async with metadata() as work:
                for change in changes:
                    assert await change(work) is not False
                await leave(work)

        changes = await self.begin(metadata)
        await put(metadata, blob("old"))
        before, rows = await all_keys(metadata.keys), await self.rows(metadata)
        leaving = asyncio.create_task(unit())
        await asyncio.wait({leaving})
        error = None if leaving.cancelled() else leaving.exception()
        assert not isinstance(error, AssertionError), "a change is refused"
        assert await all_keys(metadata.keys) == before
        assert await self.rows(metadata) == rows
        assert await metadata.blobs.find(BlobId("old")) is not None
