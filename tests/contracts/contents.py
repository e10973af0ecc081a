"""The contract of the ports in application/ports/contents.py, and of blobs that expire, are locked or move."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, permutations
from typing import TypeVar

import pytest

from application.ports.contents import DigestJob, MultipartUpload, Part, Trashed
from application.ports.metadata import Garbage, Published, UnitOfWork
from domain.blob import Blob, BlobId, Content, Digest, Draft, Location, ObjectKey, Segment
from domain.checksums import ALGORITHMS, Checksums
from domain.errors import BlobError, Kind
from domain.precondition import ANY, CREATE_ONLY, Precondition
from domain.properties import MAX_METADATA_BYTES, Properties
from tests.contracts.blob_store import refused
from tests.contracts.leftovers import no_task_left
from tests.contracts.metadata import (
    LONG,
    NOW,
    Leave,
    Metadata,
    blob,
    by_a_cancellation,
    by_a_fault,
    by_a_refusal,
    draft_of,
    hold,
    in_a_unit,
    location,
    outcomes,
    placed,
    publish,
    put,
    release,
    remove,
    without_a_commit,
)

T = TypeVar("T")
Change = Callable[[UnitOfWork], Awaitable[T]]

PAST = datetime(2020, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
FUTURE = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
SOON, MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)
BACKENDS = ("fs", "s3")
KIB = 1024

FULL = Properties(
    content_type='text/html; charset="é"',
    content_encoding="br, gzip",
    content_language="de, en-GB",
    content_disposition='attachment; filename*=UTF-8\'\'%e2%98%ba; filename="☺ \\"😀\\""',
    cache_control="max-age=60, private",
    metadata={"a": "", "x-emoji": "👩‍🚀 é ☺ \U0010ffff", "!#$%&'*+-.^_`|~09": "a \\ ' \" % ?"},
    tags={"": "", "Ä tag": "👩‍🚀 \U0010ffff", "a": " a \\ ' \" % ? "},
    expires="Thu, 01 Dec 1994 16:00:00 GMT",
    acl="public-read",
)
PROPERTIES = [
    FULL,
    Properties(""),
    Properties(content_language="☺"),
    Properties(content_disposition="inline"),
    Properties(cache_control="no-store", content_encoding="gzip"),
    Properties(metadata={"m": ""}),
    Properties(metadata={"m": "\U0001f600" * ((MAX_METADATA_BYTES - 1) // 4)}),
    Properties(metadata={"m": "é" * ((MAX_METADATA_BYTES - 1) // 2)}),
    Properties(metadata={"m": '"' * (MAX_METADATA_BYTES - 1)}),
    Properties(metadata={f"{number:04}": "four" for number in range(MAX_METADATA_BYTES // 8)}),
    Properties(tags={"t": ""}),
    Properties(expires="0"),
    Properties(acl="authenticated-read"),
    # As many and as long as S3 has them, next to as much metadata as there may be.
    Properties(
        metadata={"m": '"' * (MAX_METADATA_BYTES - 1)},
        tags={f"{number}{'😀' * 127}": "\U0010ffff" * 256 for number in range(10)},
    ),
]

UPLOAD = ObjectKey("0123456789abcdef" * 2)
MD5 = bytes(range(240, 256))
CHECKSUMS = [
    Checksums(MD5),
    Checksums(bytes(16)),
    Checksums(b"\xff" * 16, parts=10_000, upload=UPLOAD.value),
    *(Checksums(MD5, 0, name, bytes(range(256 - size, 256))) for name, size in ALGORITHMS.items()),
    *(Checksums(MD5, 3, name, b"\xfb\xff" * (size // 2), True, UPLOAD.value) for name, size in ALGORITHMS.items()),
    Checksums(MD5, 1, "CRC64NVME", bytes(8), upload=UPLOAD.value),
]
SOME = CHECKSUMS[-2]

# A prefix, what takes its place, and ids that begin with it.
MOVES = [
    ("a/", "b/", ["a/", "a/a/", "a/b", "a/☺", "a/😀/" + "x" * 2000]),
    ("a/", "a/b/", ["a/", "a/b", "a/b/", "a/b/b/", "a/b/c", "a/c"]),
    ("a/b/", "a/", ["a/b/a", "a/b/b", "a/b/b/", "a/b/b/b/c", "a/b/z"]),
    ("a", "aa", ["a" * length for length in range(1, 50)]),
    ("aa", "a", ["a" * length for length in range(2, 50)]),
    ("", "x/", ["a", "x", "x/", "x/x/", "x/x/x/", "☺", "\U0010ffff"]),
    ("x/", "", ["x/a", "x/x/", "x/x/x/", "x/☺"]),
    ("", "☺é", ["\U0010ffff", "☺", "☺é", "☺é☺é", "é"]),
    ("☺é", "", ["☺éa", "☺é☺é", "☺é☺é☺é", "☺éé", "☺é\U0010ffff"]),
    ("😀/é/", "☺/", ["😀/é/", "😀/é/é", "😀/é/☺/x", "😀/é/\U0010ffff"]),
    ("%_\\'", "a'b\\", ["%_\\'", "%_\\'%", "%_\\''"]),
]


def expiring(version: Blob, at: datetime) -> Blob:
    return replace(version, expires_at=at)


def with_checksums(version: Blob, checksums: Checksums | None) -> Blob:
    return replace(version, checksums=checksums)


def digest_of(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).digest())


def segments_of(sizes: Sequence[int], backend: str = "fs") -> list[Segment]:
    """Return segments of these sizes, one after another."""
    found: list[Segment] = []
    for number, size in enumerate(sizes):
        start = found[-1].stop if found else 0
        found.append(Segment(location(backend), start, size, digest_of(f"{number}")))
    return found


def segmented(blob_id: str, segments: Sequence[Segment]) -> Blob:
    """Return a version whose content is a list of segments, with a key of its own."""
    where = location(segments[0].location.backend)
    content = Content(where, segments[-1].stop, None, len(segments), digest_of("composite"))
    return replace(blob(blob_id), content=content)


def names_of(segments: Sequence[Segment]) -> list[ObjectKey]:
    return sorted(segment.location.key for segment in segments)


def ids_of(found: Sequence[Blob]) -> list[str]:
    return [each.id.value for each in found]


def end_of(prefix: str) -> str | None:
    """Return the end of the range of ids that begin with a prefix; None is the end of all."""
    return prefix + "\U0010ffff" * 600 if prefix else None


async def add_segmented(metadata: Metadata, version: Blob, segments: Sequence[Segment]) -> Blob:
    async def change(work: UnitOfWork) -> Blob:
        await work.contents.add(version.content.key, segments)
        return (await work.blobs.put(draft_of(version), CREATE_ONLY)).blob

    return await in_a_unit(metadata, change)


async def delete(metadata: Metadata, blob_id: BlobId, retention: timedelta = NOW, grace: timedelta = NOW) -> None:
    """Move a blob to the trash. Its content is due at once, unless it is kept longer."""

    async def change(work: UnitOfWork) -> None:
        await work.trash.add(await work.blobs.remove(blob_id, ANY), retention, grace)

    await in_a_unit(metadata, change)


async def copy(metadata: Metadata, source: BlobId, target: BlobId, precondition: Precondition = ANY) -> None:
    """Let a blob have the content of another one. The version that it replaces goes to the trash."""

    async def change(work: UnitOfWork) -> None:
        found = await work.blobs.lock(source, ANY)
        content = await work.contents.share(found)
        draft = replace(draft_of(found), id=target, content=content)
        published = await work.blobs.put(draft, precondition)
        if published.former is not None:
            await work.trash.add(published.former, NOW, NOW)

    await in_a_unit(metadata, change)


async def restore(metadata: Metadata, key: int) -> None:
    async def change(work: UnitOfWork) -> None:
        found = await work.trash.remove(key)
        if found is not None:
            published = await work.blobs.put(found.blob.draft(), ANY)
            if published.former is not None:
                await work.trash.add(published.former, NOW, NOW)

    await in_a_unit(metadata, change)


async def trash(metadata: Metadata, version: Blob, retention: timedelta = LONG, grace: timedelta = NOW) -> Trashed:
    """Add a version to the trash, and return it as it is there."""
    await in_a_unit(metadata, lambda work: work.trash.add(version, retention, grace))
    return (await metadata.trash.between(version.id.value, 0, version.id.value + "\x01", 1000))[-1]


async def purge(metadata: Metadata, key: int, grace: timedelta = NOW) -> bool:
    return await in_a_unit(metadata, lambda work: work.trash.purge(key, grace))


async def take(metadata: Metadata, key: int) -> Trashed | None:
    """Remove a version from the trash."""
    return await in_a_unit(metadata, lambda work: work.trash.remove(key))


async def release_all(metadata: Metadata) -> int:
    released = 0
    while count := await release(metadata, 100):
        released += count
    return released


async def garbage(metadata: Metadata) -> list[ObjectKey]:
    """Claim all garbage, and return its keys."""

    async def change(work: UnitOfWork) -> list[Garbage]:
        return [each for backend in BACKENDS for each in await work.garbage.claim(backend, 100_000, LONG)]

    return sorted(each.location.key for each in await in_a_unit(metadata, change))


async def move(metadata: Metadata, from_prefix: str, to_prefix: str) -> int:
    stop = end_of(from_prefix)
    return await in_a_unit(metadata, lambda work: work.blobs.move_between(from_prefix, stop, from_prefix, to_prefix))


async def all_ids(metadata: Metadata) -> list[str]:
    return ids_of(await metadata.blobs.between("", None, 100_000))


async def put_all(metadata: Metadata, versions: Sequence[Blob]) -> None:
    async def change(work: UnitOfWork) -> None:
        for version in versions:
            await work.blobs.put(draft_of(version), CREATE_ONLY)

    await in_a_unit(metadata, change)


async def claim_digest(metadata: Metadata, lease: timedelta = LONG) -> DigestJob | None:
    return await in_a_unit(metadata, lambda work: work.contents.claim_digest(lease))


async def keep_digest(metadata: Metadata, job: DigestJob, lease: timedelta = LONG) -> bool:
    return await in_a_unit(metadata, lambda work: work.contents.keep_digest(job, lease))


async def set_digest(metadata: Metadata, content: ObjectKey, digest: Digest, again_after: timedelta) -> None:
    await in_a_unit(metadata, lambda work: work.contents.set_digest(content, digest, again_after))


def upload_to(blob_id: str | None = "k5", **values: object) -> MultipartUpload:
    """Return an upload. Its times are not by the clock of the database."""
    made = MultipartUpload(ObjectKey.random(), BlobId(blob_id) if blob_id else None, Properties(), PAST, PAST)
    return replace(made, **values)  # type: ignore[arg-type]


async def begin(metadata: Metadata, upload: MultipartUpload, lifetime: timedelta = LONG) -> MultipartUpload:
    return await in_a_unit(metadata, lambda work: work.multipart.add(upload, lifetime))


async def lock(metadata: Metadata, key: ObjectKey, lifetime: timedelta = LONG) -> MultipartUpload | None:
    return await in_a_unit(metadata, lambda work: work.multipart.lock(key, lifetime))


def part(number: int, size: int = 10, backend: str = "fs") -> Part:
    return Part(number, location(backend), size, digest_of(f"part {number}"))


async def put_part(metadata: Metadata, key: ObjectKey, added: Part) -> Part | None:
    async def change(work: UnitOfWork) -> Part | None:
        assert await work.multipart.lock(key, LONG) is not None
        return await work.multipart.put_part(key, added)

    return await in_a_unit(metadata, change)


async def reserve(
    metadata: Metadata, key: ObjectKey, number: int, where: Location, lease: timedelta = LONG
) -> Sequence[Location]:
    async def change(work: UnitOfWork) -> Sequence[Location]:
        assert await work.multipart.lock(key, LONG) is not None
        return await work.multipart.reserve(key, number, where, lease)

    return await in_a_unit(metadata, change)


async def parts_in_progress(metadata: Metadata, key: ObjectKey) -> frozenset[int]:
    return await in_a_unit(metadata, lambda work: work.multipart.in_progress(key))


async def named(metadata: Metadata, *keys: ObjectKey) -> set[ObjectKey]:
    return {key for backend in BACKENDS for key in await metadata.named(backend, keys)}


async def add_mark(metadata: Metadata, key: ObjectKey) -> bool:
    return await in_a_unit(metadata, lambda work: work.commits.add(key))


async def after_another(
    metadata: Metadata, first: Change[object], second: Change[T], *, commits: bool = True
) -> T | BlobError:
    """Make a change while another unit, which has made its own, is open. Fail unless it waits. Return its outcome."""
    events = list[str]()

    async def then() -> T | BlobError:
        try:
            return await in_a_unit(metadata, second)
        except BlobError as error:
            return error
        finally:
            events.append("second")

    async with metadata() as work:
        await first(work)
        waiting = asyncio.create_task(then())
        await asyncio.wait({waiting}, timeout=0.2)  # as long as it would take if it did not wait
        events.append("first")
        if commits:
            await work.commit()
    result = await waiting
    assert events == ["first", "second"]
    return result


class MovableClock:
    """A clock that runs as that of the machine does, and can be moved ahead."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def move_to(self, time: datetime) -> None:
        self._ahead += max(time - self(), timedelta(0))


class Contract:
    """Base of the suites. An adapter adds a fixture `metadata`, an empty one, and `now`; if it has tables, `rows`."""

    @pytest.fixture(autouse=True)
    async def _nothing_is_left(self) -> AsyncIterator[None]:
        async with no_task_left():
            yield

    async def rows(self, metadata: Metadata) -> list[str]:
        """Return the content of all tables, in any form that differs if the content does."""
        return []

    async def now(self, metadata: Metadata) -> datetime:
        """Return the time by the database's clock."""
        raise NotImplementedError

    async def wait_until(self, metadata: Metadata, time: datetime) -> None:
        for _ in range(3):  # the clocks of this machine and of the server may not run alike
            await asyncio.sleep(max((time - await self.now(metadata)).total_seconds(), 0))


class VersionsContract(Contract):
    """Properties of blobs, their expiry, locks, and moves of many."""

    @pytest.mark.parametrize("properties", PROPERTIES, ids=range(len(PROPERTIES)))
    async def test_all_properties_are_kept(self, metadata: Metadata, properties: Properties) -> None:
        version = replace(blob(), properties=properties)
        await put(metadata, version)
        for found in [await metadata.blobs.get(version.id), *await metadata.blobs.between("", None, 10)]:
            assert found == version
            assert {**found.properties.metadata} == {**properties.metadata}
            assert {**found.properties.tags} == {**properties.tags}
            assert found.etag == version.etag
        thrown = await trash(metadata, await remove(metadata, version.id))
        assert thrown.blob == version
        added = await begin(metadata, upload_to(properties=properties))
        assert added.properties == properties
        found_upload = await metadata.multipart.find(added.key)
        assert found_upload is not None
        assert found_upload.properties == properties

    async def test_no_property_of_a_replaced_version_remains(self, metadata: Metadata) -> None:
        for version in (expiring(replace(blob(), properties=FULL), FUTURE), blob()):
            await put(metadata, version)
            found = await metadata.blobs.get(version.id)
            assert (found, found.expires_at) == (version, version.expires_at)

    # Expiry

    @pytest.mark.parametrize("replaces", [False, True])
    async def test_a_blob_expires_some_time_after_its_publication(self, metadata: Metadata, replaces: bool) -> None:
        if replaces:
            await put(metadata, blob())
        draft = replace(draft_of(blob()), expires_in=SOON)
        before = await self.now(metadata)
        made = (await in_a_unit(metadata, lambda work: work.blobs.put(draft, ANY))).blob
        after = await self.now(metadata)
        assert made.expires_at is not None
        assert before + SOON <= made.expires_at <= after + SOON
        assert made.expires_at == made.current_since + SOON
        [found] = await metadata.blobs.by_content(None, 10)
        assert (found, found.expires_at) == (made, made.expires_at)
        await self.wait_until(metadata, made.expires_at)
        assert await metadata.blobs.find(made.id) is None

    async def test_a_blob_may_expire_at_once(self, metadata: Metadata) -> None:
        draft = replace(draft_of(blob()), expires_in=NOW)
        made = (await in_a_unit(metadata, lambda work: work.blobs.put(draft, ANY))).blob
        assert made.expires_at == made.created_at
        assert await metadata.blobs.find(made.id) is None

    async def test_a_blob_expires_at_a_time(self, metadata: Metadata) -> None:
        at = await self.now(metadata) + SOON
        version, lasting = expiring(blob(), at), expiring(blob("lasting"), FUTURE)
        await put_all(metadata, [version, lasting])
        found = await metadata.blobs.find(version.id)
        assert found == version or await self.now(metadata) >= at, "it expires too early"
        await self.wait_until(metadata, at)
        assert await metadata.blobs.find(version.id) is None
        assert (await metadata.blobs.get(lasting.id)).expires_at == FUTURE

    async def test_an_expired_blob_is_not_found(self, metadata: Metadata) -> None:
        ids = ["a/1", "a/2", "b", "c/1", "d"]
        expired = {"a/1", "b", "c/1"}
        versions = [expiring(blob(each), PAST) if each in expired else blob(each) for each in ids]
        await put_all(metadata, versions)
        async with metadata() as work:
            for blobs in (metadata.blobs, work.blobs):
                assert [await blobs.find(version.id) for version in versions] == [
                    None if version.id.value in expired else version for version in versions
                ]
                with refused(Kind.NOT_FOUND):
                    await blobs.get(BlobId("b"))
                assert ids_of(await blobs.between("", None, 10)) == ["a/2", "d"]
                assert ids_of(await blobs.between("", None, 1)) == ["a/2"]
                assert await blobs.rolled_up("", None, 10, "", "/") == ["a/", versions[4]]
                assert await blobs.rolled_up("", None, 1, "", "/") == ["a/"]
                assert await blobs.rolled_up("b", None, 1, "", "/") == [versions[4]]
                assert await blobs.count("", None, 10) == 2
                assert ids_of(await blobs.by_content(None, 10)) == ids_of(
                    sorted(versions, key=lambda version: version.content.key)
                )
            assert await work.blobs.lock_between("", None, 10) == [BlobId("a/2"), BlobId("d")]
            for precondition in (ANY, Precondition(etags=frozenset({versions[2].etag}))):
                with refused(Kind.NOT_FOUND):
                    await work.blobs.lock(BlobId("b"), precondition)
                with refused(Kind.NOT_FOUND):
                    await work.blobs.remove(BlobId("b"), precondition)
            await work.blobs.remove(BlobId("d"), ANY)
            await work.commit()
        assert await in_a_unit(metadata, lambda work: work.trash.move_expired(10, NOW)) == 3

    async def test_an_expired_blob_is_replaced_as_if_it_were_absent(self, metadata: Metadata) -> None:
        first = (await publish(metadata, expiring(blob(), PAST))).blob
        for precondition in (
            Precondition(present=True),
            Precondition(etags=frozenset({first.etag})),
            Precondition(unmodified_since=FUTURE),
        ):
            with refused(Kind.PRECONDITION_FAILED):
                await put(metadata, blob(), precondition)
        last = first
        for precondition in (CREATE_ONLY, Precondition(absent=True), Precondition(not_etags=frozenset({first.etag}))):
            published = await publish(metadata, expiring(blob(), PAST), precondition)
            assert (published.replaced, published.former) == (None, last)
            assert published.blob.current_since > last.current_since
            last = published.blob
        assert await put(metadata, version := blob(), CREATE_ONLY) is None
        assert await metadata.blobs.get(version.id) == version
        published = await publish(metadata, blob())
        assert (published.replaced, published.former) == (version, version)

    async def test_an_expired_blob_is_replaced_by_one_of_many_creators(self, metadata: Metadata) -> None:
        await put(metadata, expiring(blob(), PAST))
        ended = await outcomes(*(publish(metadata, blob(), CREATE_ONLY) for _ in range(10)))
        assert ended.count(Kind.ALREADY_EXISTS) == 9
        assert sum(isinstance(each, Published) and each.former is not None for each in ended) == 1

    # Times

    async def test_a_version_that_continues_another_keeps_its_time(self, metadata: Metadata) -> None:
        first = (await publish(metadata, replace(blob(), properties=FULL))).blob
        assert first.changed_at is None
        second = await in_a_unit(metadata, lambda work: work.blobs.put(first.draft(), ANY))
        assert second.former == first
        other = replace(first.draft(), id=BlobId("other"))
        third = await in_a_unit(metadata, lambda work: work.blobs.put(other, CREATE_ONLY))
        for made in (second.blob, third.blob):
            found = await metadata.blobs.get(made.id)
            for each in (made, found):
                assert each.created_at == first.created_at
                assert each.changed_at == made.changed_at
                assert each.changed_at is not None
                assert each.changed_at > first.current_since
            assert found.sole == made.sole
        fourth = await publish(metadata, blob())
        assert fourth.former is not None
        assert fourth.former.changed_at == second.blob.changed_at
        assert fourth.blob.created_at > second.blob.current_since
        assert (await metadata.blobs.get(first.id)).changed_at is None

    # Counts

    async def test_blobs_are_counted_up_to_a_limit(self, metadata: Metadata) -> None:
        await put_all(metadata, [blob(f"{prefix}/{number}") for prefix in "abc" for number in range(5)])
        async with metadata() as work:
            for blobs in (metadata.blobs, work.blobs):
                assert await blobs.count("", None, 100) == 15
                assert await blobs.count("a/", "c/", 100) == 10
                assert await blobs.count("a/", "c/", 7) == 7
                assert await blobs.count("d", None, 7) == 0

    # Locks

    async def test_a_locked_blob_is_returned(self, metadata: Metadata) -> None:
        version = blob()
        with refused(Kind.NOT_FOUND):
            await in_a_unit(metadata, lambda work: work.blobs.lock(version.id, ANY))
        await put(metadata, version)
        async with metadata() as work:
            assert await work.blobs.lock(version.id, Precondition(etags=frozenset({version.etag}))) == version
            with refused(Kind.PRECONDITION_FAILED):
                await work.blobs.lock(version.id, Precondition(not_etags=frozenset({version.etag})))
            with refused(Kind.NOT_FOUND):
                await work.blobs.lock(BlobId("nobody's"), ANY)
            await work.blobs.put(draft_of(blob("the unit stays usable")), CREATE_ONLY)
            await work.commit()
        assert len(await all_ids(metadata)) == 2

    @pytest.mark.parametrize("how", ["one", "between", "each"])
    async def test_a_locked_blob_is_changed_by_no_other_unit(self, metadata: Metadata, how: str) -> None:
        version, new = blob(), blob()
        await put_all(metadata, [version, blob("k6")])

        async def change(work: UnitOfWork) -> None:
            if how == "between":
                assert await work.blobs.lock_between("k5", None, 10) == [version.id, BlobId("k6")]
            elif how == "each":
                assert len(await work.blobs.lock_each([BlobId("k6"), version.id])) == 2
            else:
                await work.blobs.lock(version.id, ANY)

        published = await after_another(metadata, change, lambda work: work.blobs.put(draft_of(new), ANY))
        assert isinstance(published, Published)
        assert published.former == version
        removed = await after_another(metadata, change, lambda work: work.blobs.remove(version.id, ANY))
        assert removed == new

    async def test_blobs_are_locked_in_pages(self, metadata: Metadata) -> None:
        ids = [BlobId(f"a/{number:03}") for number in range(30)]
        await put_all(metadata, [blob(each.value) for each in ids] + [blob("b")])
        async with metadata() as work:
            assert await work.blobs.lock_between("a/", "a0", 10) == ids[:10]
            assert await work.blobs.lock_between(ids[9].value + "\x01", "a0", 1000) == ids[10:]
            assert await work.blobs.lock_between("a0", "a1", 10) == []

    async def test_each_blob_that_exists_is_locked(self, metadata: Metadata) -> None:
        versions = [expiring(replace(blob(each), properties=FULL), FUTURE) for each in ("B", "a", "a/", "é", "😀")]
        await put_all(metadata, [*versions, blob("other"), expiring(blob("over"), PAST)])
        ids = [BlobId(each) for each in ("😀", "none", "a/", "a", "over", "é", "B", "a", "a ", "A")]
        async with metadata() as work:
            locked = await work.blobs.lock_each(ids)
            assert locked == versions
            assert [each.created_at for each in locked] == [
                (await work.blobs.get(each.id)).created_at for each in locked
            ]
            assert all(each.read_at for each in locked)
            assert await work.blobs.lock_each([BlobId("none"), BlobId("over")]) == []
            assert await work.blobs.lock_each([]) == []

    async def test_a_thousand_blobs_are_locked(self, metadata: Metadata) -> None:
        """With ids that are as long as they may be, each byte of which may need two in a statement."""
        ids = [BlobId(f"{number:04}" + "\\'" * 1022) for number in range(1000)]
        await put_all(metadata, [blob(each.value) for each in ids])

        async def change(work: UnitOfWork) -> None:
            locked = await work.blobs.lock_each(random.Random(5).sample(ids, len(ids)))  # noqa: S311
            assert [each.id for each in locked] == ids
            await work.trash.move([each.id for each in locked], LONG, NOW)

        await in_a_unit(metadata, change)
        assert await all_ids(metadata) == []
        assert [each.blob.id for each in await metadata.trash.between("", 0, None, 2000)] == ids

    async def test_blobs_are_locked_in_one_order(self, metadata: Metadata) -> None:
        """Otherwise units that lock the same ones wait for each other in a circle, and one is rolled back."""
        ids = [BlobId(f"{number}") for number in range(20)]
        await put_all(metadata, [blob(each.value) for each in ids])

        async def unit(number: int) -> int:
            async with metadata() as work:
                locked = await work.blobs.lock_each(ids[::-1] if number % 2 else ids)
                await work.commit()
                return len(locked)

        assert await outcomes(*map(unit, range(8))) == [20] * 8

    # Moves

    @pytest.mark.parametrize(("source", "target", "ids"), MOVES, ids=lambda value: ascii(value)[:20])
    async def test_ids_are_moved(self, metadata: Metadata, source: str, target: str, ids: Sequence[str]) -> None:
        others = [blob(each) for each in ("!", "_", "\U0010fffe") if source and target]
        versions = [expiring(replace(blob(each), properties=FULL), FUTURE) for each in ids]
        await put_all(metadata, [*versions, *others])
        before = {each.id.value: each for each in await metadata.blobs.between("", None, 1000)}
        time = await self.now(metadata)
        assert await move(metadata, source, target) == len(ids)
        after = {each.id.value: each for each in await metadata.blobs.between("", None, 1000)}
        assert [*after] == sorted(
            [*(target + each.removeprefix(source) for each in ids), *ids_of(others)], key=str.encode
        )
        for each in others:
            assert after[each.id.value] == each
        for version in versions:
            moved, known = after[target + version.id.value.removeprefix(source)], before[version.id.value]
            assert replace(moved, id=version.id) == version
            assert (moved.created_at, moved.expires_at) == (known.created_at, FUTURE)
            assert moved.changed_at is not None
            assert time <= moved.changed_at

    async def test_a_blob_that_moves_to_the_id_of_a_moved_one_has_another_date(self, metadata: Metadata) -> None:
        """Until the commit the other one is read, which became current in the same second."""
        for attempt in range(5):
            await put_all(metadata, [blob(f"{attempt}/x"), blob(f"{attempt}/a/x")])
            former = await metadata.blobs.get(BlobId(f"{attempt}/a/x"))
            assert await move(metadata, f"{attempt}/", f"{attempt}/a/") == 2
            moved = await metadata.blobs.get(former.id)
            assert moved.changed_at is not None
            is_same_second = moved.changed_at.replace(microsecond=0) == former.created_at.replace(microsecond=0)
            assert moved.sole != is_same_second
            if is_same_second:
                return
        pytest.fail("no move was made within a second")

    async def test_a_move_of_nothing(self, metadata: Metadata) -> None:
        await put_all(metadata, [blob("a"), blob("b/1")])
        assert await move(metadata, "a/", "c/") == 0
        assert await move(metadata, "x" * 1000, "y" * 2048) == 0
        assert await all_ids(metadata) == ["a", "b/1"]

    async def test_two_thousand_blobs_are_moved(self, metadata: Metadata) -> None:
        ids = [f"a/{number:04}/é" for number in range(2000)]
        await put_all(metadata, [blob(each) for each in ids])
        assert await move(metadata, "a/", "b/") == 2000
        assert await move(metadata, "b/", "b/c/") == 2000
        assert await move(metadata, "", "☺/") == 2000
        assert await all_ids(metadata) == [f"☺/b/c/{each[2:]}" for each in ids]

    @pytest.mark.parametrize(
        ("source", "target", "ids"),
        [
            ("a/", "b/", ["a/1", "a/2", "a/3", "b/2"]),
            ("a/", "", ["a/1", "a/2", "1"]),
            ("a/b/", "a/", ["a/2", "a/b/1", "a/b/2"]),
            ("a/", "a", ["a/x", "a/2", "a2"]),
        ],
    )
    async def test_a_move_to_an_id_in_use_changes_nothing(
        self, metadata: Metadata, source: str, target: str, ids: Sequence[str]
    ) -> None:
        await put_all(metadata, [blob(each) for each in ids])
        rows = await self.rows(metadata)
        async with metadata() as work:
            with refused(Kind.ALREADY_EXISTS):
                await work.blobs.move_between(source, end_of(source), source, target)
            await work.commit()
        assert sorted(await all_ids(metadata)) == sorted(ids)
        assert await self.rows(metadata) == rows

    @pytest.mark.parametrize(
        ("source", "target", "ids"),
        [
            ("a/", "b/c", ["a/1", "a/" + "x" * 2046]),
            ("a/", "☺", ["a/1", "a/" + "x" * 2046]),
            ("a/", "", ["a/", "a/1"]),
            ("a/", "a/☺", ["a/1", "a/" + "é" * 1022]),
        ],
    )
    async def test_a_move_to_an_invalid_id_changes_nothing(
        self, metadata: Metadata, source: str, target: str, ids: Sequence[str]
    ) -> None:
        await put_all(metadata, [blob(each) for each in ids])
        rows = await self.rows(metadata)
        async with metadata() as work:
            with refused(Kind.INVALID_ID):
                await work.blobs.move_between(source, end_of(source), source, target)
            await work.commit()
        assert sorted(await all_ids(metadata)) == sorted(ids)
        assert await self.rows(metadata) == rows

    async def test_expired_blobs_are_not_moved(self, metadata: Metadata) -> None:
        await put_all(metadata, [expiring(blob("a/1"), PAST), blob("a/2"), expiring(blob("c/9"), PAST)])
        assert await move(metadata, "a/", "b/") == 1
        assert await all_ids(metadata) == ["b/2"]
        await put(metadata, blob("a/1"), CREATE_ONLY)
        await put(metadata, expiring(blob("b/1"), PAST))
        with refused(Kind.ROLLED_BACK):  # it would take a row whose content is not in the trash
            await move(metadata, "a/", "b/")
        assert await all_ids(metadata) == ["a/1", "b/2"]
        assert await in_a_unit(metadata, lambda work: work.trash.move_expired(10, NOW)) == 2
        assert await move(metadata, "a/", "b/") == 1
        assert await all_ids(metadata) == ["b/1", "b/2"]

    @pytest.mark.parametrize(
        ("source", "target", "expired"),
        [
            ("a/", "b/", ["b/1", "b/é"]),
            ("a/", "", ["1", "é"]),
            ("a/", "a/x/", ["a/x/1"]),
            ("a/w/", "a/", ["a/5"]),
            ("a/", "z" * 2047, []),
            ("none/", "b/", []),
        ],
    )
    async def test_expired_blobs_at_the_targets_of_a_move_are_found(
        self, metadata: Metadata, source: str, target: str, expired: Sequence[str]
    ) -> None:
        await put_all(metadata, [blob(each) for each in ("a/1", "a/2", "a/é", "a/w/5", "c/1")])
        others = ["a/3", "a/y", "b/3", "b/é/", "c/2", "d"]
        await put_all(metadata, [expiring(blob(each), PAST) for each in (*expired, *others)])

        async def make_way(work: UnitOfWork) -> Sequence[BlobId]:
            found = await work.blobs.lock_expired_targets(source, end_of(source), source, target)
            await work.trash.move(found, LONG, NOW)
            return found

        found = await in_a_unit(metadata, make_way)
        assert sorted(each.value for each in found) == sorted(expired)
        assert await in_a_unit(metadata, make_way) == []
        assert await in_a_unit(metadata, lambda work: work.trash.move_expired(100, NOW)) == len(others)

    async def test_of_racing_moves_and_puts_each_blob_has_one_id(self, metadata: Metadata) -> None:
        versions = [blob(f"a/{number}") for number in range(20)]
        others = [blob(f"{prefix}/{prefix}{number}") for prefix in "abc" for number in range(7)] + [blob("b/b/3")]
        await put_all(metadata, versions)

        moves = [("a/", "b/"), ("a/", "c/"), ("b/", "b/b/"), ("c/", "a/"), ("b/", "a/")] * 2
        puts = (put(metadata, version, CREATE_ONLY) for version in others)
        ended = await outcomes(*puts, *(move(metadata, *each) for each in moves))
        assert {*ended[: len(others)]} <= {None, Kind.ALREADY_EXISTS}
        for outcome in ended[len(others) :]:
            assert isinstance(outcome, int) or outcome in (Kind.ALREADY_EXISTS, Kind.ROLLED_BACK)
        stored = [version for version, outcome in zip(others, ended, strict=False) if outcome is None]
        found = [each.content.key for each in await metadata.blobs.between("", None, 1000)]
        assert sorted(found) == sorted(version.content.key for version in (*versions, *stored))


class ChecksumsContract(Contract):
    """Checksums of S3 clients. They are not compared with the versions that have them."""

    @pytest.mark.parametrize("checksums", CHECKSUMS, ids=range(len(CHECKSUMS)))
    async def test_checksums_are_read_as_they_were_put(self, metadata: Metadata, checksums: Checksums) -> None:
        version = with_checksums(blob("a/1"), checksums)
        published = await publish(metadata, version)
        await put_all(metadata, [blob("b"), with_checksums(blob("c"), Checksums(b"c" * 16))])
        assert published.blob.checksums == checksums
        named = Precondition(etags=frozenset({checksums.etag}))
        async with metadata() as work:
            found = [await work.blobs.lock(version.id, named), *await work.blobs.lock_each([version.id])]
            found += [await metadata.blobs.get(version.id), *await metadata.blobs.between("a", "a0", 10)]
            found += [each for each in await metadata.blobs.by_content(None, 10) if each.id == version.id]
            for entry in await metadata.blobs.rolled_up("a/", "a0", 10, "a/", "/"):
                assert isinstance(entry, Blob)
                found.append(entry)
        assert [each.checksums for each in found] == [checksums] * 6
        assert [each.checksums for each in await metadata.blobs.between("b", None, 10)] == [None, Checksums(b"c" * 16)]
        assert (await remove(metadata, version.id, named)).checksums == checksums

    async def test_no_checksums_of_a_replaced_version_remain(self, metadata: Metadata) -> None:
        for checksums in (SOME, None, CHECKSUMS[0], CHECKSUMS[1], None):
            published = await publish(metadata, with_checksums(blob(), checksums))
            assert published.blob.checksums == checksums
            assert (await metadata.blobs.get(published.blob.id)).checksums == checksums

    async def test_checksums_go_with_a_version(self, metadata: Metadata) -> None:
        async def of_all() -> list[Checksums | None]:
            return [each.checksums for each in await metadata.blobs.between("", None, 10)]

        await put(metadata, version := with_checksums(blob("a/1"), SOME))
        await copy(metadata, version.id, BlobId("a/2"))
        await copy(metadata, version.id, BlobId("a/3"))
        assert await move(metadata, "a/", "b/") == 3
        assert await of_all() == [SOME] * 3
        await in_a_unit(metadata, lambda work: work.trash.move([BlobId("b/2"), BlobId("b/3")], LONG, NOW))
        await delete(metadata, BlobId("b/1"), LONG)
        trashed = await metadata.trash.between("", 0, None, 10)
        assert [each.blob.checksums for each in trashed] == [SOME] * 3
        for each in trashed:
            found = await metadata.trash.find(each.key)
            assert found is not None
            assert found.blob.checksums == SOME
            await restore(metadata, each.key)
        assert await of_all() == [SOME] * 3
        await put(metadata, expiring(with_checksums(blob("b/1"), CHECKSUMS[0]), FUTURE))
        await put(metadata, expiring(with_checksums(blob("over"), CHECKSUMS[1]), PAST))
        assert await in_a_unit(metadata, lambda work: work.trash.move_expired(10, LONG)) == 1
        assert await of_all() == [CHECKSUMS[0], SOME, SOME]

    async def test_segments_keep_their_checksums(self, metadata: Metadata) -> None:
        segments = [
            replace(each, checksums=checksums)
            for each, checksums in zip(segments_of([5, 6, 7]), (SOME, None, CHECKSUMS[0]), strict=True)
        ]
        version = with_checksums(segmented("a", segments), CHECKSUMS[2])
        await add_segmented(metadata, version, segments)
        await set_digest(metadata, version.content.key, digest_of("all"), NOW)
        for position, first in ((0, 0), (5, 1), (11, 2)):
            found = await metadata.contents.segments(version.content.key, position, 10)
            assert [each.checksums for each in found] == [each.checksums for each in segments[first:]]
        assert (await metadata.blobs.get(version.id)).checksums == CHECKSUMS[2]

    async def test_parts_keep_their_checksums(self, metadata: Metadata) -> None:
        added, former = await begin(metadata, upload_to()), None
        await put_part(metadata, added.key, replace(part(1), checksums=CHECKSUMS[0]))
        for checksums in (*CHECKSUMS, None):
            replaced = await put_part(metadata, added.key, replace(part(2), checksums=checksums))
            assert (replaced and replaced.checksums) == former
            found = await metadata.multipart.parts(added.key, 0, 10)
            assert [each.checksums for each in found] == [CHECKSUMS[0], checksums]
            former = checksums

    async def test_a_part_has_the_time_at_which_it_was_added(self, metadata: Metadata) -> None:
        added = await begin(metadata, upload_to())
        for _ in range(2):
            before = await self.now(metadata)
            await put_part(metadata, added.key, replace(part(1), written_at=PAST))
            after = await self.now(metadata)
            [found] = await metadata.multipart.parts(added.key, 0, 10)
            assert found.written_at is not None
            assert before <= found.written_at <= after
            assert found.written_at.tzinfo is UTC
            await self.wait_until(metadata, after + MILLISECOND)


class TrashContract(Contract):
    """The trash: versions that can be restored, and contents that are due."""

    async def test_a_version_in_the_trash_is_found_as_it_was(self, metadata: Metadata) -> None:
        first = (await publish(metadata, expiring(replace(blob(), properties=FULL), FUTURE))).blob
        version = (await in_a_unit(metadata, lambda work: work.blobs.put(first.draft(), ANY))).blob
        before = await self.now(metadata)
        await delete(metadata, version.id, LONG)
        after = await self.now(metadata)
        [listed] = await metadata.trash.between("", 0, None, 10)
        async with metadata() as work:
            found = [listed, await metadata.trash.find(listed.key), await work.trash.find(listed.key)]
            found += [*await work.trash.between("", 0, None, 10), await work.trash.remove(listed.key)]
        for each in found:
            assert each is not None
            assert each == listed
            assert each.blob == version
            assert each.blob.created_at == first.created_at
            assert each.blob.changed_at == version.changed_at
            assert each.blob.expires_at == FUTURE
            assert before <= each.deleted_at <= after
            assert each.retained_until == each.deleted_at + LONG
        assert await metadata.trash.find(listed.key + 1) is None

    async def test_versions_in_the_trash_are_listed_by_their_ids_and_keys(self, metadata: Metadata) -> None:
        ids = ["a/1", "B", "a/2", "☺", "a/1", "a", "é", "a/1", "\U0010ffff", "a/1", "a/2", "a"]
        for blob_id in ids:
            await trash(metadata, blob(blob_id))
        found = await metadata.trash.between("", 0, None, 100)
        places = [(each.blob.id.value.encode(), each.key) for each in found]
        assert places == sorted(places)
        assert sorted(each.blob.id.value for each in found) == sorted(ids)
        for position, each in enumerate(found):
            after = await metadata.trash.between(each.blob.id.value, each.key, None, 3)
            assert after == found[position + 1 : position + 4]
        below = [each for each in found if each.blob.id.value.startswith("a/")]
        assert await metadata.trash.between("a/", 0, "a0", 100) == below
        assert await metadata.trash.between("a/", 0, "a0", 3) == below[:3]
        assert await metadata.trash.between("a/1", below[1].key, "a/2", 100) == below[2:4]
        assert await metadata.trash.between("a/1", 0, "a/1", 100) == []
        assert await metadata.trash.between("b", 0, "a", 100) == []

    async def test_a_version_is_taken_by_one(self, metadata: Metadata) -> None:
        found = [await trash(metadata, blob(f"{number}")) for number in range(5)]
        taken = await asyncio.gather(*(take(metadata, each.key) for each in found for _ in range(4)))
        assert sorted(each.key for each in taken if each is not None) == sorted(each.key for each in found)
        assert await metadata.trash.between("", 0, None, 10) == []
        assert await release(metadata) == 0

    async def test_a_taken_version_waits_for_the_outcome_of_others(self, metadata: Metadata) -> None:
        found = await trash(metadata, blob())
        again = await after_another(
            metadata,
            lambda work: work.trash.remove(found.key),
            lambda work: work.trash.remove(found.key),
            commits=False,
        )
        assert again == found
        assert await take(metadata, found.key) is None

    async def test_a_version_can_be_restored_for_its_retention(self, metadata: Metadata) -> None:
        over, found = await self._with_one_over(metadata, SOON)
        assert await metadata.trash.find(over.key) == over
        await self.wait_until(metadata, over.retained_until)
        await self._expect_only(metadata, found, over)

    async def test_a_version_that_expires_is_not_restored(self, metadata: Metadata) -> None:
        at = await self.now(metadata) + SOON
        over = await trash(metadata, expiring(blob("a"), at))
        found = await trash(metadata, expiring(blob("b"), FUTURE))
        assert await metadata.trash.find(over.key) == over
        await self.wait_until(metadata, at)
        await self._expect_only(metadata, found, over)

    async def _with_one_over(self, metadata: Metadata, retention: timedelta) -> tuple[Trashed, Trashed]:
        over = await trash(metadata, blob("a"), retention)
        return over, await trash(metadata, blob("b"))

    async def _expect_only(self, metadata: Metadata, found: Trashed, over: Trashed) -> None:
        async with metadata() as work:
            for reader in (metadata.trash, work.trash):
                assert await reader.find(over.key) is None
                assert await reader.between("", 0, None, 10) == [found]
                assert await reader.between("a", 0, None, 1) == [found]
            assert await work.trash.remove(over.key) is None
            assert not await work.trash.purge(over.key, NOW)
            assert await work.trash.remove(found.key) == found

    @pytest.mark.parametrize(
        ("retention", "grace", "is_due"),
        [(NOW, NOW, True), (LONG, NOW, False), (NOW, LONG, False), (LONG, LONG, False)],
    )
    @pytest.mark.parametrize("several", [False, True])
    async def test_a_content_is_kept_for_the_retention_and_the_grace(
        self, metadata: Metadata, retention: timedelta, grace: timedelta, is_due: bool, several: bool
    ) -> None:
        await put(metadata, version := blob())

        async def change(work: UnitOfWork) -> None:
            await work.trash.move(await work.blobs.lock_between("", None, 10), retention, grace)

        await (in_a_unit(metadata, change) if several else delete(metadata, version.id, retention, grace))
        assert await release(metadata) == int(is_due)
        assert await garbage(metadata) == [version.content.key] * is_due

    async def test_a_content_is_due_once_its_time_has_come(self, metadata: Metadata) -> None:
        before = await self.now(metadata)
        soon = await trash(metadata, blob("a"), SOON, NOW)
        assert await release(metadata) == 0 or await self.now(metadata) >= before + SOON
        await self.wait_until(metadata, soon.retained_until)
        await release(metadata)
        assert await garbage(metadata) == [soon.blob.content.key]

    @pytest.mark.parametrize("several", [False, True])
    async def test_a_content_is_not_kept_beyond_the_expiry(self, metadata: Metadata, several: bool) -> None:
        """Of a version that has expired, and of one that will."""
        now = await self.now(metadata)
        past, later = expiring(blob("a"), now - LONG), expiring(blob("b"), now + LONG)
        await put_all(metadata, [past, later])

        async def change(work: UnitOfWork) -> None:
            if several:
                await work.trash.move([past.id, later.id], 24 * LONG, NOW)
            for version in () if several else (past, later):
                await work.trash.add(version, 24 * LONG, NOW)

        await in_a_unit(metadata, change)
        assert await release(metadata) == 1
        assert await garbage(metadata) == [past.content.key]
        [kept] = await metadata.trash.between("", 0, None, 10)
        assert kept.retained_until == later.expires_at

    @pytest.mark.parametrize("grace", [NOW, LONG])
    async def test_a_purged_version_is_due_after_the_grace(self, metadata: Metadata, grace: timedelta) -> None:
        found, other = await trash(metadata, blob()), await trash(metadata, blob())
        assert await purge(metadata, found.key, grace)
        assert not await purge(metadata, found.key, grace)
        assert await metadata.trash.find(found.key) is None
        assert await take(metadata, found.key) is None
        assert await metadata.trash.between("", 0, None, 10) == [other]
        assert await release(metadata) == (grace is NOW)
        assert await garbage(metadata) == [found.blob.content.key] * (grace is NOW)

    async def test_a_content_is_held_while_it_is_in_the_trash(self, metadata: Metadata) -> None:
        first = await trash(metadata, blob())
        key = first.blob.content.key
        assert await purge(metadata, first.key, NOW)
        assert await hold(metadata, key, LONG)
        assert await release(metadata) == 0
        second = await trash(metadata, blob())
        await restore(metadata, second.key)
        assert not await hold(metadata, second.blob.content.key, LONG)
        assert await garbage(metadata) == []

    async def test_each_of_several_contents_is_held(self, metadata: Metadata) -> None:
        versions = [await trash(metadata, blob(f"{number}")) for number in range(3)]
        held, kept = [each.blob.content.key for each in versions[:2]], await trash(metadata, blob(), LONG)
        for each in versions:
            assert await purge(metadata, each.key, NOW)
        others = [ObjectKey.random() for _ in range(600)]

        async def hold_each(contents: list[ObjectKey], lease: timedelta) -> bool:
            return await in_a_unit(metadata, lambda work: work.trash.hold_each(contents, lease))

        assert await hold_each([*held, *others], LONG)
        assert await hold_each([*held, kept.blob.content.key], NOW), "which ends no hold sooner"
        assert not await hold_each(others, LONG)
        assert not await hold_each([], LONG)
        assert await release(metadata) == 1
        assert await garbage(metadata) == [versions[2].blob.content.key]

    async def test_a_released_content_is_garbage(self, metadata: Metadata) -> None:
        versions = [placed(blob(f"{number}"), location(backend)) for number, backend in enumerate([*BACKENDS] * 3)]
        for version in versions:
            await trash(metadata, version, LONG)
        for each in await metadata.trash.between("", 0, None, 10):
            await purge(metadata, each.key)
        kept = await trash(metadata, blob())
        rows = await self.rows(metadata)
        assert await release(metadata, 4) == 4
        assert await release(metadata, 4) == 2
        assert await release(metadata, 4) == 0
        assert await metadata.trash.between("", 0, None, 10) == [kept]
        async with metadata() as work:
            found = [each for backend in BACKENDS for each in await work.garbage.claim(backend, 10, LONG)]
        assert {each.location: each.deletes for each in found} == {version.location: 1 for version in versions}
        backlog = [each.garbage for each in await metadata.backlog()]
        assert sum(backlog) == len(versions) + 1
        assert await self.rows(metadata) != rows or not rows

    async def test_contents_are_released_by_one(self, metadata: Metadata) -> None:
        versions = [blob(f"{number}") for number in range(20)]
        for version in versions:
            await in_a_unit(metadata, lambda work, version=version: work.trash.add(version, NOW, NOW))  # type: ignore[misc]
        released = await asyncio.gather(*(release(metadata, 3) for _ in range(10)))
        assert sum(released) == 20 - await release(metadata, 100)
        assert await garbage(metadata) == sorted(version.content.key for version in versions)

    async def test_locked_blobs_are_moved_to_the_trash(self, metadata: Metadata) -> None:
        versions = [expiring(replace(blob(f"a/{number:04}"), properties=FULL), FUTURE) for number in range(1200)]
        await put_all(metadata, [*versions, blob("b")])
        changed = (await in_a_unit(metadata, lambda work: work.blobs.put(draft_of(versions[0]), ANY))).blob

        async def change(work: UnitOfWork) -> int:
            count, start = 0, "a/"
            while ids := await work.blobs.lock_between(start, "a0", 500):
                await work.trash.move(ids, LONG, NOW)
                count, start = count + len(ids), ids[-1].value + "\x01"
            return count

        assert await in_a_unit(metadata, change) == 1200
        assert await all_ids(metadata) == ["b"]
        found = await metadata.trash.between("a/", 0, "a0", 2000)
        assert [each.blob for each in found] == versions
        assert found[0].blob.created_at == changed.created_at
        assert {each.retained_until - each.deleted_at for each in found} == {LONG}
        assert await release(metadata) == 0

    async def test_a_copy_that_is_moved_to_the_trash_stays_shared(self, metadata: Metadata) -> None:
        await put(metadata, version := blob("a"))
        await copy(metadata, version.id, BlobId("b"))
        await in_a_unit(metadata, lambda work: work.trash.move([version.id, BlobId("b")], LONG, NOW))
        found = await metadata.trash.between("", 0, None, 10)
        assert [each.blob.content.is_shared for each in found] == [True, True]

    async def test_expired_blobs_are_moved_to_the_trash(self, metadata: Metadata) -> None:
        expired = [expiring(blob(f"{number}"), PAST + number * timedelta(seconds=1)) for number in range(5)]
        lasting = [blob("a"), expiring(blob("b"), FUTURE)]
        await put_all(metadata, [*expired, *lasting])

        async def move_expired(limit: int, grace: timedelta) -> int:
            return await in_a_unit(metadata, lambda work: work.trash.move_expired(limit, grace))

        assert await move_expired(2, LONG) == 2
        assert await release(metadata) == 0
        assert [await move_expired(2, NOW) for _ in range(3)] == [2, 1, 0]
        assert await metadata.trash.between("", 0, None, 10) == []
        assert await metadata.blobs.by_content(None, 10) == sorted(lasting, key=lambda each: each.content.key)
        assert await release(metadata) == 3
        assert await garbage(metadata) == sorted(version.content.key for version in expired[2:])
        for version in expired:
            await put(metadata, replace(version, expires_at=None), CREATE_ONLY)

    async def test_expired_blobs_are_moved_or_replaced_by_one(self, metadata: Metadata) -> None:
        expired = [expiring(blob(f"{number}"), PAST) for number in range(20)]
        await put_all(metadata, expired)

        async def overwrite(version: Blob) -> int:
            async def change(work: UnitOfWork) -> int:
                published = await work.blobs.put(draft_of(blob(version.id.value)), CREATE_ONLY)
                if published.former is None:
                    return 0
                await work.trash.add(published.former, NOW, NOW)
                return 1

            return await in_a_unit(metadata, change)

        async def move_expired() -> int:
            return await in_a_unit(metadata, lambda work: work.trash.move_expired(3, NOW))

        moved = await asyncio.gather(*map(overwrite, expired[:10]), *(move_expired() for _ in range(8)))
        while count := await move_expired():
            moved.append(count)
        assert sum(moved) == 20
        assert await release_all(metadata) == 20
        assert await garbage(metadata) == sorted(version.content.key for version in expired)
        assert len(await metadata.blobs.by_content(None, 100)) == 10


class SharingContract(Contract):
    """Contents that several versions share."""

    async def test_a_content_is_shared(self, metadata: Metadata) -> None:
        await put(metadata, version := blob("a"))
        assert not (await metadata.blobs.get(version.id)).content.is_shared
        for source, target in (("a", "b"), ("a", "c"), ("c", "d")):
            await copy(metadata, BlobId(source), BlobId(target))
        found = await metadata.blobs.between("", None, 10)
        assert [(each.id.value, each.content, each.content.is_shared) for each in found] == [
            (blob_id, version.content, True) for blob_id in "abcd"
        ]
        async with metadata() as work:
            shared = await work.contents.share(await work.blobs.lock(BlobId("a"), ANY))
        assert (shared, shared.is_shared) == (version.content, True)
        removed = await remove(metadata, BlobId("a"))
        assert removed.content.is_shared
        assert (await trash(metadata, removed)).blob.content.is_shared

    @pytest.mark.parametrize("order", [*permutations("abc")], ids="".join)
    @pytest.mark.parametrize("is_segmented", [False, True])
    async def test_a_shared_content_is_garbage_after_its_last_version(
        self, metadata: Metadata, order: Sequence[str], is_segmented: bool
    ) -> None:
        segments = segments_of([1, 2])
        version = segmented("a", segments) if is_segmented else blob("a")
        await (add_segmented(metadata, version, segments) if is_segmented else put(metadata, version))
        await copy(metadata, version.id, BlobId("b"))
        await copy(metadata, BlobId("b"), BlobId("c"))
        for blob_id in order[:-1]:
            await delete(metadata, BlobId(blob_id))
            assert await release(metadata) == 1
            assert await garbage(metadata) == []
        await delete(metadata, BlobId(order[-1]))
        assert await garbage(metadata) == []
        assert await release(metadata) == 1
        assert await garbage(metadata) == (names_of(segments) if is_segmented else [version.content.key])
        assert await release(metadata) == 0
        # Nothing is left that counts it.
        await put(metadata, replace(blob("a"), content=version.content))
        await copy(metadata, BlobId("a"), BlobId("b"))

    async def test_versions_of_one_content_are_released_together(self, metadata: Metadata) -> None:
        await put(metadata, version := blob("a"))
        for target in "bcd":
            await copy(metadata, version.id, BlobId(target))
        for blob_id in "abcd":
            await delete(metadata, BlobId(blob_id))
        assert await release(metadata, 3) == 3
        assert await garbage(metadata) == []
        assert await release(metadata, 3) == 1
        assert await garbage(metadata) == [version.content.key]

    @pytest.mark.parametrize("limit", [1, 2, 5])
    async def test_racing_releases_free_a_shared_content_once(self, metadata: Metadata, limit: int) -> None:
        versions = [blob(f"{number}") for number in range(6)]
        await put_all(metadata, versions)
        for version in versions:
            await copy(metadata, version.id, BlobId(f"{version.id.value}/copy"))
        # So that each release has versions of several contents, in different orders.
        for version in versions:
            await delete(metadata, version.id)
        for version in reversed(versions):
            await delete(metadata, BlobId(f"{version.id.value}/copy"))
        released = await asyncio.gather(*(release(metadata, limit) for _ in range(8)))
        assert sum(released) + await release_all(metadata) == 12
        assert await garbage(metadata) == sorted(version.content.key for version in versions)

    async def test_a_copy_and_a_delete_of_its_source_happen_one_after_the_other(self, metadata: Metadata) -> None:
        versions = [blob(f"{number}") for number in range(10)]
        await put_all(metadata, versions)

        async def attempt(number: int) -> None:
            version, target = versions[number], BlobId(f"{number}/copy")
            both = [copy(metadata, version.id, target), delete(metadata, version.id)]
            ended = await outcomes(*(both if number % 2 else reversed(both)))
            assert set(ended) <= {None, Kind.NOT_FOUND}
            is_copied = await metadata.blobs.find(target) is not None
            assert (Kind.NOT_FOUND in ended) is not is_copied
            assert await metadata.blobs.find(version.id) is None
            if is_copied:
                copied.append(target)

        copied: list[BlobId] = []
        await asyncio.gather(*(attempt(number) for number in range(10)))
        await release_all(metadata)
        kept = {(await metadata.blobs.get(target)).content.key for target in copied}
        freed = await garbage(metadata)
        assert sorted({*freed} | kept) == sorted(version.content.key for version in versions)
        assert not {*freed} & kept
        for target in copied:
            await delete(metadata, target)
        await release_all(metadata)
        assert await garbage(metadata) == sorted(kept)

    async def test_a_copy_during_the_release_of_another_version(self, metadata: Metadata) -> None:
        versions = [blob(f"{number}") for number in range(8)]
        await put_all(metadata, versions)
        for version in versions:
            await copy(metadata, version.id, BlobId(f"{version.id.value}/b"))
            await delete(metadata, BlobId(f"{version.id.value}/b"))
        copies = [copy(metadata, version.id, BlobId(f"{version.id.value}/c")) for version in versions]
        await asyncio.gather(*copies, *(release(metadata, 2) for _ in range(6)))
        await release_all(metadata)
        assert await garbage(metadata) == []
        for version in versions:
            await delete(metadata, version.id)
        await release_all(metadata)
        assert await garbage(metadata) == []
        for version in versions:
            await delete(metadata, BlobId(f"{version.id.value}/c"))
        await release_all(metadata)
        assert await garbage(metadata) == sorted(version.content.key for version in versions)

    async def test_of_racing_changes_each_content_is_freed_once_it_is_not_used(self, metadata: Metadata) -> None:
        versions = [blob(f"{number}") for number in range(3)]
        await put_all(metadata, versions)
        ids = [BlobId(f"{number}") for number in range(5)]
        choice = random.Random(1)  # noqa: S311
        changed = list[ObjectKey]()

        async def change() -> None:
            source, target = choice.sample(ids, 2)
            kind = choice.randrange(4)
            if kind < 2:
                await copy(metadata, source, target)
            elif kind == 2:
                await delete(metadata, target, LONG)
            else:
                for found in islice(await metadata.trash.between("", 0, None, 5), 2):
                    await (restore(metadata, found.key) if choice.random() < 0.6 else purge(metadata, found.key))
                await release(metadata, 2)

        for _ in range(12):
            ended = await outcomes(*(change() for _ in range(6)))
            assert {*ended} <= {None, Kind.NOT_FOUND, Kind.ROLLED_BACK}
            await release_all(metadata)
            changed += await garbage(metadata)
            used = {each.content.key for each in await metadata.blobs.between("", None, 100)}
            used |= {each.blob.content.key for each in await metadata.trash.between("", 0, None, 1000)}
            assert sorted([*changed, *used]) == sorted(version.content.key for version in versions)
        for each in await all_ids(metadata):
            await delete(metadata, BlobId(each))
        for found in await metadata.trash.between("", 0, None, 1000):
            await purge(metadata, found.key)
        await release_all(metadata)
        assert sorted(changed + await garbage(metadata)) == sorted(version.content.key for version in versions)


class SegmentsContract(Contract):
    """Contents of several segments, and their digests."""

    async def test_segments_are_read_from_a_position(self, metadata: Metadata) -> None:
        segments = [*segments_of([10, 1, 2**40]), *segments_of([5])]
        segments[3] = replace(segments[3], start=segments[2].stop, location=location("s3"))
        version = segmented("a", segments)
        await add_segmented(metadata, version, segments)
        await add_segmented(metadata, other := segmented("b", of_other := segments_of([7, 7])), of_other)
        key = version.content.key
        async with metadata() as work:
            for reader in (metadata.contents, work.contents):
                for position, first in [(0, 0), (1, 0), (9, 0), (10, 1), (11, 2), (12, 2), (segments[2].stop - 1, 2)]:
                    assert await reader.segments(key, position, 10) == segments[first:]
                assert await reader.segments(key, segments[3].start, 10) == segments[3:]
                assert await reader.segments(key, segments[3].stop - 1, 10) == segments[3:]
                assert await reader.segments(key, segments[3].stop, 10) == []
                assert await reader.segments(key, segments[3].stop + 1, 10) == []
                assert await reader.segments(other.content.key, 8, 10) == of_other[1:]
                assert await reader.segments(ObjectKey.random(), 0, 10) == []
        found = await metadata.blobs.get(version.id)
        assert found == version
        assert (found.content.segments, found.content.composite) == (4, version.content.composite)

    async def test_ten_thousand_segments_are_read_in_pages(self, metadata: Metadata) -> None:
        segments = segments_of([number % 7 + 1 for number in range(10_000)])
        await add_segmented(metadata, version := segmented("a", segments), segments)
        found: list[Segment] = []
        while page := await metadata.contents.segments(version.content.key, found[-1].stop if found else 0, 999):
            assert len(page) == min(999, 10_000 - len(found))
            found += page
        assert found == segments
        middle = segments[7777]
        assert await metadata.contents.segments(version.content.key, middle.stop - 1, 2) == segments[7777:7779]
        await delete(metadata, version.id)
        assert await release(metadata) == 1
        assert await garbage(metadata) == names_of(segments)

    async def test_each_segment_of_a_released_content_is_garbage(self, metadata: Metadata) -> None:
        lists = [segments_of([1, 2, 3]), segments_of([4]), segments_of([5, 6])]
        lists[0][1] = replace(lists[0][1], location=location("s3"))
        versions = [segmented(f"{number}", segments) for number, segments in enumerate(lists)]
        await put(metadata, single := blob("single"))
        for version, segments in zip(versions, lists, strict=True):
            await add_segmented(metadata, version, segments)
        for version in (*versions[:2], single):
            await delete(metadata, version.id)
        assert await release(metadata) == 3
        assert await garbage(metadata) == sorted([*names_of(lists[0]), *names_of(lists[1]), single.content.key])
        for version, segments in zip(versions, lists, strict=True):
            left = await metadata.contents.segments(version.content.key, 0, 10)
            assert left == (segments if version is versions[2] else [])
        jobs = [await claim_digest(metadata) for _ in range(2)]
        assert jobs == [DigestJob(versions[2].content.key), None]

    async def test_an_object_is_named_until_it_was_deleted(self, metadata: Metadata) -> None:
        segments, other, nobodys = segments_of([1, 2]), location("s3"), ObjectKey.random()
        segments.append(Segment(other, 3, 1, digest_of("other")))
        keys = names_of(segments)
        assert await named(metadata, *keys) == set()
        await add_segmented(metadata, version := segmented("a", segments), segments)
        await put(metadata, single := blob("single"))
        keys.append(single.content.key)
        assert await named(metadata, *keys, nobodys) == {*keys}
        assert await metadata.named("fs", [other.key]) == set()
        for blob_id in (version.id, single.id):
            await delete(metadata, blob_id)
        assert await named(metadata, *keys, nobodys) == {*keys}
        await release(metadata)
        assert await named(metadata, *keys, nobodys) == {*keys}

        async def deleted(work: UnitOfWork) -> None:
            for backend in BACKENDS:
                await work.garbage.deleted(await work.garbage.claim(backend, 10, LONG), NOW)

        await in_a_unit(metadata, deleted)
        assert await named(metadata, *keys, nobodys, version.content.key) == set()

    # Digests

    async def test_a_digest_is_computed_by_one_at_a_time(self, metadata: Metadata) -> None:
        keys = []
        for number in range(5):
            await add_segmented(metadata, version := segmented(f"{number}", made := segments_of([1])), made)
            keys.append(version.content.key)
        async with metadata() as work:
            jobs = [await work.contents.claim_digest(LONG)]
            others = [asyncio.create_task(claim_digest(metadata)) for _ in range(6)]
            await asyncio.wait(others, timeout=0.2)  # where units take turns, the others wait for this one
            await work.commit()
        jobs += await asyncio.gather(*others)
        while (job := await claim_digest(metadata)) is not None:  # where another unit had locked it
            jobs.append(job)
        assert sorted(job.content for job in jobs if job is not None) == sorted(keys)
        assert {(job.hashed, job.state, job.digest) for job in jobs if job is not None} == {(0, None, None)}

    async def test_a_claim_lasts_for_its_lease(self, metadata: Metadata) -> None:
        await add_segmented(metadata, version := segmented("a", made := segments_of([1])), made)
        for _ in range(2):
            assert await claim_digest(metadata, NOW) == DigestJob(version.content.key)
        assert await claim_digest(metadata, SOON) == DigestJob(version.content.key)
        until = await self.now(metadata) + SOON
        early = await claim_digest(metadata, NOW)
        assert early is None or await self.now(metadata) >= until
        await self.wait_until(metadata, until)
        assert await claim_digest(metadata) == DigestJob(version.content.key)
        assert await claim_digest(metadata) is None

    async def test_the_state_of_a_digest_is_kept(self, metadata: Metadata) -> None:
        await add_segmented(metadata, version := segmented("a", made := segments_of([2**41, 1])), made)
        job = await claim_digest(metadata)
        assert job is not None
        for hashed, state in ((2**40 + 1, bytes(range(256))), (2**41, None), (2**41 + 1, b"")):
            job = DigestJob(version.content.key, hashed, state)
            assert await keep_digest(metadata, job, NOW)
            assert await claim_digest(metadata, NOW) == job
        assert await keep_digest(metadata, job, LONG)
        assert await claim_digest(metadata) is None
        await delete(metadata, version.id)
        await release(metadata)
        assert not await keep_digest(metadata, job, LONG)
        assert not await keep_digest(metadata, DigestJob(ObjectKey.random()), NOW)
        assert await claim_digest(metadata) is None

    async def test_a_digest_is_set_in_each_version(self, metadata: Metadata) -> None:
        digest, segments = digest_of("all"), segments_of([1, 2])
        await add_segmented(metadata, version := segmented("a", segments), segments)
        await add_segmented(metadata, other := segmented("other", made := segments_of([3])), made)
        await put(metadata, single := blob("single"))
        await copy(metadata, version.id, BlobId("b"))
        await copy(metadata, version.id, BlobId("c"))
        etag = (await metadata.blobs.get(version.id)).etag
        await delete(metadata, BlobId("c"), LONG)
        await set_digest(metadata, version.content.key, digest, LONG)
        found = [await metadata.blobs.get(BlobId(blob_id)) for blob_id in "ab"]
        found += [each.blob for each in await metadata.trash.between("", 0, None, 10)]
        assert [each.content.digest for each in found] == [digest] * 3
        assert {each.etag for each in found} == {etag}
        assert (await metadata.blobs.get(other.id)).content.digest is None
        assert await metadata.blobs.get(single.id) == single
        job = await claim_digest(metadata)
        assert job is not None
        assert job.content == other.content.key
        assert await claim_digest(metadata) is None

    async def test_a_digest_is_set_again_for_versions_that_missed_it(self, metadata: Metadata) -> None:
        digest, segments = digest_of("all"), segments_of([1, 2])
        await add_segmented(metadata, version := segmented("a", segments), segments)
        await set_digest(metadata, version.content.key, digest, SOON)
        until = await self.now(metadata) + SOON
        await put(metadata, replace(version, id=BlobId("missed")))
        await self.wait_until(metadata, until)
        for lease in (NOW, LONG):
            job = await claim_digest(metadata, lease)
            assert job is not None
            assert (job.content, job.digest) == (version.content.key, digest)
        assert await keep_digest(metadata, DigestJob(version.content.key), NOW)
        job = await claim_digest(metadata)
        assert job is not None
        assert job.digest == digest
        await set_digest(metadata, version.content.key, digest, NOW)
        assert (await metadata.blobs.get(BlobId("missed"))).content.digest == digest
        assert await claim_digest(metadata) is None
        assert not await keep_digest(metadata, job, NOW)

    async def test_a_digest_of_a_released_content_is_ignored(self, metadata: Metadata) -> None:
        segments = segments_of([1, 2])
        await add_segmented(metadata, version := segmented("a", segments), segments)
        assert await claim_digest(metadata, NOW) is not None
        await delete(metadata, version.id)
        await release(metadata)
        await set_digest(metadata, version.content.key, digest_of("late"), NOW)
        await set_digest(metadata, version.content.key, digest_of("late"), LONG)
        assert await claim_digest(metadata) is None
        assert not await keep_digest(metadata, DigestJob(version.content.key), NOW)


class MultipartContract(Contract):
    """Uploads of several parts."""

    async def test_an_upload_is_found_as_it_was_added(self, metadata: Metadata) -> None:
        uploads = [
            upload_to("☺ é", properties=FULL, size=2**62, blob_expires_at=FUTURE),
            upload_to(None, size=0, blob_expires_in=timedelta(days=1000, microseconds=1)),
            *(upload_to(checksum_algorithm="CRC32C", is_composite=each) for each in (False, True)),
            upload_to("x" * 2048),
        ]
        for upload in uploads:
            before = await self.now(metadata)
            added = await begin(metadata, upload)
            after = await self.now(metadata)
            assert before <= added.created_at <= after
            assert added.expires_at - LONG - added.created_at <= after - before
            assert added == replace(upload, created_at=added.created_at, expires_at=added.expires_at)
            async with metadata() as work:
                for reader in (metadata.multipart, work.multipart):
                    assert await reader.find(upload.key) == added
        assert await metadata.multipart.find(ObjectKey.random()) is None

    async def test_uploads_are_listed_by_their_ids_and_keys(self, metadata: Metadata) -> None:
        ids = ["a/1", None, "B", "a/2", "☺", "a/1", None, "a", "\U0010ffff", "a/1", None]
        added = [await begin(metadata, upload_to(each)) for each in ids]
        added.sort(key=lambda each: ((each.id.value if each.id else "").encode(), each.key.value))
        between = metadata.multipart.between
        assert await between("", None, None, 100) == added
        for position, each in enumerate(added):
            start = each.id.value if each.id else ""
            assert await between(start, each.key, None, 3) == added[position + 1 : position + 4]
        below = [each for each in added if each.id and each.id.value.startswith("a/")]
        assert await between("a/", None, "a0", 100) == below
        assert await between("a/", None, "a0", 2) == below[:2]
        assert await between("a/1", below[0].key, "a/2", 100) == below[1:3]
        assert await between("a/1", None, "a/1", 100) == []

    async def test_an_expired_upload_is_not_found(self, metadata: Metadata) -> None:
        over = await begin(metadata, upload_to(), SOON)
        added = await begin(metadata, upload_to())
        assert await metadata.multipart.find(over.key) == over
        await self.wait_until(metadata, over.expires_at)
        async with metadata() as work:
            for reader in (metadata.multipart, work.multipart):
                assert await reader.find(over.key) is None
                assert await reader.between("", None, None, 10) == [added]
                assert await reader.between("", None, None, 1) == [added]
            assert await work.multipart.lock(over.key, LONG) is None
            await work.commit()
        assert await metadata.multipart.find(over.key) is None

    async def test_a_lock_renews_an_upload(self, metadata: Metadata) -> None:
        added = await begin(metadata, upload_to(properties=FULL), 2 * SOON)
        before = await self.now(metadata)
        locked = await lock(metadata, added.key)
        assert locked is not None
        assert before + LONG <= locked.expires_at <= await self.now(metadata) + LONG
        assert locked == replace(added, expires_at=locked.expires_at)
        assert await metadata.multipart.find(added.key) == locked
        assert await lock(metadata, ObjectKey.random()) is None
        shorter = await lock(metadata, added.key, SOON)
        assert shorter is not None
        await self.wait_until(metadata, shorter.expires_at)
        assert await lock(metadata, added.key) is None

    async def test_a_locked_upload_is_changed_by_no_other_unit(self, metadata: Metadata) -> None:
        added = await begin(metadata, upload_to())

        async def put_first(work: UnitOfWork) -> None:
            assert await work.multipart.lock(added.key, LONG) is not None
            await work.multipart.put_part(added.key, part(1, 5))

        locked = await after_another(metadata, put_first, lambda work: work.multipart.lock(added.key, LONG))
        assert isinstance(locked, MultipartUpload)
        assert locked.received == 5
        assert await after_another(metadata, put_first, lambda work: work.multipart.discard(added.key))
        assert len(await garbage(metadata)) == 1
        again = await begin(metadata, upload_to())

        async def discard(work: UnitOfWork) -> None:
            assert await work.multipart.discard(again.key)

        assert await after_another(metadata, discard, lambda work: work.multipart.lock(again.key, LONG)) is None

    async def test_parts_are_listed_by_their_numbers(self, metadata: Metadata) -> None:
        added, other = await begin(metadata, upload_to()), await begin(metadata, upload_to())
        parts = [part(number, size, BACKENDS[number % 2]) for number, size in ((7, 0), (1, 2**40), (10_000, 1), (3, 4))]
        for each in parts:
            assert await put_part(metadata, added.key, each) is None
        await put_part(metadata, other.key, part(2))
        parts.sort(key=lambda each: each.number)
        async with metadata() as work:
            for reader in (metadata.multipart, work.multipart):
                assert await reader.parts(added.key, 0, 10) == parts
                assert await reader.parts(added.key, 1, 10) == parts[1:]
                assert await reader.parts(added.key, 2, 2) == parts[1:3]
                assert await reader.parts(added.key, 10_000, 10) == []
                assert await reader.parts(ObjectKey.random(), 0, 10) == []

    async def test_a_part_replaces_the_one_before(self, metadata: Metadata) -> None:
        added = await begin(metadata, upload_to())
        versions = [part(2, size) for size in (10, 2**41, 0, 7)]
        await put_part(metadata, added.key, one := part(1, 100))
        former = None
        for version in versions:
            assert await put_part(metadata, added.key, version) == former
            found = await metadata.multipart.find(added.key)
            assert found is not None
            assert found.received == 100 + version.size
            assert await metadata.multipart.parts(added.key, 0, 10) == [one, version]
            former = version
        assert await garbage(metadata) == []

    async def test_racing_parts_all_count(self, metadata: Metadata) -> None:
        added = await begin(metadata, upload_to())
        parts = [part(number % 5 + 1, 2**number) for number in range(20)]
        replaced = await asyncio.gather(*(put_part(metadata, added.key, each) for each in parts))
        left = await metadata.multipart.parts(added.key, 0, 10)
        found = await metadata.multipart.find(added.key)
        assert found is not None
        assert found.received == sum(each.size for each in left)
        gone = [each.location.key for each in replaced if each is not None]
        assert sorted([*gone, *(each.location.key for each in left)]) == sorted(each.location.key for each in parts)

    async def test_a_part_has_one_writer(self, metadata: Metadata) -> None:
        added, other = await begin(metadata, upload_to()), await begin(metadata, upload_to())
        first, second, two, others = location(), location("s3"), location(), location()
        assert await reserve(metadata, added.key, 1, first) == []
        assert await reserve(metadata, added.key, 2, two) == []
        assert await reserve(metadata, other.key, 1, others) == []
        assert await reserve(metadata, added.key, 1, second) == [first]
        async with metadata() as work:
            assert not await work.uploads.renew(first.key, LONG)
            for each in (second, two, others):
                assert await work.uploads.renew(each.key, LONG)
            assert not await work.uploads.remove(first.key)
            assert await work.uploads.remove(second.key)
            await work.commit()
        assert await reserve(metadata, added.key, 1, third := location(), NOW) == []
        assert await in_a_unit(metadata, lambda work: work.uploads.remove_expired("fs", 10)) == [third]
        assert await reserve(metadata, added.key, 1, location()) == []

    async def test_of_racing_writers_of_a_part_one_is_left(self, metadata: Metadata) -> None:
        added = await begin(metadata, upload_to())
        places = [location() for _ in range(8)]
        ended = await asyncio.gather(*(reserve(metadata, added.key, 1, each) for each in places))
        former = [each for some in ended for each in some]
        async with metadata() as work:
            left = [each for each in places if await work.uploads.renew(each.key, LONG)]
        assert len(left) == 1
        assert sorted([*former, *left], key=repr) == sorted(places, key=repr)

    async def test_parts_are_in_progress_while_they_are_written(self, metadata: Metadata) -> None:
        added, other = await begin(metadata, upload_to()), await begin(metadata, upload_to())
        first, second = location(), location()
        assert await parts_in_progress(metadata, added.key) == set()
        await reserve(metadata, added.key, 1, first)
        await reserve(metadata, added.key, 3, second)
        await reserve(metadata, added.key, 4, location(), NOW)
        await reserve(metadata, other.key, 5, location())
        await in_a_unit(metadata, lambda work: work.uploads.add(location(), LONG))
        assert await parts_in_progress(metadata, added.key) == {1, 3}
        await in_a_unit(metadata, lambda work: work.uploads.remove(first.key))
        assert await parts_in_progress(metadata, added.key) == {3}
        await in_a_unit(metadata, lambda work: work.uploads.renew(second.key, NOW))
        assert await parts_in_progress(metadata, added.key) == set()

    async def test_objects_of_parts_are_named(self, metadata: Metadata) -> None:
        added = await begin(metadata, upload_to())
        kept, replaced, reserved = part(1), part(2, backend="s3"), location("s3")
        for each in (kept, replaced):
            await put_part(metadata, added.key, each)
        await reserve(metadata, added.key, 3, reserved)
        keys = [kept.location.key, replaced.location.key, reserved.key]
        assert await named(metadata, *keys) == {*keys}
        await put_part(metadata, added.key, part(2))
        assert await named(metadata, *keys) == {kept.location.key, reserved.key}
        await in_a_unit(metadata, lambda work: work.multipart.discard(added.key))
        assert await named(metadata, *keys) == {kept.location.key, reserved.key}
        await in_a_unit(metadata, lambda work: work.uploads.remove(reserved.key))
        assert await named(metadata, *keys) == {kept.location.key}

    async def test_a_removed_upload_leaves_the_objects_of_its_parts(self, metadata: Metadata) -> None:
        added, other = await begin(metadata, upload_to()), await begin(metadata, upload_to())
        for key in (added.key, other.key):
            await put_part(metadata, key, part(1))
        assert await in_a_unit(metadata, lambda work: work.multipart.remove(added.key))
        assert not await in_a_unit(metadata, lambda work: work.multipart.remove(added.key))
        assert await metadata.multipart.find(added.key) is None
        assert await metadata.multipart.parts(added.key, 0, 10) == []
        assert len(await metadata.multipart.parts(other.key, 0, 10)) == 1
        assert await lock(metadata, added.key) is None
        assert await garbage(metadata) == []

    async def test_a_discarded_upload_leaves_garbage(self, metadata: Metadata) -> None:
        added, other = await begin(metadata, upload_to()), await begin(metadata, upload_to())
        parts = [part(number, backend=backend) for number, backend in enumerate(BACKENDS, start=1)]
        for each in parts:
            await put_part(metadata, added.key, each)
        await put_part(metadata, other.key, part(1))
        assert await in_a_unit(metadata, lambda work: work.multipart.discard(added.key))
        assert not await in_a_unit(metadata, lambda work: work.multipart.discard(added.key))
        assert not await in_a_unit(metadata, lambda work: work.multipart.remove(added.key))
        assert await metadata.multipart.parts(added.key, 0, 10) == []
        assert await metadata.multipart.between("", None, None, 10) == [await metadata.multipart.find(other.key)]
        assert await garbage(metadata) == sorted(each.location.key for each in parts)

    async def test_expired_uploads_are_discarded(self, metadata: Metadata) -> None:
        parts = [part(1) for _ in range(5)]
        uploads = [await begin(metadata, upload_to()) for _ in parts]
        for upload, each in zip(uploads, parts, strict=True):
            await put_part(metadata, upload.key, each)

        async def discard_expired(limit: int) -> int:
            return await in_a_unit(metadata, lambda work: work.multipart.discard_expired(limit))

        assert await discard_expired(10) == 0
        for upload in uploads[:3]:
            await lock(metadata, upload.key, NOW)
        assert [await discard_expired(2) for _ in range(3)] == [2, 1, 0]
        assert await garbage(metadata) == sorted(each.location.key for each in parts[:3])
        assert len(await metadata.multipart.between("", None, None, 10)) == 2
        assert await metadata.multipart.parts(uploads[0].key, 0, 10) == []

    async def test_an_upload_ends_once(self, metadata: Metadata) -> None:
        uploads = [await begin(metadata, upload_to(), NOW) for _ in range(10)]
        parts = [part(1) for _ in uploads]
        for upload, each in zip(uploads, parts, strict=True):
            await in_a_unit(metadata, lambda work, at=upload.key, it=each: work.multipart.put_part(at, it))  # type: ignore[misc]

        async def discard(upload: MultipartUpload) -> int:
            return int(await in_a_unit(metadata, lambda work: work.multipart.discard(upload.key)))

        async def discard_expired() -> int:
            return await in_a_unit(metadata, lambda work: work.multipart.discard_expired(3))

        ended = await asyncio.gather(*map(discard, uploads[:5]), *(discard_expired() for _ in range(6)))
        while count := await discard_expired():
            ended.append(count)
        assert sum(ended) == 10
        assert await garbage(metadata) == sorted(each.location.key for each in parts)


class CommitsContract(Contract):
    """Marks of committed units."""

    async def test_a_mark_is_added_once(self, metadata: Metadata) -> None:
        first, second = ObjectKey.random(), ObjectKey.random()
        assert await add_mark(metadata, first)
        assert not await add_mark(metadata, first)
        assert await add_mark(metadata, second)
        async with metadata() as work:
            assert not await work.commits.add(first)
            assert await work.commits.add(third := ObjectKey.random())
            assert not await work.commits.add(third)
        assert await add_mark(metadata, third)

    async def test_a_mark_is_added_by_one(self, metadata: Metadata) -> None:
        key = ObjectKey.random()
        added = await asyncio.gather(*(add_mark(metadata, key) for _ in range(10)))
        assert sorted(added) == [False] * 9 + [True]

    @pytest.mark.parametrize("commits", [True, False])
    async def test_a_mark_waits_for_the_outcome_of_others(self, metadata: Metadata, commits: bool) -> None:
        key = ObjectKey.random()
        added = await after_another(
            metadata, lambda work: work.commits.add(key), lambda work: work.commits.add(key), commits=commits
        )
        assert added is not commits

    async def test_old_marks_are_removed(self, metadata: Metadata) -> None:
        keys = [ObjectKey.random() for _ in range(5)]
        for key in keys:
            await add_mark(metadata, key)

        async def remove_old(age: timedelta, limit: int) -> int:
            return await in_a_unit(metadata, lambda work: work.commits.remove_old(age, limit))

        assert await remove_old(LONG, 10) == 0
        assert not await add_mark(metadata, keys[0])
        assert [await remove_old(NOW, 3) for _ in range(3)] == [3, 2, 0]
        assert await add_mark(metadata, keys[0])


class UnitsContract(Contract):
    """Changes happen together or not at all."""

    async def begin(self, metadata: Metadata) -> Sequence[Change[object]]:
        """Commit rows of each kind, and return one change of each kind, in the order in which to make them."""
        segments, of_trashed, of_new = segments_of([1, 2]), segments_of([3]), segments_of([4, 5])
        version, trashed = segmented("a/1", segments), segmented("a/2", of_trashed)
        await add_segmented(metadata, version, segments)
        await add_segmented(metadata, trashed, of_trashed)
        await delete(metadata, trashed.id)
        await put_all(metadata, [blob("b/1"), blob("b/2"), expiring(blob("over"), PAST), blob("c/1")])
        await copy(metadata, BlobId("b/1"), BlobId("b/3"))
        kept, purged = await trash(metadata, blob("d")), await trash(metadata, blob("d"))
        upload, removed, discarded = [await begin(metadata, upload_to()) for _ in range(3)]
        await begin(metadata, upload_to(), NOW)
        for each in (upload, removed, discarded):
            await put_part(metadata, each.key, part(1))
            await reserve(metadata, each.key, 1, location())
        await add_mark(metadata, ObjectKey.random())
        job = DigestJob(version.content.key, 1, b"state")

        async def share(work: UnitOfWork) -> object:
            return await work.contents.share(await work.blobs.lock(BlobId("c/1"), ANY))

        async def share_segment(work: UnitOfWork) -> object:
            await work.blobs.lock(version.id, ANY)
            return await work.contents.share_segment(version.content.key, 1)

        async def release_object(work: UnitOfWork) -> object:
            await work.contents.release([segments[1].location])
            return None

        return [
            lambda work: work.blobs.put(Draft(BlobId("e"), blob().content, FULL, expires_in=LONG), CREATE_ONLY),
            lambda work: work.blobs.put(version.draft(), ANY),
            share,
            share_segment,
            release_object,
            lambda work: work.blobs.move_between("b/", "b0", "b/", "b/b/"),
            lambda work: work.trash.move([BlobId("b/b/2")], LONG, NOW),
            lambda work: work.trash.move_expired(10, NOW),
            lambda work: work.trash.remove(kept.key),
            lambda work: work.trash.purge(purged.key, NOW),
            lambda work: work.trash.hold(purged.blob.content.key, LONG),
            lambda work: work.contents.claim_digest(LONG),
            lambda work: work.contents.keep_digest(job, LONG),
            lambda work: work.contents.set_digest(version.content.key, digest_of("all"), LONG),
            lambda work: work.contents.add(ObjectKey.random(), of_new),
            lambda work: work.trash.release(10),
            lambda work: work.multipart.add(upload_to(), LONG),
            lambda work: work.multipart.lock(upload.key, 2 * LONG),
            lambda work: work.multipart.reserve(upload.key, 1, location(), LONG),
            lambda work: work.multipart.put_part(upload.key, part(1)),
            lambda work: work.multipart.put_part(upload.key, part(2)),
            lambda work: work.multipart.remove(removed.key),
            lambda work: work.multipart.discard(discarded.key),
            lambda work: work.multipart.discard_expired(10),
            lambda work: work.commits.add(ObjectKey.random()),
            lambda work: work.commits.remove_old(NOW, 10),
        ]

    @pytest.mark.parametrize("leave", [without_a_commit, by_a_fault, by_a_refusal, by_a_cancellation])
    async def test_a_unit_that_is_not_committed_changes_nothing(self, metadata: Metadata, leave: Leave) -> None:
        async def unit(steps: int) -> None:
            async with metadata() as work:
                for change in changes[:steps]:
                    assert await change(work) not in (False, 0)
                await leave(work)

        changes = await self.begin(metadata)
        await put(metadata, blob("old"))
        rows, seen = await self.rows(metadata), await self._seen(metadata)
        for steps in range(len(changes) + 1):
            leaving = asyncio.create_task(unit(steps))
            await asyncio.wait({leaving})
            error = None if leaving.cancelled() else leaving.exception()
            assert not isinstance(error, AssertionError), f"change {steps} changes nothing"
            assert await self.rows(metadata) == rows, f"changed by a unit with {steps} changes"
            assert await self._seen(metadata) == seen, f"changed by a unit with {steps} changes"

    async def test_each_change_of_a_committed_unit_is_made(self, metadata: Metadata) -> None:
        changes = await self.begin(metadata)
        rows, seen = [await self.rows(metadata)], [await self._seen(metadata)]
        for change in changes:
            await in_a_unit(metadata, change)
            rows.append(await self.rows(metadata))
            seen.append(await self._seen(metadata))
            assert rows[-1] != rows[-2] or not rows[-1]
        assert seen[-1] != seen[0]

    async def _seen(self, metadata: Metadata) -> list[object]:
        """Return what the readers show."""
        blobs = await metadata.blobs.by_content(None, 1000)
        return [
            *((each, each.current_since, each.content.digest, each.content.is_shared) for each in blobs),
            *await metadata.trash.between("", 0, None, 1000),
            *[await metadata.contents.segments(each.content.key, 0, 1000) for each in blobs if each.content.segments],
            *(uploads := await metadata.multipart.between("", None, None, 1000)),
            *[await metadata.multipart.parts(each.key, 0, 1000) for each in uploads],
            *((each.backend, each.uploads, each.garbage, each.due) for each in await metadata.backlog()),
        ]


class ContentsContract(
    VersionsContract,
    ChecksumsContract,
    TrashContract,
    SharingContract,
    SegmentsContract,
    MultipartContract,
    CommitsContract,
    UnitsContract,
):
    """All suites."""
