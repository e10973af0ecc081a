"""The contract of objects that versions, segments and parts of uploads share, in application/ports/contents.py."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import chain, permutations

import pytest

from application.ports.contents import Part
from application.ports.metadata import UnitOfWork
from domain.blob import Blob, BlobId, Content, Location, ObjectKey, Segment
from domain.errors import Kind
from domain.precondition import ANY, CREATE_ONLY
from tests.contracts.contents import (
    Contract,
    add_segmented,
    begin,
    copy,
    delete,
    digest_of,
    garbage,
    lock,
    names_of,
    part,
    put_part,
    release_all,
    segmented,
    segments_of,
    upload_to,
)
from tests.contracts.metadata import LONG, NOW, Metadata, blob, draft_of, in_a_unit, outcomes, put, release, remove

SOURCE = BlobId("source")


async def add_source(metadata: Metadata, sizes: Sequence[int], blob_id: BlobId = SOURCE) -> list[Location]:
    """Add a blob, of segments if there are several sizes. Return the locations of its objects."""
    if len(sizes) == 1:
        await put(metadata, version := blob(blob_id.value, size=sizes[0]))
        return [version.location]
    segments = segments_of(sizes)
    await add_segmented(metadata, segmented(blob_id.value, segments), segments)
    return [each.location for each in segments]


async def share_part(metadata: Metadata, upload: ObjectKey, number: int, source: BlobId, position: int = 0) -> Part:
    """Let a part name the object of a blob, or of its segment at a position."""

    async def change(work: UnitOfWork) -> Part:
        assert await work.multipart.lock(upload, LONG) is not None
        found = await work.blobs.lock(source, ANY)
        return await replace_part(work, upload, await shared_by(work, found, number, position))

    return await in_a_unit(metadata, change)


async def shared_by(work: UnitOfWork, source: Blob, number: int, position: int = 0) -> Part:
    """Count one more name of an object of a locked blob. Return a part with this name."""
    if source.content.segments:
        [found] = await work.contents.segments(source.content.key, position, 1)
        shared: Segment | Content = await work.contents.share_segment(source.content.key, found.start)
    else:
        shared = await work.contents.share(source)
    assert shared.is_shared
    assert shared.digest is not None
    return Part(number, shared.location, shared.size, shared.digest, is_shared=True)


async def replace_part(work: UnitOfWork, upload: ObjectKey, added: Part) -> Part:
    former = await work.multipart.put_part(upload, added)
    if former is not None and former.is_shared:
        await work.contents.release([former.location])
    return added


async def publish(metadata: Metadata, upload: ObjectKey, target: BlobId) -> None:
    """Publish all parts of an upload as a new blob."""

    async def change(work: UnitOfWork) -> None:
        assert await work.multipart.lock(upload, LONG) is not None
        parts = await work.multipart.parts(upload, 0, 100_000)
        assert await work.multipart.remove(upload)
        await work.blobs.put(replace(draft_of(blob(target.value)), content=await content_of(work, parts)), CREATE_ONLY)

    await in_a_unit(metadata, change)


async def content_of(work: UnitOfWork, parts: Sequence[Part]) -> Content:
    if len(parts) == 1:
        return Content(parts[0].location, parts[0].size, parts[0].digest, is_shared=parts[0].is_shared)
    segments: list[Segment] = []
    for each in parts:
        start = segments[-1].stop if segments else 0
        segments.append(Segment(each.location, start, each.size, each.digest, is_shared=each.is_shared))
    version = segmented("any", segments)
    await work.contents.add(version.content.key, segments)
    return version.content


async def discard(metadata: Metadata, upload: ObjectKey) -> None:
    assert await in_a_unit(metadata, lambda work: work.multipart.discard(upload))


async def reclaimed(metadata: Metadata) -> list[ObjectKey]:
    await release_all(metadata)
    return await garbage(metadata)


class SharedObjectsContract(Contract):
    """An object is garbage once its last name is gone, and only then."""

    async def test_what_is_shared_is_read_as_shared(self, metadata: Metadata) -> None:
        await add_source(metadata, [5])
        await add_source(metadata, [1, 2, 3], listed := BlobId("listed"))
        upload = (await begin(metadata, upload_to())).key
        first = await share_part(metadata, upload, 1, SOURCE)
        second = await share_part(metadata, upload, 2, listed, 1)
        await put_part(metadata, upload, part(3))
        parts = await metadata.multipart.parts(upload, 0, 10)
        assert [each.is_shared for each in parts] == [True, True, False]
        assert parts[:2] == [first, second]
        assert (await metadata.blobs.get(SOURCE)).content.is_shared
        found = await metadata.blobs.get(listed)
        assert not found.content.is_shared, "the list itself has one name"
        segments = await metadata.contents.segments(found.content.key, 0, 10)
        assert [(each.size, each.is_shared) for each in segments] == [(1, False), (2, True), (3, False)]
        assert [each.is_shared for each in await metadata.contents.segments(found.content.key, 1, 1)] == [True]
        upload_size = await lock(metadata, upload)
        assert upload_size is not None
        assert upload_size.received == 5 + 2 + parts[2].size
        await publish(metadata, upload, BlobId("target"))
        key = (await metadata.blobs.get(BlobId("target"))).content.key
        assert [each.is_shared for each in await metadata.contents.segments(key, 0, 10)] == [True, True, False]
        await share_part(metadata, upload := (await begin(metadata, upload_to())).key, 1, SOURCE)
        await publish(metadata, upload, BlobId("one"))
        one, source = await metadata.blobs.get(BlobId("one")), await metadata.blobs.get(SOURCE)
        assert (one.content, one.content.is_shared) == (source.content, True)

    @pytest.mark.parametrize("sizes", [[5], [4, 5, 6]], ids=["an object", "a segment"])
    async def test_an_object_is_garbage_after_its_last_name(self, metadata: Metadata, sizes: Sequence[int]) -> None:
        """It is named by the source, a part, a segment of another list, and a version with this object only."""
        for order in permutations(range(4)):
            locations = await add_source(metadata, sizes)
            shared = locations[len(sizes) // 2].key
            uploads = [(await begin(metadata, upload_to())).key for _ in range(3)]
            for upload in uploads:
                await share_part(metadata, upload, 1, SOURCE, 4)
            await put_part(metadata, uploads[1], added := part(2))
            await publish(metadata, uploads[1], BlobId("list"))
            await publish(metadata, uploads[2], BlobId("one"))
            ends: list[Callable[[], Awaitable[None]]] = [
                lambda: delete(metadata, SOURCE),
                lambda key=uploads[0]: discard(metadata, key),  # type: ignore[misc]
                lambda: delete(metadata, BlobId("list")),
                lambda: delete(metadata, BlobId("one")),
            ]
            freed = list[ObjectKey]()
            for number in order:
                assert shared not in freed
                await ends[number]()
                freed += await reclaimed(metadata)
            assert sorted(freed) == sorted([added.location.key, *(each.key for each in locations)])
            # Nothing is left that counts it.
            await put(metadata, replace(blob("again"), content=Content(Location("fs", shared), 1, digest_of("1"))))
            await copy(metadata, BlobId("again"), BlobId("copy"))
            for again in ("again", "copy"):
                await remove(metadata, BlobId(again))

    @pytest.mark.parametrize("is_listed", [False, True])
    async def test_an_object_counts_for_each_of_its_names(self, metadata: Metadata, is_listed: bool) -> None:
        """The parts of one upload, and the segments of one list, may have the same object."""
        [location] = await add_source(metadata, [5])
        upload = (await begin(metadata, upload_to())).key
        for number in (1, 2, 3):
            await share_part(metadata, upload, number, SOURCE)
        if is_listed:
            await publish(metadata, upload, BlobId("target"))
            await delete(metadata, BlobId("target"))
        else:
            await discard(metadata, upload)
        assert await reclaimed(metadata) == []
        await delete(metadata, SOURCE)
        assert await reclaimed(metadata) == [location.key]

    async def test_names_are_released_together(self, metadata: Metadata) -> None:
        """Versions, lists and objects in one unit."""
        [location] = await add_source(metadata, [5])
        await add_source(metadata, [1, 2], BlobId("listed"))
        upload = (await begin(metadata, upload_to())).key
        await share_part(metadata, upload, 1, SOURCE)
        second = await share_part(metadata, upload, 2, BlobId("listed"), 1)
        await publish(metadata, upload, BlobId("target"))
        await copy(metadata, BlobId("target"), BlobId("copy"))
        await copy(metadata, SOURCE, BlobId("another"))
        for each in (SOURCE, BlobId("another"), BlobId("copy"), BlobId("listed")):
            await delete(metadata, each)
        assert await release(metadata, 100) == 4
        freed = await garbage(metadata)
        assert location.key not in freed
        assert second.location.key not in freed
        assert len(freed) == 1
        await delete(metadata, BlobId("target"))
        assert await reclaimed(metadata) == sorted([location.key, second.location.key])

    async def test_a_replaced_part_has_its_object_no_more(self, metadata: Metadata) -> None:
        [location] = await add_source(metadata, [5])
        upload = (await begin(metadata, upload_to())).key
        for _ in range(3):  # the same object again
            await share_part(metadata, upload, 1, SOURCE)
        await delete(metadata, SOURCE)
        assert await reclaimed(metadata) == []

        async def put_own(work: UnitOfWork) -> Part:
            assert await work.multipart.lock(upload, LONG) is not None
            return await replace_part(work, upload, own)

        own = part(1)
        await in_a_unit(metadata, put_own)
        assert await reclaimed(metadata) == [location.key]
        assert [each.is_shared for each in await metadata.multipart.parts(upload, 0, 10)] == [False]
        await discard(metadata, upload)
        assert await reclaimed(metadata) == [own.location.key]

    async def test_expired_uploads_release_what_they_share(self, metadata: Metadata) -> None:
        locations = [*chain(await add_source(metadata, [5]), await add_source(metadata, [1, 2], BlobId("listed")))]
        own = list[Part]()
        for _ in range(3):
            upload = (await begin(metadata, upload_to())).key
            await share_part(metadata, upload, 1, SOURCE)
            await share_part(metadata, upload, 2, BlobId("listed"))
            await put_part(metadata, upload, added := part(3))
            own.append(added)
            await lock(metadata, upload, NOW)
        assert await in_a_unit(metadata, lambda work: work.multipart.discard_expired(2)) == 2
        await delete(metadata, SOURCE)
        freed = await reclaimed(metadata)
        assert len(freed) == 2
        assert {*freed} <= {each.location.key for each in own}
        assert await in_a_unit(metadata, lambda work: work.multipart.discard_expired(2)) == 1
        freed += await reclaimed(metadata)
        assert sorted(freed) == sorted([locations[0].key, *(each.location.key for each in own)])
        await delete(metadata, BlobId("listed"))
        assert await reclaimed(metadata) == sorted(each.key for each in locations[1:])

    async def test_shared_objects_are_named_by_each(self, metadata: Metadata) -> None:
        [location] = await add_source(metadata, [5])
        upload = (await begin(metadata, upload_to())).key
        await share_part(metadata, upload, 1, SOURCE)
        await delete(metadata, SOURCE)
        await release_all(metadata)
        assert await metadata.named("fs", [location.key]) == {location.key}
        await publish(metadata, upload, BlobId("target"))
        assert await metadata.named("fs", [location.key]) == {location.key}

    async def test_a_thousand_shared_segments_are_released(self, metadata: Metadata) -> None:
        segments = segments_of([1] * 1100)
        await add_segmented(metadata, segmented(SOURCE.value, segments), segments)
        upload = (await begin(metadata, upload_to())).key

        async def share_all(work: UnitOfWork) -> None:
            assert await work.multipart.lock(upload, LONG) is not None
            found = await work.blobs.lock(SOURCE, ANY)
            for number, segment in enumerate(segments, 1):
                await work.multipart.put_part(upload, await shared_by(work, found, number, segment.start))

        await in_a_unit(metadata, share_all)
        await publish(metadata, upload, BlobId("target"))
        await delete(metadata, SOURCE)
        assert await reclaimed(metadata) == []
        await delete(metadata, BlobId("target"))
        assert await reclaimed(metadata) == names_of(segments)

    async def test_a_segment_of_a_shared_list_is_shared_by_racing_units(self, metadata: Metadata) -> None:
        """Each locks another version with this list."""
        locations = await add_source(metadata, [1, 2])
        ids = [SOURCE, *(BlobId(f"{number}") for number in range(7))]
        for blob_id in ids[1:]:
            await copy(metadata, SOURCE, blob_id)
        uploads = [(await begin(metadata, upload_to())).key for _ in ids]
        await asyncio.gather(
            *(share_part(metadata, upload, 1, each, 1) for upload, each in zip(uploads, ids, strict=True))
        )
        for each in ids:
            await delete(metadata, each)
        assert await reclaimed(metadata) == [locations[0].key]
        for upload in uploads[:-1]:
            await discard(metadata, upload)
        assert await reclaimed(metadata) == []
        await discard(metadata, uploads[-1])
        assert await reclaimed(metadata) == [locations[1].key]

    @pytest.mark.parametrize("sizes", [[5], [4, 5]], ids=["an object", "a segment"])
    async def test_a_source_is_shared_or_deleted_first(self, metadata: Metadata, sizes: Sequence[int]) -> None:
        expected = list[ObjectKey]()
        uploads = [(await begin(metadata, upload_to())).key for _ in range(10)]

        async def attempt(number: int, upload: ObjectKey) -> None:
            source = BlobId(f"{number}")
            expected.extend(each.key for each in await add_source(metadata, sizes, source))
            both = [share_part(metadata, upload, 1, source), delete(metadata, source)]
            ended = await outcomes(*(both if number % 2 else reversed(both)), release(metadata, 3))
            assert {each for each in ended if isinstance(each, Kind)} <= {Kind.NOT_FOUND}
            parts = await metadata.multipart.parts(upload, 0, 10)
            assert len(parts) == (Kind.NOT_FOUND not in ended)
            kept.extend(each.location.key for each in parts)

        kept = list[ObjectKey]()
        await asyncio.gather(*(attempt(number, upload) for number, upload in enumerate(uploads)))
        freed = await reclaimed(metadata)
        assert sorted(freed + kept) == sorted(expected)
        for upload in uploads:
            await discard(metadata, upload)
        assert await reclaimed(metadata) == sorted(kept)

    async def test_units_that_count_many_objects_do_not_deadlock(self, metadata: Metadata) -> None:
        """Lists and uploads have the same objects in different orders, and all are released at once."""
        sources = [BlobId(f"{number}") for number in range(6)]
        expected = [each.key for source in sources for each in await add_source(metadata, [1, 2], source)]
        chance = random.Random(7)  # noqa: S311
        uploads = [(await begin(metadata, upload_to())).key for _ in range(12)]
        for upload in uploads:
            for number, source in enumerate(chance.sample(sources, len(sources)), 1):
                await share_part(metadata, upload, number, source)
        for number, upload in enumerate(uploads[6:]):
            await publish(metadata, upload, target := BlobId(f"target {number}"))
            await delete(metadata, target)
        for source in sources:
            await delete(metadata, source)

        async def release_once(change: Callable[[UnitOfWork], Awaitable[object]]) -> None:
            async with metadata() as work:  # it is not repeated: it must not be rolled back
                await change(work)
                await work.commit()

        await asyncio.gather(
            *(release_once(lambda work, key=upload: work.multipart.discard(key)) for upload in uploads[:6]),  # type: ignore[misc]
            *(release_once(lambda work: work.trash.release(3)) for _ in range(6)),
        )
        assert await reclaimed(metadata) == sorted(expected)

    async def test_of_racing_changes_each_object_is_freed_once_it_is_not_named(self, metadata: Metadata) -> None:
        ids = [BlobId(f"{number}") for number in range(5)]
        expected = {
            each.key for number, each_id in enumerate(ids[:3]) for each in await _added(metadata, number, each_id)
        }
        chance, targets = random.Random(3), (BlobId(f"new {number}") for number in range(1000))  # noqa: S311
        open_uploads, freed = list[ObjectKey](), list[ObjectKey]()

        async def change() -> None:
            kind = chance.randrange(6)
            if kind < 2 or not open_uploads:
                upload = (await begin(metadata, upload_to())).key
                for number in (1, 2):
                    await share_part(metadata, upload, number, chance.choice(ids), chance.randrange(2))
                open_uploads.append(upload)
            elif kind == 2:
                await publish(metadata, open_uploads.pop(), target := next(targets))
                ids.append(target)
            elif kind == 3:
                await discard(metadata, open_uploads.pop())
            elif kind == 4:
                source, target = chance.sample(ids, 2)
                await copy(metadata, source, target)
            else:
                await delete(metadata, chance.choice(ids))
                await release(metadata, 2)

        for _ in range(10):
            ended = await outcomes(*(change() for _ in range(5)))
            assert {*ended} <= {None, Kind.NOT_FOUND, Kind.ROLLED_BACK}
            freed += await reclaimed(metadata)
            assert len(freed) == len({*freed})
            assert await _used(metadata) == expected - {*freed}
        for upload in await metadata.multipart.between("", None, None, 1000):
            await discard(metadata, upload.key)
        for each in await metadata.blobs.between("", None, 1000):
            await delete(metadata, each.id)
        assert sorted(freed + await reclaimed(metadata)) == sorted(expected)


async def _added(metadata: Metadata, number: int, blob_id: BlobId) -> list[Location]:
    return await add_source(metadata, [5] if number == 0 else [1, 5], blob_id)


async def _used(metadata: Metadata) -> set[ObjectKey]:
    """Return the keys of the objects of all blobs and parts. The trash is empty."""
    used = set[ObjectKey]()
    for each in await metadata.blobs.between("", None, 1000):
        if each.content.segments:
            used |= {segment.location.key for segment in await metadata.contents.segments(each.content.key, 0, 1000)}
        else:
            used.add(each.content.key)
    for upload in await metadata.multipart.between("", None, None, 1000):
        used |= {each.location.key for each in await metadata.multipart.parts(upload.key, 0, 1000)}
    return used
