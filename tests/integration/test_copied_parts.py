"""Parts that name objects of other blobs, from the copy to the deletion of the objects."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from application.blobs.changes.operations import Copy, Delete, Put
from application.blobs.multipart.copy_part import CopiedPart, CopyPart
from application.blobs.multipart.uploads import NewPart, NewUpload
from application.ports.contents import Part
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.verification.report import VerifyOptions
from application.verification.verify import Verify
from domain.access import EVERYTHING, Action, Grant, Limits
from domain.blob import Blob, BlobId, ByteRange, ObjectKey, Segment
from domain.checksums import Checksums
from domain.errors import Kind
from domain.precondition import ANY, Precondition
from tests.contracts.blob_store import each
from tests.integration.drive import ID, Drive
from tests.integration.losing import LosesAnAnswer
from tests.integration.test_contents import OTHER, THIRD, come_to_rest, commit, expect, upload, uploads
from tests.integration.test_verifying import Notes

MD5 = Checksums(bytes(16))
PARTS = [b"abc", b"defg", b"hi"]


async def begin(drive: Drive, size: int | None = None) -> ObjectKey:
    return (await uploads(drive).begin(EVERYTHING, NewUpload(size=size))).key


async def copy_part(
    drive: Drive,
    key: ObjectKey,
    number: int = 1,
    source: BlobId = ID,
    byte_range: ByteRange | None = None,
    grant: Grant = EVERYTHING,
    precondition: Precondition = ANY,
    checksums: Checksums | None = MD5,
) -> Part | None:
    found = await drive.metadata.blobs.get(source)
    new = CopiedPart(source, byte_range, precondition, lambda _: checksums)
    return await CopyPart(uploads(drive), drive.metadata.contents)(grant, key, number, new, found)


async def write(drive: Drive, key: ObjectKey, number: int, data: bytes) -> None:
    await uploads(drive).write(EVERYTHING, key, number, NewPart(each([data])))


async def expect_intact(drive: Drive, blobs: int) -> None:
    """Verify all blobs to the byte, and that nothing is unnamed."""
    readers = drive.metadata, drive.metadata.blobs, drive.metadata.contents, drive.metadata.named
    verify = Verify(*readers, drive.metadata.backlog, drive.stores)
    verified = await verify(VerifyOptions(deep=True), notes := Notes())
    assert (verified.wrong, notes.findings) == (0, [])
    assert sum(counts.blobs for counts in verified.counts) == blobs


@pytest.mark.parametrize(
    ("parts", "byte_range", "data"),
    [
        ([b"data"], None, b"data"),
        ([b"data"], ByteRange(0, 4), b"data"),
        ([b""], None, b""),
        (PARTS, ByteRange(0, 3), b"abc"),
        (PARTS, ByteRange(3, 7), b"defg"),
        (PARTS, ByteRange(7, 9), b"hi"),
    ],
)
async def test_a_whole_object_is_not_copied(
    any_drive: Drive, parts: Sequence[bytes], byte_range: ByteRange | None, data: bytes
) -> None:
    await upload(any_drive, parts)
    before = await any_drive.objects()
    key = await begin(any_drive)
    part = await copy_part(any_drive, key, byte_range=byte_range)
    assert part is not None
    assert (part.size, part.digest.sha256, part.checksums) == (len(data), hashlib.sha256(data).digest(), MD5)
    assert await any_drive.objects() == before
    [listed] = await uploads(any_drive).parts(EVERYTHING, key)
    assert (listed, listed.checksums) == (part, MD5)
    await commit(any_drive, Put(OTHER, key))
    assert await any_drive.objects() == before
    assert await any_drive.get(OTHER) == data


@pytest.mark.parametrize(
    ("parts", "byte_range"),
    [
        ([b"data"], ByteRange(0, 3)),
        ([b"data"], ByteRange(1, 4)),
        (PARTS, None),
        (PARTS, ByteRange(0, 9)),
        (PARTS, ByteRange(0, 7)),
        (PARTS, ByteRange(3, 6)),
        (PARTS, ByteRange(4, 7)),
        (PARTS, ByteRange(0, 1)),
    ],
)
async def test_other_bytes_are_not_shared(drive: Drive, parts: Sequence[bytes], byte_range: ByteRange | None) -> None:
    await upload(drive, parts)
    key = await begin(drive)
    assert await copy_part(drive, key, byte_range=byte_range) is None
    assert await uploads(drive).parts(EVERYTHING, key) == []


async def test_bytes_without_checksums_are_not_shared(drive: Drive) -> None:
    await drive.put(b"data")
    assert await copy_part(drive, await begin(drive), checksums=None) is None
    assert not (await drive.metadata.blobs.get(ID)).content.is_shared


@pytest.mark.parametrize("parts", [[b"data"], PARTS], ids=["an object", "segments"])
@pytest.mark.parametrize("order", [*permutations((ID, OTHER, THIRD))])
async def test_objects_go_with_their_last_name(drive: Drive, parts: Sequence[bytes], order: Sequence[BlobId]) -> None:
    """A blob, one of copies of its objects and a part of its own, and a copy of that one."""
    await upload(drive, parts)
    key, position = await begin(drive), 0
    for number, part in enumerate(parts, 1):
        assert await copy_part(drive, key, number, byte_range=ByteRange(position, position + len(part)))
        position += len(part)
    await write(drive, key, len(parts) + 1, b"own")
    await commit(drive, Put(OTHER, key))
    await commit(drive, Copy(OTHER, THIRD))
    whole = b"".join(parts)
    expected = {ID: whole, OTHER: whole + b"own", THIRD: whole + b"own"}
    for number, gone in enumerate(order):
        for blob_id in order[number:]:
            assert await drive.get(blob_id) == expected[blob_id]
        await expect_intact(drive, 3 - number)
        await commit(drive, Delete(gone))
        await come_to_rest(drive)
    assert await drive.objects() == set()


async def test_parts_that_are_left_out_or_empty_release_their_objects(drive: Drive) -> None:
    await drive.put(b"data")
    await drive.put(b"", THIRD)
    key = await begin(drive)
    for number in (1, 2, 3):  # of which the first is published, with the same object
        assert await copy_part(drive, key, number)
    assert await copy_part(drive, key, 4, source=THIRD)
    await write(drive, key, 5, b"own")
    await commit(drive, Put(OTHER, key, parts=[1, 4, 5]))
    await commit(drive, Delete(ID), Delete(THIRD))
    await come_to_rest(drive)
    assert await drive.get(OTHER) == b"dataown"
    assert len(await drive.objects()) == 2
    await commit(drive, Delete(OTHER))
    await come_to_rest(drive)
    assert await drive.objects() == set()


@pytest.mark.parametrize("former_is_shared", [True, False])
@pytest.mark.parametrize("is_shared", [True, False])
async def test_a_replaced_part_releases_its_object(drive: Drive, former_is_shared: bool, is_shared: bool) -> None:
    await drive.put(b"data")
    await drive.put(b"other", OTHER)
    key = await begin(drive)
    for source, shares in ((OTHER, former_is_shared), (ID, is_shared)):
        if shares:
            assert await copy_part(drive, key, source=source)
        else:
            await write(drive, key, 1, await drive.get(source))
    await commit(drive, Delete(OTHER))
    drive.time.pass_by(timedelta(hours=3))
    await drive.reap()
    assert len(await drive.objects()) == (1 if is_shared else 2)
    upload = await uploads(drive).find(EVERYTHING, key)
    assert upload.received == 4
    await uploads(drive).discard(EVERYTHING, key)
    await come_to_rest(drive)
    assert await drive.get() == b"data"
    assert len(await drive.objects()) == 1


async def test_an_upload_that_nobody_publishes_releases_what_it_shares(drive: Drive) -> None:
    await upload(drive, PARTS)
    key = await begin(drive)
    assert await copy_part(drive, key, byte_range=ByteRange(3, 7))
    await commit(drive, Delete(ID))
    drive.time.pass_by(timedelta(hours=12))
    await drive.reap()
    assert len(await drive.objects()) == 1
    await come_to_rest(drive)
    assert await drive.objects() == set()


async def test_a_copied_part_is_refused_as_a_written_one_is(drive: Drive) -> None:
    blob = await drive.put(b"data")
    key = await begin(drive, size=3)
    await expect(Kind.INVALID_PARTS, copy_part(drive, key))
    await expect(Kind.INVALID_PARTS, copy_part(drive, key, number=10_001))
    key = await begin(drive)
    limited = Grant(frozenset(Action), limits=Limits(max_blob_bytes=3))
    await expect(Kind.TOO_LARGE, copy_part(drive, key, grant=limited))
    await expect(Kind.UPLOAD_NOT_FOUND, copy_part(drive, ObjectKey.random()))
    other = Precondition(etags=frozenset({"other"}))
    await expect(Kind.PRECONDITION_FAILED, copy_part(drive, key, precondition=other))
    assert not (await drive.metadata.blobs.get(ID)).content.is_shared, "what is refused counts nothing"
    copy = CopyPart(uploads(drive), drive.metadata.contents)
    await commit(drive, Delete(ID))
    new = CopiedPart(ID, None, ANY, lambda _: MD5)
    await expect(Kind.NOT_FOUND, copy(EVERYTHING, key, 1, new, blob))
    await come_to_rest(drive)
    assert await drive.objects() == set()


async def test_the_source_may_be_replaced_meanwhile(drive: Drive) -> None:
    """The bytes of the version that is locked are shared, or none."""
    former = await upload(drive, PARTS)
    key = await begin(drive)
    await drive.put(b"abcdefghi")
    copy = CopyPart(uploads(drive), drive.metadata.contents)
    new = CopiedPart(ID, ByteRange(3, 7), ANY, lambda _: MD5)
    assert await copy(EVERYTHING, key, 1, new, former) is None
    assert await uploads(drive).parts(EVERYTHING, key) == []


class ReadsAsBefore(UnitOfWorkFactory):
    """Units of work. The first reading of segments returns those of before another unit moved their objects."""

    def __init__(self, units: UnitOfWorkFactory, before: Sequence[Segment]) -> None:
        self.units = units
        self.before = [before]

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self.units() as work:
            read = work.contents.segments

            async def segments(content: ObjectKey, position: int, limit: int) -> Sequence[Segment]:
                return self.before.pop() if self.before else await read(content, position, limit)

            work.contents.segments = segments  # type: ignore[method-assign]  # for this unit alone
            yield work


async def test_a_segment_may_be_moved_meanwhile(any_drive: Drive) -> None:
    """The part names the object that the segment has, and not the one that was read before the segment was locked."""
    blob = await upload(any_drive, PARTS)
    key = await begin(any_drive)
    [segment] = before = await any_drive.metadata.contents.segments(blob.content.key, 3, 1)
    await any_drive.active.put(moved := ObjectKey.random(), each([PARTS[1]]))
    async with any_drive.metadata() as work:
        assert await work.moves.switch(segment.location, replace(segment.location, key=moved), timedelta(0))
        await work.commit()
    multipart = uploads(any_drive)
    units = ReadsAsBefore(any_drive.metadata, before)
    copy = CopyPart(replace(multipart, uploads=replace(multipart.uploads, units=units)), any_drive.metadata.contents)
    part = await copy(EVERYTHING, key, 1, CopiedPart(ID, ByteRange(3, 7), ANY, lambda _: MD5), blob)
    assert units.before == []
    assert part is not None
    assert part.location.key == moved
    await commit(any_drive, Put(OTHER, key))
    await any_drive.reap()
    assert segment.location.key not in await any_drive.objects()
    assert await any_drive.get(OTHER) == PARTS[1]
    await expect_intact(any_drive, 2)


@pytest.mark.parametrize("happens", [True, False])
async def test_a_copy_whose_answer_was_lost_can_be_repeated(any_drive: Drive, happens: bool) -> None:
    blob = await any_drive.put(b"data")
    key = await begin(any_drive)
    multipart = uploads(any_drive)
    lost = replace(multipart.uploads, units=LosesAnAnswer(any_drive.metadata, 1, happens=happens))
    copy = CopyPart(replace(multipart, uploads=lost), any_drive.metadata.contents)
    new = CopiedPart(ID, None, ANY, lambda _: MD5)
    await expect(Kind.UNAVAILABLE, copy(EVERYTHING, key, 1, new, blob))
    assert await copy_part(any_drive, key) is not None
    await uploads(any_drive).discard(EVERYTHING, key)
    await any_drive.reap()
    assert await any_drive.get() == b"data"
    async with any_drive.metadata() as work:
        await work.trash.add(await work.blobs.remove(ID, ANY), timedelta(0), timedelta(0))
        assert await work.trash.release(9) == 1
        await work.commit()
    [backlog] = [each for each in await any_drive.metadata.backlog() if each.garbage]
    assert backlog.garbage == 1


async def test_racing_copies_and_deletes(any_drive: Drive) -> None:
    """Each part that was added can be read, whatever became of its source."""

    async def attempt(number: int) -> Blob | None:
        source, target = BlobId(f"source {number}"), BlobId(f"target {number}")
        await any_drive.put(b"%03d" % number, source)
        key = await begin(any_drive)
        racing = [copy_part(any_drive, key, source=source), commit(any_drive, Delete(source))]
        await asyncio.gather(*(racing if number % 2 else racing[::-1]), return_exceptions=True)
        if not await uploads(any_drive).parts(EVERYTHING, key):
            return None
        [changed] = await commit(any_drive, Put(target, key))
        blob: Blob = changed.blob
        return blob

    made = await asyncio.gather(*map(attempt, range(20)))
    async with any_drive.metadata() as work:
        for version in await work.trash.between("", 0, None, 100):
            await work.trash.purge(version.key, timedelta(0))
        await work.trash.release(100)
        await work.commit()
    await any_drive.reap()
    for number, blob in enumerate(made):
        if blob is not None:
            assert await any_drive.get(blob.id) == b"%03d" % number
