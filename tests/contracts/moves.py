"""The contract of moves of objects between storages: application/ports/moves.py."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from application.ports.contents import Part
from application.ports.metadata import UnitOfWork
from application.ports.moves import Claim, MovePlace, StoredObject
from domain.blob import Blob, BlobId, Location, ObjectKey
from domain.errors import Kind
from domain.precondition import ANY
from tests.contracts.contents import (
    SOME,
    Contract,
    add_segmented,
    begin,
    copy,
    delete,
    digest_of,
    garbage,
    named,
    part,
    put_part,
    release_all,
    restore,
    segmented,
    segments_of,
    trash,
    upload_to,
    with_checksums,
)
from tests.contracts.metadata import (
    LONG,
    NOW,
    Metadata,
    blob,
    draft_of,
    hold,
    in_a_unit,
    location,
    outcomes,
    placed,
    publish,
    put,
    remove,
)
from tests.contracts.shared_objects import SOURCE, add_source, discard, share_part
from tests.contracts.shared_objects import publish as publish_parts

FROM, TO = "fs", "s3"


def elsewhere() -> Location:
    return location(TO)


async def claim(metadata: Metadata, old: Location, new: Location, lease: timedelta = LONG) -> Claim:
    return await in_a_unit(metadata, lambda work: work.moves.claim(old, new, lease))


async def switch(metadata: Metadata, old: Location, new: Location, grace: timedelta = NOW) -> bool:
    return await in_a_unit(metadata, lambda work: work.moves.switch(old, new, grace))


async def listed(
    metadata: Metadata,
    start: str = "",
    stop: str | None = None,
    limit: int = 100,
    sources: frozenset[str] | None = None,
) -> list[StoredObject]:
    """Return the objects on all pages."""
    found, place = list[StoredObject](), None
    while True:
        page = await metadata.moves.page(sources or frozenset({FROM}), start, stop, place, limit)
        found += page.objects
        if page.next is None:
            return found
        assert isinstance(page.next, MovePlace)
        place = page.next


def keys_of(found: Sequence[StoredObject]) -> list[ObjectKey]:
    return sorted({each.location.key for each in found})


async def add_one_of_each(metadata: Metadata, prefix: str = "") -> list[Location]:
    """Add a blob, one in the trash, one of two segments, and an upload with a part. Return where their objects are."""
    whole, thrown = blob(f"{prefix}whole"), blob(f"{prefix}thrown")
    await put(metadata, whole)
    await trash(metadata, thrown)
    segments = segments_of([3, 4])
    await add_segmented(metadata, segmented(f"{prefix}list", segments), segments)
    upload = await begin(metadata, upload_to(f"{prefix}upload"))
    await put_part(metadata, upload.key, added := part(1))
    return [whole.location, thrown.location, *(each.location for each in segments), added.location]


async def all_rows(metadata: Metadata) -> list[tuple[object, ...]]:
    """Return all that the rows say of the blobs, the trash and the parts, but for the keys and storages of objects."""
    found = list[tuple[object, ...]]()
    versions = [*await metadata.blobs.between("", None, 1000)]
    versions += [each.blob for each in await metadata.trash.between("", 0, None, 1000)]
    for each in versions:
        content = each.content
        found.append(
            (each.id, each.etag, each.created_at, each.changed_at, each.checksums, content.digest, content.size)
        )
        found.append((content.segments, content.composite, content.is_shared, each.properties, each.owner, each.sole))
        for row in await metadata.contents.segments(content.key, 0, 1000):
            found.append((row.start, row.size, row.digest, row.checksums, row.is_shared))
    for upload in await metadata.multipart.between("", None, None, 1000):
        for each_part in await metadata.multipart.parts(upload.key, 0, 1000):
            found.append((upload, each_part.number, each_part.size, each_part.digest, each_part.checksums))
            found.append((each_part.written_at, each_part.is_shared))
    return found


class MovesContract(Contract):
    """An object is moved with all of its names, by one mover at a time, and its old place is kept for a grace."""

    @pytest.mark.parametrize("limit", [1, 2, 100])
    async def test_every_object_is_listed_where_it_is(self, metadata: Metadata, limit: int) -> None:
        wanted = await add_one_of_each(metadata)
        await put(metadata, placed(blob("elsewhere"), elsewhere()))
        found = await listed(metadata, limit=limit)
        assert keys_of(found) == sorted(each.key for each in wanted)
        sizes = {each.location.key: (each.size, each.digest) for each in found}
        whole = await metadata.blobs.get(BlobId("whole"))
        assert sizes[whole.location.key] == (whole.size, whole.content.digest)
        assert sizes[wanted[2].key] == (3, digest_of("0"))
        assert keys_of([each for each in found if each.is_whole]) == sorted(each.key for each in wanted[:2])
        assert len(await listed(metadata, sources=frozenset({FROM, TO}), limit=limit)) == len(wanted) + 1

    async def test_a_page_has_an_object_once(self, metadata: Metadata) -> None:
        await put(metadata, blob("a"))
        for target in ("b", "c", "d"):
            await copy(metadata, BlobId("a"), BlobId(target))
        assert [each.is_shared for each in await listed(metadata, limit=2)] == [True]

    async def test_versions_that_cannot_be_restored_are_not_listed(self, metadata: Metadata) -> None:
        await in_a_unit(metadata, lambda work: work.trash.add(blob("a"), NOW, LONG))
        await trash(metadata, kept := blob("b"))
        assert keys_of(await listed(metadata)) == [kept.location.key]

    async def test_a_range_of_ids_limits_the_list(self, metadata: Metadata) -> None:
        await add_one_of_each(metadata, "a/")
        wanted = await add_one_of_each(metadata, "b/")
        await add_one_of_each(metadata, "c/")
        assert keys_of(await listed(metadata, "b/", "b0")) == sorted(each.key for each in wanted)
        await copy(metadata, BlobId("c/list"), BlobId("b/copy"))
        assert len(keys_of(await listed(metadata, "b/", "b0"))) == len(wanted) + 2

    async def test_an_object_is_claimed_once(self, metadata: Metadata) -> None:
        await put(metadata, version := blob())
        new = elsewhere()
        assert await claim(metadata, version.location, new) is Claim.CLAIMED
        assert await named(metadata, new.key) == {new.key}, "the reaper would not find it"
        assert await claim(metadata, version.location, elsewhere()) is Claim.BUSY
        assert await in_a_unit(metadata, lambda work: work.uploads.remove(new.key))
        assert await claim(metadata, version.location, elsewhere(), NOW) is Claim.CLAIMED

    async def test_a_claim_expires(self, metadata: Metadata) -> None:
        await put(metadata, version := blob())
        dead = elsewhere()
        assert await claim(metadata, version.location, dead, NOW) is Claim.CLAIMED
        assert await claim(metadata, version.location, elsewhere()) is Claim.CLAIMED
        assert await in_a_unit(metadata, lambda work: work.uploads.remove_expired(TO, 10)) == [dead]

    async def test_what_nothing_names_is_not_claimed(self, metadata: Metadata) -> None:
        new = elsewhere()
        assert await claim(metadata, location(FROM), new) is Claim.GONE
        await put(metadata, version := blob())
        assert await claim(metadata, Location(TO, version.location.key), new) is Claim.GONE
        assert await named(metadata, new.key) == set()
        assert not await metadata.moves.is_named(Location(TO, version.location.key))
        assert await metadata.moves.is_named(version.location)

    async def test_of_racing_claims_one_succeeds(self, metadata: Metadata) -> None:
        await add_source(metadata, [4, 5])
        made = (await metadata.blobs.get(SOURCE)).content
        [segment] = await metadata.contents.segments(made.key, 0, 1)
        ended = await asyncio.gather(*(claim(metadata, segment.location, elsewhere()) for _ in range(8)))
        assert sorted(each.value for each in ended) == ["busy"] * 7 + ["claimed"]

    async def test_a_switch_changes_the_place_and_nothing_else(self, metadata: Metadata) -> None:
        olds = await add_one_of_each(metadata)
        before = await all_rows(metadata)
        news = [elsewhere() for _ in olds]
        for old, new in zip(olds, news, strict=True):
            assert await switch(metadata, old, new)
            assert not await metadata.moves.is_named(old)
            assert await metadata.moves.is_named(new)
        assert await all_rows(metadata) == before
        assert await listed(metadata) == []
        assert keys_of(await listed(metadata, sources=frozenset({TO}))) == sorted(each.key for each in news)

    async def test_checksums_stay(self, metadata: Metadata) -> None:
        await put(metadata, version := with_checksums(blob("a"), SOME))
        segments = [replace(each, checksums=SOME) for each in segments_of([1, 2])]
        await add_segmented(metadata, with_checksums(segmented("b", segments), SOME), segments)
        upload = await begin(metadata, upload_to())
        await put_part(metadata, upload.key, added := replace(part(1), checksums=SOME))
        for old in (version.location, segments[0].location, added.location):
            assert await switch(metadata, old, elsewhere())
        found = [await metadata.blobs.get(BlobId(each)) for each in ("a", "b")]
        kept = [each.checksums for each in found]
        kept += [each.checksums for each in await metadata.contents.segments(found[1].content.key, 0, 10)]
        kept += [each.checksums for each in await metadata.multipart.parts(upload.key, 0, 10)]
        assert kept == [SOME] * 5

    async def test_the_old_object_is_garbage_after_a_grace(self, metadata: Metadata) -> None:
        await put(metadata, late := blob("a"))
        await put(metadata, soon := blob("b"))
        await switch(metadata, late.location, elsewhere(), LONG)
        await switch(metadata, soon.location, elsewhere(), NOW)
        assert await named(metadata, late.location.key, soon.location.key) == {late.location.key, soon.location.key}
        assert await garbage(metadata) == [soon.location.key]

    async def test_an_old_object_is_held_while_it_is_read(self, metadata: Metadata) -> None:
        for seconds in (0.1, 1, 10):
            await put(metadata, version := blob())
            await switch(metadata, version.location, elsewhere(), timedelta(seconds=seconds))
            if await hold(metadata, version.location.key, LONG):  # in time, which a busy machine may not be
                await hold(metadata, version.location.key, NOW)
                await asyncio.sleep(seconds)
                assert version.location.key not in await garbage(metadata)
                return
        pytest.fail("an old object is not held")

    async def test_several_old_objects_are_held_while_they_are_read(self, metadata: Metadata) -> None:
        async def hold_each(objects: list[ObjectKey], lease: timedelta) -> bool:
            return await in_a_unit(metadata, lambda work: work.trash.hold_each(objects, lease))

        for seconds in (0.1, 1, 10):
            held = list[ObjectKey]()
            for number in range(2):
                await put(metadata, version := blob(f"{seconds} {number}"))
                await switch(metadata, version.location, elsewhere(), timedelta(seconds=seconds))
                held.append(version.location.key)
            is_any = await hold_each(held, LONG)
            due = {*held} & {*await garbage(metadata)}
            assert is_any or due
            if not due:  # in time, which a busy machine may not be
                await hold_each(held, NOW)
                await asyncio.sleep(seconds)
                assert {*held}.isdisjoint(await garbage(metadata))
                return
            assert not await hold_each([*due], LONG), "what is due already"
        pytest.fail("old objects are not held")

    async def test_all_names_of_an_object_switch_together(self, metadata: Metadata) -> None:
        old, *_ = await add_source(metadata, [5])
        await copy(metadata, SOURCE, BlobId("copy"))
        await copy(metadata, SOURCE, BlobId("thrown"))
        await delete(metadata, BlobId("thrown"), LONG, LONG)
        uploads = [(await begin(metadata, upload_to())).key for _ in range(2)]
        for upload in uploads:
            await share_part(metadata, upload, 1, SOURCE)
            await put_part(metadata, upload, part(2))
        await publish_parts(metadata, uploads[0], BlobId("list"))
        before = await all_rows(metadata)
        assert await switch(metadata, old, new := elsewhere())
        assert not await metadata.moves.is_named(old)
        assert await all_rows(metadata) == before
        assert [each.location for each in await metadata.multipart.parts(uploads[1], 0, 1)] == [new]
        assert await garbage(metadata) == [old.key]

    @pytest.mark.parametrize("sizes", [[5], [4, 5]], ids=["an object", "a segment"])
    async def test_the_count_of_names_goes_along(self, metadata: Metadata, sizes: Sequence[int]) -> None:
        old, *others = await add_source(metadata, sizes)
        upload = (await begin(metadata, upload_to())).key
        await share_part(metadata, upload, 1, SOURCE)
        await switch(metadata, old, new := elsewhere())
        assert await garbage(metadata) == [old.key]
        await delete(metadata, SOURCE)
        await release_all(metadata)
        assert await garbage(metadata) == sorted(each.key for each in others)
        await discard(metadata, upload)
        assert await garbage(metadata) == [new.key]

    async def test_nothing_is_switched_that_has_another_name(self, metadata: Metadata) -> None:
        await put(metadata, version := blob())
        other = location(FROM)
        for gone in (other, Location(TO, version.location.key)):
            assert not await switch(metadata, gone, elsewhere())
        await switch(metadata, version.location, first := elsewhere())
        assert not await switch(metadata, version.location, elsewhere())
        assert (await metadata.blobs.get(version.id)).location == first
        assert await garbage(metadata) == [version.location.key]

    async def test_a_list_has_the_backend_of_its_first_segment(self, metadata: Metadata) -> None:
        segments = segments_of([1, 2])
        await add_segmented(metadata, version := segmented("a", segments), segments)
        await copy(metadata, version.id, BlobId("b"))
        await delete(metadata, BlobId("b"), LONG, LONG)

        async def backends() -> list[str]:
            found = [await metadata.blobs.get(version.id)]
            found += [each.blob for each in await metadata.trash.between("", 0, None, 10)]
            assert {each.content.key for each in found} == {version.content.key}
            return [each.location.backend for each in found]

        await switch(metadata, segments[1].location, elsewhere())
        assert await backends() == [FROM, FROM]
        await switch(metadata, segments[0].location, elsewhere())
        assert await backends() == [TO, TO]

    async def test_of_racing_switches_one_succeeds(self, metadata: Metadata) -> None:
        await put(metadata, version := blob())
        news = [elsewhere() for _ in range(8)]
        ended = await asyncio.gather(*(switch(metadata, version.location, new) for new in news))
        assert sorted(ended) == [False] * 7 + [True]
        assert (await metadata.blobs.get(version.id)).location == news[ended.index(True)]

    async def test_a_released_segment_is_not_switched(self, metadata: Metadata) -> None:
        """Of a release and a switch that race, the object is garbage once, and so is its copy if it was switched."""
        for number in range(8):
            segments = segments_of([1, 2, 3])
            await add_segmented(metadata, version := segmented(f"{number}", segments), segments)
            await delete(metadata, version.id)
            news = [elsewhere() for _ in segments]
            switches = [switch(metadata, each.location, new) for each, new in zip(segments, news, strict=True)]
            racing = [release_all(metadata), *switches]
            random.Random(number).shuffle(racing)  # noqa: S311
            ended = await outcomes(*racing)
            assert not {each for each in ended if isinstance(each, Kind)}
            await release_all(metadata)
            freed = await garbage(metadata)
            moved = [new.key for new in news if new.key in freed]
            assert sorted(each for each in freed if each not in moved) == sorted(each.location.key for each in segments)
            assert len(moved) == sum(each is True for each in ended)

    async def test_of_racing_changes_all_follow_the_object(self, metadata: Metadata) -> None:
        chance = random.Random(5)  # noqa: S311
        for number in range(12):
            old, *_ = await add_source(metadata, [5], source := BlobId(f"source {number}"))
            thrown = BlobId(f"thrown {number}")
            await copy(metadata, source, thrown)
            await delete(metadata, thrown, LONG, LONG)
            upload = (await begin(metadata, upload_to())).key
            await share_part(metadata, upload, 1, source)
            await put_part(metadata, upload, part(2))
            [version] = [each for each in await metadata.trash.between("", 0, None, 1000) if each.blob.id == thrown]
            new = elsewhere()
            racing = [
                copy(metadata, source, BlobId(f"copy {number}")),
                patch(metadata, source),
                restore(metadata, version.key),
                publish_parts(metadata, upload, BlobId(f"list {number}")),
                switch(metadata, old, new),
            ]
            chance.shuffle(racing)
            ended = await outcomes(*racing)
            assert not {each for each in ended if isinstance(each, Kind)}
            assert not await metadata.moves.is_named(old)
            assert await garbage(metadata) == [old.key]
            ids = [source, thrown, *(BlobId(f"{each} {number}") for each in ("copy", "list"))]
            content = (await metadata.blobs.get(ids[3])).content
            objects = {(await metadata.blobs.get(each)).location for each in ids[:3]}
            objects |= {each.location for each in await metadata.contents.segments(content.key, 0, 1)}
            assert objects == {new}
            for each in ids:
                await delete(metadata, each)
            await release_all(metadata)
            assert new.key in await garbage(metadata), "the count of its names is wrong"

    async def test_a_segment_is_shared_where_it_is_now(self, metadata: Metadata) -> None:
        """A mover may lock another version with the same list, and switch what a unit has read."""
        first, old = await add_source(metadata, [4, 5])
        await copy(metadata, SOURCE, last := BlobId(f"{SOURCE.value} copy"))  # movers lock the first one
        upload = (await begin(metadata, upload_to())).key
        async with metadata() as work:
            assert await work.multipart.lock(upload, LONG) is not None
            found = await work.blobs.lock(last, ANY)
            [read] = await work.contents.segments(found.content.key, 4, 1)
            switching = asyncio.create_task(switch(metadata, old, new := elsewhere()))
            await asyncio.wait({switching}, timeout=0.2)  # as long as it would take if it did not wait
            shared = await work.contents.share_segment(found.content.key, read.start)
            added = Part(1, shared.location, shared.size, shared.digest, is_shared=True)
            await work.multipart.put_part(upload, added)
            await work.commit()
        assert await switching
        assert [each.location for each in await metadata.multipart.parts(upload, 0, 10)] == [new]
        assert not await metadata.moves.is_named(old)
        assert await garbage(metadata) == [old.key]
        for each in (SOURCE, last):
            await delete(metadata, each)
        await release_all(metadata)
        assert await garbage(metadata) == [first.key]
        await discard(metadata, upload)
        assert await garbage(metadata) == [new.key]

    async def test_a_blob_that_was_replaced_meanwhile_is_not_switched(self, metadata: Metadata) -> None:
        await put(metadata, former := blob("a", size=1))
        await publish(metadata, current := blob("a", size=2), ANY)
        assert not await switch(metadata, former.location, elsewhere())
        assert (await metadata.blobs.get(current.id)).location == current.location
        assert (await remove(metadata, current.id)).size == 2


async def patch(metadata: Metadata, blob_id: BlobId) -> Blob:
    async def change(work: UnitOfWork) -> Blob:
        current = await work.blobs.lock(blob_id, ANY)
        return (await work.blobs.put(draft_of(current), ANY)).blob

    return await in_a_unit(metadata, change)
