"""The contract of quotas: the owners of versions, and the bytes that count against the quotas of their keys."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from application.contents.retention import Retention
from application.ports.metadata import Published, UnitOfWork
from application.quota import charge
from application.repeat import repeated
from domain.access import Limits
from domain.blob import Blob, BlobId
from domain.errors import Kind
from domain.precondition import ANY, CREATE_ONLY, Precondition
from tests.contracts.contents import FUTURE, PAST, Contract, copy, delete, expiring, move, put_all, release_all, take
from tests.contracts.keys import FIRST, SECOND, THIRD, add, all_keys, key
from tests.contracts.keys import remove as revoke
from tests.contracts.metadata import (
    LEFT,
    LONG,
    NOW,
    Leave,
    Metadata,
    blob,
    draft_of,
    in_a_unit,
    outcomes,
    publish,
    put,
    remove,
)

OWNERS = (FIRST, SECOND, THIRD)
NOBODY = "a" * 16  # no key has this id
ALL = 10_000  # more than the bytes or the rows in any case
SOON = timedelta(seconds=1)
IN_TIME = 60  # seconds, long after any database has found a deadlock
MOVED = 600  # blobs, in two pages
RETENTION = Retention(grace=NOW, trash=LONG)


def owned(owner: str, blob_id: str = "k5", size: int = 12) -> Blob:
    return replace(blob(blob_id, size=size), owner=owner)


async def add_keys(metadata: Metadata, *ids: str, quota: int = ALL) -> None:
    await add(metadata, *(key(each, limits=Limits(quota_bytes=quota)) for each in ids))


async def store_in(work: UnitOfWork, version: Blob, precondition: Precondition = ANY) -> Published:
    """Publish a version, let the former one go to the trash, and charge the owner."""
    published = await work.blobs.put(draft_of(version), precondition)
    await RETENTION.keep(work, published.former)
    await charge(work, version.owner, version.size)
    return published


async def store(metadata: Metadata, *versions: Blob) -> None:
    """Store versions in one unit, again if that is rolled back."""

    async def change(work: UnitOfWork) -> None:
        for version in versions:
            await store_in(work, version)

    await in_a_unit(metadata, change)


async def move_to_trash(metadata: Metadata, ids: Sequence[BlobId]) -> None:
    await in_a_unit(metadata, lambda work: work.trash.move(ids, LONG, NOW))


async def move_expired(metadata: Metadata, limit: int = ALL) -> int:
    return await in_a_unit(metadata, lambda work: work.trash.move_expired(limit, NOW))


async def owner_of(metadata: Metadata, blob_id: str = "k5") -> str:
    return (await metadata.blobs.get(BlobId(blob_id))).owner


async def stored(metadata: Metadata) -> dict[str, int]:
    """Return the bytes stored by each key that has some."""
    return {each.id: each.stored_bytes for each in await all_keys(metadata.keys) if each.stored_bytes}


async def expect_exact(metadata: Metadata) -> None:
    """Each key is charged for its blobs, the expired ones included, and for nothing else."""
    sizes = Counter[str]()
    for version in await metadata.blobs.by_content(None, ALL):
        sizes[version.owner] += version.size
    counted = {each.id: each.stored_bytes for each in await all_keys(metadata.keys)}
    assert counted == {key_id: sizes[key_id] for key_id in counted}


class QuotasContract(Contract):
    """Owners of versions, and the bytes that are charged to them and given back."""

    # Owners

    async def test_a_blob_has_the_owner_that_stored_it_last(self, metadata: Metadata) -> None:
        await put_all(metadata, [owned(SECOND, "a"), owned("", "z")])
        for owner in (FIRST, SECOND, "", NOBODY, ""):
            assert (await publish(metadata, owned(owner))).blob.owner == owner
            assert [each.owner for each in await metadata.blobs.between("", None, 10)] == [SECOND, owner, ""]
            assert Counter(each.owner for each in await metadata.blobs.by_content(None, 10))[owner] >= 1
            rolled_up = await metadata.blobs.rolled_up("", None, 10, "", "/")
            assert [each.owner for each in rolled_up if isinstance(each, Blob)] == [SECOND, owner, ""]
            async with metadata() as work:
                assert [await owner_of(metadata), (await work.blobs.get(BlobId("k5"))).owner] == [owner, owner]

    @pytest.mark.parametrize("target", ["b/", "a/b/", ""])
    async def test_a_blob_keeps_its_owner_when_its_id_changes(self, metadata: Metadata, target: str) -> None:
        await add_keys(metadata, FIRST, SECOND)
        await store(metadata, owned(FIRST, "a/1", 1), owned("", "a/b/2", 2), owned(SECOND, "a/b/3", 3))
        assert await move(metadata, "a/", target) == 3
        found = {each.id.value: each.owner for each in await metadata.blobs.between("", None, 10)}
        assert found == {f"{target}1": FIRST, f"{target}b/2": "", f"{target}b/3": SECOND}
        assert await stored(metadata) == {FIRST: 1, SECOND: 3}

    async def test_a_blob_keeps_its_owner_when_its_properties_change(self, metadata: Metadata) -> None:
        async def patch(work: UnitOfWork) -> Published:
            current = await work.blobs.lock(BlobId("k5"), ANY)
            properties = replace(current.properties, content_type="text/html")
            return await work.blobs.put(replace(current.draft(), properties=properties), ANY)

        await add_keys(metadata, FIRST)
        for owner in (FIRST, ""):
            await store(metadata, owned(owner))
            assert (await in_a_unit(metadata, patch)).blob.owner == owner
            assert await owner_of(metadata) == owner
            await expect_exact(metadata)

    async def test_a_version_that_is_replaced_or_removed_has_its_owner(self, metadata: Metadata) -> None:
        for owner, next_owner in ((FIRST, SECOND), ("", FIRST), (SECOND, "")):
            for over in (None, PAST):
                await put(metadata, replace(owned(owner), expires_at=over))
                former = (await publish(metadata, owned(next_owner))).former
                assert former is not None
                assert former.owner == owner
            etag = (await metadata.blobs.get(BlobId("k5"))).etag
            for precondition in (ANY, Precondition(etags=frozenset({etag}))):
                await put(metadata, owned(owner))
                assert (await remove(metadata, BlobId("k5"), precondition)).owner == owner

    async def test_a_version_in_the_trash_has_its_owner(self, metadata: Metadata) -> None:
        await add_keys(metadata, FIRST)
        versions = [owned(FIRST, "a"), owned("", "b"), owned(NOBODY, "c"), owned(FIRST, "d"), owned("", "e")]
        await put_all(metadata, versions)
        await move_to_trash(metadata, [each.id for each in versions[:3]])
        for each in versions[3:]:
            await delete(metadata, each.id, LONG)
        listed = await metadata.trash.between("", 0, None, 10)
        assert [each.blob.owner for each in listed] == [FIRST, "", NOBODY, FIRST, ""]
        for version in listed:
            found, taken = await metadata.trash.find(version.key), await take(metadata, version.key)
            assert found is not None
            assert taken is not None
            assert found.blob.owner == taken.blob.owner == taken.blob.draft().owner == version.blob.owner

    # Bytes that are given back

    async def test_bytes_are_given_back_by_the_trash_only(self, metadata: Metadata) -> None:
        await add_keys(metadata, *OWNERS)
        versions = [owned(FIRST, "a", 1), owned(SECOND, "b", 20), owned(THIRD, "c", 300), owned("", "d", 4000)]
        await store(metadata, *versions, owned(FIRST, "e", 50))
        full = Counter({FIRST: 51, SECOND: 20, THIRD: 300})
        assert await stored(metadata) == full
        # Of one's own blob, of another's, of nobody's, and by nobody.
        for size, (former, owner) in enumerate([(FIRST, FIRST), (SECOND, THIRD), ("", FIRST), (THIRD, "")], 1):
            replaced = next(each for each in versions if each.owner == former)
            published = await publish(metadata, owned(owner, replaced.id.value, size))
            assert published.former is not None
            assert await stored(metadata) == +full
            await in_a_unit(metadata, lambda work, former=published.former: RETENTION.keep(work, former))  # type: ignore[misc]
            if former:
                full[former] -= replaced.size
            assert await stored(metadata) == +full
        assert +full == {FIRST: 50}
        removed = await remove(metadata, BlobId("e"))
        assert await stored(metadata) == {FIRST: 50}
        await in_a_unit(metadata, lambda work: work.trash.add(removed, LONG, LONG))
        assert await stored(metadata) == {}

    async def test_versions_in_the_trash_are_not_given_back_again(self, metadata: Metadata) -> None:
        await add_keys(metadata, FIRST)
        await store(metadata, *(owned(FIRST, f"{number}", 10**number) for number in range(4)), owned(FIRST, "z", 7))
        await copy(metadata, BlobId("3"), BlobId("copy"))
        await in_a_unit(metadata, lambda work: charge(work, FIRST, 1000))
        for each in range(3):
            await delete(metadata, BlobId(f"{each}"), LONG)
        await delete(metadata, BlobId("3"))
        await delete(metadata, BlobId("copy"), LONG)
        expected = {FIRST: 7}
        first, second, *others = await metadata.trash.between("", 0, None, 10)
        assert len(others) == 2
        assert await take(metadata, first.key) is not None
        assert await in_a_unit(metadata, lambda work: work.trash.purge(second.key, NOW))
        assert await in_a_unit(metadata, lambda work: work.trash.hold(others[0].blob.content.key, LONG))
        assert await release_all(metadata) == 2
        assert await stored(metadata) == expected
        await move_to_trash(metadata, [first.blob.id])  # there is none any more
        assert await stored(metadata) == expected

    async def test_a_page_of_several_owners_is_given_back(self, metadata: Metadata) -> None:
        await add_keys(metadata, *OWNERS, quota=10**6)
        owners = (*OWNERS, "", FIRST, "")
        versions = [owned(owners[number % 6], f"a/{number:04}", number) for number in range(MOVED)]
        others = [owned(owner, f"b/{number}", 1000) for number, owner in enumerate(owners)]
        await store(metadata, *versions, *others)
        await expect_exact(metadata)

        async def change(work: UnitOfWork) -> list[int]:
            counts, start = [], "a/"
            while ids := await work.blobs.lock_between(start, "a0", MOVED - 100):
                await work.trash.move(ids, LONG, NOW)
                counts.append(len(ids))
                start = ids[-1].value + "\x01"
            return counts

        assert await in_a_unit(metadata, change) == [MOVED - 100, 100]
        assert await stored(metadata) == {FIRST: 2000, SECOND: 1000, THIRD: 1000}
        assert [each.blob.owner for each in await metadata.trash.between("a/", 0, "a0", ALL)] == [
            version.owner for version in versions
        ]
        await move_to_trash(metadata, [others[3].id, others[5].id])  # of nobody
        await expect_exact(metadata)
        await move_to_trash(metadata, [each.id for each in others])
        assert await stored(metadata) == {}

    async def test_expired_blobs_count_until_they_are_moved(self, metadata: Metadata) -> None:
        await add_keys(metadata, *OWNERS, quota=10**6)
        owners = (FIRST, SECOND, "", FIRST, SECOND)
        expired = [
            expiring(owned(owner, f"{number}", 10**number), PAST + number * SOON) for number, owner in enumerate(owners)
        ]
        lasting = [owned(FIRST, "a", 2), expiring(owned(SECOND, "b", 3), FUTURE)]
        await store(metadata, *expired, *lasting)
        before = {FIRST: 1003, SECOND: 10_013}
        await expect_exact(metadata)
        assert await metadata.blobs.find(expired[0].id) is None
        assert await stored(metadata) == before
        assert await move_expired(metadata, 3) == 3
        assert await stored(metadata) == {FIRST: 1002, SECOND: 10_003}
        await in_a_unit(metadata, lambda work: store_in(work, owned(THIRD, "3", 5), CREATE_ONLY))
        assert await stored(metadata) == {FIRST: 2, SECOND: 10_003, THIRD: 5}
        assert [await move_expired(metadata, 3) for _ in range(2)] == [1, 0]
        assert await stored(metadata) == {FIRST: 2, SECOND: 3, THIRD: 5}

    async def test_blobs_without_bytes_are_charged_and_given_back(self, metadata: Metadata) -> None:
        await add_keys(metadata, FIRST, quota=10)
        await store(metadata, owned(FIRST, "full", 10))
        for blob_id in ("a", "b", "c", "a"):
            await store(metadata, owned(FIRST, blob_id, 0))
        assert await stored(metadata) == {FIRST: 10}
        await delete(metadata, BlobId("a"), LONG)
        await move_to_trash(metadata, [BlobId("b"), BlobId("c")])
        await store(metadata, expiring(owned(FIRST, "d", 0), PAST))
        assert await move_expired(metadata) == 1
        assert await stored(metadata) == {FIRST: 10}
        await store(metadata, owned(FIRST, "full", 0))
        assert await stored(metadata) == {}

    async def test_a_replaced_version_makes_room_in_its_unit(self, metadata: Metadata) -> None:
        await add_keys(metadata, FIRST, quota=100)
        await store(metadata, owned(FIRST, size=100))
        await store(metadata, owned(FIRST, size=99), owned(FIRST, "one", 1))
        for version in (owned(FIRST, size=100), owned(FIRST, "two", 1), owned("", "one"), owned(FIRST, "one", 2)):
            expected = None if version.owner == "" else Kind.QUOTA_EXCEEDED
            assert await outcomes(store(metadata, version)) == [expected]
            await expect_exact(metadata)
        assert await stored(metadata) == {FIRST: 99}

    async def test_a_revoked_owner_is_ignored(self, metadata: Metadata) -> None:
        await add_keys(metadata, *OWNERS)
        versions = [owned(owner, f"{owner[0]} {number}", 10) for number in range(4) for owner in OWNERS]
        await store(metadata, *versions, *(expiring(owned(owner, f"x {owner}", 10), PAST) for owner in OWNERS))
        assert await stored(metadata) == dict.fromkeys(OWNERS, 50)
        assert await revoke(metadata, SECOND)
        left = {FIRST: 40, THIRD: 40}
        assert await move_expired(metadata) == 3
        assert await stored(metadata) == left
        await store(metadata, owned(FIRST, "k 0", 10))
        for blob_id in ("k 1", "z 1"):
            await delete(metadata, BlobId(blob_id), LONG)
        assert await stored(metadata) == {FIRST: 50, THIRD: 30}
        await move_to_trash(metadata, [BlobId(f"{owner[0]} {number}") for owner in OWNERS for number in (2, 3)])
        assert await stored(metadata) == {FIRST: 30, THIRD: 10}
        assert await outcomes(store(metadata, owned(SECOND))) == [Kind.QUOTA_EXCEEDED]
        assert [each.id for each in await all_keys(metadata.keys)] == [FIRST, THIRD]
        await expect_exact(metadata)

    # Units

    @pytest.mark.parametrize("leave", LEFT)
    async def test_a_unit_that_is_not_committed_charges_and_gives_back_nothing(
        self, metadata: Metadata, leave: Leave
    ) -> None:
        async def unit() -> None:
            async with metadata() as work:
                await store_in(work, owned(FIRST, "a", 5))
                await store_in(work, owned(SECOND, "b", 5))
                await RETENTION.keep(work, await work.blobs.remove(BlobId("c"), ANY))
                await work.trash.move([BlobId("d")], LONG, NOW)
                assert await work.trash.move_expired(ALL, NOW) == 1
                assert await stored(metadata) == before
                await leave(work)

        await add_keys(metadata, *OWNERS)
        versions = [owned(owner, blob_id, 100) for owner, blob_id in zip((*OWNERS, FIRST), "abcd", strict=True)]
        await store(metadata, *versions, expiring(owned(SECOND, "e", 7), PAST), owned("", "old"))
        before, rows = await stored(metadata), await self.rows(metadata)
        leaving = asyncio.create_task(unit())
        await asyncio.wait({leaving})
        error = None if leaving.cancelled() else leaving.exception()
        assert not isinstance(error, AssertionError), error
        assert await stored(metadata) == before
        assert await self.rows(metadata) == rows
        await expect_exact(metadata)

    async def test_racing_units_fill_a_quota_to_the_last_blob(self, metadata: Metadata) -> None:
        await add_keys(metadata, FIRST, quota=1650)
        ended = await outcomes(*(store(metadata, owned(FIRST, f"{number}", 100)) for number in range(32)))
        assert Counter(map(str, ended)) == {"None": 16, str(Kind.QUOTA_EXCEEDED): 16}
        assert await stored(metadata) == {FIRST: 1600}
        await expect_exact(metadata)
        await store(metadata, owned(FIRST, "last", 50))
        assert await outcomes(store(metadata, owned(FIRST, "more", 1))) == [Kind.QUOTA_EXCEEDED]

    async def test_racing_units_that_charge_and_give_back_stay_exact(self, metadata: Metadata) -> None:
        await add_keys(metadata, *OWNERS)
        there = [owned(OWNERS[number % 3], f"there/{number:02}", 10 + number) for number in range(18)]
        await store(metadata, *there, *(expiring(owned(FIRST, f"over/{number}", 100), PAST) for number in range(4)))
        ended = await outcomes(
            *(store(metadata, owned(OWNERS[number % 2], f"new/{number}", number)) for number in range(6)),
            *(store(metadata, owned(OWNERS[number % 3], f"there/{number:02}", 1)) for number in range(1, 6)),
            *(delete(metadata, each.id, LONG) for each in there[6:10]),
            *(move_to_trash(metadata, [each.id for each in there[first : first + 4]]) for first in (10, 14)),
            *(move_expired(metadata, 2) for _ in range(3)),
        )
        assert set(ended) <= {None, 0, 2}
        while await move_expired(metadata):
            pass
        await expect_exact(metadata)
        blobs = await metadata.blobs.by_content(None, ALL)
        assert len(blobs) == 12
        assert sum((await stored(metadata)).values()) == sum(each.size for each in blobs)

    async def test_of_racing_units_that_change_one_blob_each_is_counted_once(self, metadata: Metadata) -> None:
        await add_keys(metadata, FIRST, SECOND)
        await store(metadata, owned(FIRST, size=1000))
        changes = [store(metadata, owned((FIRST, SECOND)[number % 2], size=number)) for number in range(10)]
        ended = await outcomes(*changes, delete(metadata, BlobId("k5"), LONG), delete(metadata, BlobId("k5"), LONG))
        assert set(ended[:10]) == {None}
        assert set(ended[10:]) <= {None, Kind.NOT_FOUND}
        await expect_exact(metadata)
        await store(metadata, owned("", size=1))
        assert await stored(metadata) == {}

    async def test_owners_may_replace_each_others_blobs_at_once(self, metadata: Metadata) -> None:
        """Each unit gives back to one key, and then charges another one, in opposite orders."""
        crossing = asyncio.Barrier(2)

        async def cross(version: Blob) -> None:
            async def unit() -> None:
                async with metadata() as work:
                    published = await work.blobs.put(draft_of(version), ANY)
                    await RETENTION.keep(work, published.former)
                    await asyncio.sleep(0.02)  # the other unit comes as far as it can
                    await charge(work, version.owner, version.size)
                    await work.commit()

            await crossing.wait()
            await repeated(unit)

        await add_keys(metadata, FIRST, SECOND)
        await store(metadata, owned(FIRST, "a", 10), owned(SECOND, "b", 20))
        for size in (3, 4):
            async with asyncio.timeout(IN_TIME):
                one, two = (owned(SECOND, "a", size), owned(FIRST, "b", 10 * size))
                assert await outcomes(cross(one), cross(two)) == [None, None]
            assert await stored(metadata) == {FIRST: 10 * size, SECOND: size}
            await expect_exact(metadata)
            await store(metadata, owned(FIRST, "a", 1), owned(SECOND, "b", 2))
            await expect_exact(metadata)

    async def test_pages_of_the_same_owners_are_moved_without_a_deadlock(self, metadata: Metadata) -> None:
        """The ids have the owners in opposite orders."""

        async def once(ids: Sequence[BlobId]) -> None:
            """Move a page, not again if the unit is rolled back."""
            async with metadata() as work:
                await work.trash.move(ids, LONG, NOW)
                await work.commit()

        await add_keys(metadata, *OWNERS)
        for _ in range(3):
            one = [owned(owner, f"a/{number}", 1) for number, owner in enumerate(OWNERS * 3)]
            two = [owned(owner, f"b/{number}", 2) for number, owner in enumerate(OWNERS[::-1] * 3)]
            await store(metadata, *one, *two)
            ended = await outcomes(once([each.id for each in one]), once([each.id for each in two]))
            assert ended == [None, None]
            assert await stored(metadata) == {}
