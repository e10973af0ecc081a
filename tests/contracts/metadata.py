"""The contract of the metadata's ports: `BlobReader`, the repositories, and the unit of work."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from typing import Protocol, TypeVar

import pytest

from application.ports.blob_store import BlobStore
from application.ports.buckets import BucketReader
from application.ports.contents import ContentReader, MultipartReader, TrashReader
from application.ports.keys import KeyReader
from application.ports.metadata import (
    Backlog,
    BlobReader,
    Garbage,
    KnownStorage,
    Published,
    UnitOfWork,
    UnitOfWorkFactory,
    common_prefix,
)
from application.ports.moves import MoveReader
from application.ports.shares import ShareReader
from application.ports.verifications import VerificationReader
from application.repeat import repeated
from domain.blob import Blob, BlobId, Content, Digest, Draft, Location, ObjectKey
from domain.errors import BlobError, Kind
from domain.precondition import ANY, CREATE_ONLY, Precondition
from domain.properties import Properties
from tests.contracts.blob_store import keys, never, pattern, read, refused
from tests.contracts.leftovers import no_task_left
from tests.ids import NASTY

T = TypeVar("T")

NOW = timedelta(0)
LONG = timedelta(hours=1)

BACKENDS = ["fs", "s3", "ftp", "fs", "a backend's name"] * 6

SIZES = [0, 1, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1]
CONTENT_TYPES = ["", "a/b", "A/B", "a/b ", 'x/y; name="é☺\\"', *("x" * length for length in (127, 255, 256, 1000))]
CONTENT_ENCODINGS = ["", "gzip", "br, gzip", *("x" * length for length in (127, 255, 256, 1000))]
DIGESTS = [bytes(32), b"\xff" * 32, b" " * 32, b"a" + bytes(31), bytes(31) + b"a", bytes(range(224, 256))]
LAST = "\U0010ffff"
# Characters that sort below a delimiter, beside it and far behind it, and as many of the last as there can be.
BESIDE_DELIMITERS = [
    *(f"a{beside}{end}" for beside in ("", "!", ".", "/", "0", "é", "☺", LAST) for end in ("", "/", "/b", f"/{LAST}b")),
    *(f"a/{behind}" for behind in ("b", "b/c", "\ue000", "\uffff", "😀", LAST, LAST * 2, LAST * 511)),
    LAST * 511,
    LAST * 512,
]


class Metadata(UnitOfWorkFactory, Protocol):
    """The adapter under test: units of work, and readers outside them."""

    blobs: BlobReader
    trash: TrashReader
    contents: ContentReader
    multipart: MultipartReader
    keys: KeyReader
    moves: MoveReader
    shares: ShareReader
    buckets: BucketReader
    verifications: VerificationReader

    @abstractmethod
    async def backlog(self) -> Sequence[Backlog]: ...

    @abstractmethod
    async def known_storage(self, backend: str) -> KnownStorage | None: ...

    @abstractmethod
    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]: ...


class Fault(Exception):
    """An unrelated error inside a unit of work."""


def blob(blob_id: str = "k5", *, size: int = 12, content_type: str = "text/plain") -> Blob:
    """Return a version of a blob with a location of its own. Its time is not that of the database."""
    content = Content(location(), size, Digest(size.to_bytes(32, "big")))
    return Blob(BlobId(blob_id), content, Properties(content_type), datetime(2023, 10, 27, 10, tzinfo=UTC))


def placed(version: Blob, where: Location) -> Blob:
    """Return a version with the same bytes at another location."""
    return replace(version, content=replace(version.content, location=where))


def encoded(version: Blob, content_encoding: str) -> Blob:
    """Return a version with another content encoding."""
    return replace(version, properties=replace(version.properties, content_encoding=content_encoding))


def with_digest(version: Blob, digest: Digest) -> Blob:
    """Return a version with other bytes of the same size."""
    return replace(version, content=replace(version.content, digest=digest))


def draft_of(version: Blob) -> Draft:
    """Return a draft with the values of a version, but not with its times."""
    return replace(version.draft(), created_at=None)


def location(backend: str = "fs") -> Location:
    return Location(backend, ObjectKey.random())


def storage(backend: str = "fs", interval: timedelta = LONG) -> KnownStorage:
    """Return a storage with unique markers."""
    return KnownStorage(backend, ObjectKey.random(), ObjectKey.random(), interval)


async def know(metadata: Metadata, known: KnownStorage) -> bool:
    async with metadata() as work:
        added = await work.storages.add(known)
        await work.commit()
        return added


async def swap(metadata: Metadata, known: KnownStorage, new: KnownStorage, *, if_due: bool = False) -> bool:
    async with metadata() as work:
        replace_it = work.storages.replace_if_due if if_due else work.storages.replace
        replaced = await replace_it(known, new)
        await work.commit()
        return replaced


async def put(metadata: Metadata, version: Blob, precondition: Precondition = ANY) -> Blob | None:
    """Put a version in a unit of its own, and return the version that it replaced."""
    return (await publish(metadata, version, precondition)).replaced


async def publish(metadata: Metadata, version: Blob, precondition: Precondition = ANY) -> Published:
    return await in_a_unit(metadata, lambda work: work.blobs.put(draft_of(version), precondition))


async def remove(metadata: Metadata, blob_id: BlobId, precondition: Precondition = ANY) -> Blob:
    return await in_a_unit(metadata, lambda work: work.blobs.remove(blob_id, precondition))


async def throw_away(metadata: Metadata, version: Blob, after: timedelta) -> None:
    """Put a version into the trash. It can be restored, and its content is kept, for `after` from now."""
    await in_a_unit(metadata, lambda work: work.trash.add(version, after, after))


async def release(metadata: Metadata, limit: int = 10) -> int:
    return await in_a_unit(metadata, lambda work: work.trash.release(limit))


async def hold(metadata: Metadata, content: ObjectKey, lease: timedelta) -> bool:
    return await in_a_unit(metadata, lambda work: work.trash.hold(content, lease))


async def add_object(metadata: Metadata, key: ObjectKey, data: bytes) -> bool:
    return await in_a_unit(metadata, lambda work: work.objects.add(key, data))


async def in_a_unit(metadata: Metadata, change: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    """Make a change in a unit of its own, again if that is rolled back."""

    async def unit() -> T:
        async with metadata() as work:
            result = await change(work)
            await work.commit()
            return result

    return await repeated(unit)


async def outcomes(*racing: object) -> list[object]:
    """Return the result of each, or the kind of its error."""
    ended = await asyncio.gather(*racing, return_exceptions=True)  # type: ignore[call-overload]
    return [outcome.kind if isinstance(outcome, BlobError) else outcome for outcome in ended]


@dataclass(frozen=True)
class There:
    """The rows that exist before a unit changes them."""

    old: Blob
    gone: Blob
    kept: Location
    running: Location
    over: Location
    held: Blob
    released: Blob
    due: Garbage
    storage: KnownStorage


def changes(work: UnitOfWork, there: There) -> list[Callable[[], Awaitable[object]]]:
    """Return one change of each kind, in the order in which to make them."""
    return [
        lambda: work.blobs.put(draft_of(blob("new")), CREATE_ONLY),
        lambda: work.blobs.put(draft_of(blob("old", size=2)), ANY),
        lambda: work.blobs.remove(there.gone.id, ANY),
        lambda: work.uploads.add(location(), NOW),
        lambda: work.uploads.remove(there.kept.key),
        lambda: work.uploads.renew(there.running.key, NOW),
        lambda: work.uploads.remove_expired("fs", 10),
        lambda: work.garbage.add(Garbage(location()), NOW),
        lambda: work.garbage.add_each([Garbage(location()), Garbage(location(), 2)], NOW),
        lambda: work.trash.add(there.gone, LONG, LONG),
        lambda: work.trash.hold(there.held.content.key, 2 * LONG),
        lambda: work.trash.release(10),
        lambda: work.garbage.claim("fs", 10, LONG),
        lambda: work.garbage.unclaim([there.due]),
        lambda: work.garbage.deleted([there.due], LONG),
        lambda: work.storages.add(storage("another")),
        lambda: work.storages.replace_if_due(there.storage, there.storage),
        lambda: work.storages.replace(there.storage, storage()),
        lambda: work.objects.add(ObjectKey.random(), b"small"),
        lambda: work.commits.add(ObjectKey.random()),
    ]


# How a unit ends that is not committed.


async def without_a_commit(work: UnitOfWork) -> None:
    """Return without a commit."""


async def by_a_fault(work: UnitOfWork) -> None:
    raise Fault


async def by_a_refusal(work: UnitOfWork) -> None:
    await work.blobs.put(draft_of(blob("old")), CREATE_ONLY)


async def by_a_cancellation(work: UnitOfWork) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await never()


Leave = Callable[[UnitOfWork], Awaitable[None]]
LEFT = [without_a_commit, by_a_fault, by_a_refusal, by_a_cancellation]


def _id_of(version: Blob) -> bytes:
    return version.id.value.encode()


class MetadataContract:
    """The promises of every metadata adapter. An adapter adds a subclass with a fixture `metadata`: an empty one.

    And `now` and `store`. No task may be under way after a case. An adapter with tables overrides `rows`.
    """

    async def rows(self, metadata: Metadata) -> list[str]:
        """Return the content of all tables, in any form that differs if the content does."""
        return []

    def store(self, metadata: Metadata) -> BlobStore:
        """Return the storage that has the small objects."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    async def _nothing_is_left(self) -> AsyncIterator[None]:
        async with no_task_left():
            yield

    # Blobs

    async def test_a_blob_is_read_as_it_was_put(self, metadata: Metadata) -> None:
        version = blob(size=2**40 + 1, content_type="image/svg+xml; charset=utf-8")
        version = encoded(version, "gzip, br")
        assert await put(metadata, version) is None
        for _ in range(2):
            assert await metadata.blobs.get(version.id) == version
        async with metadata() as work:
            assert await work.blobs.get(version.id) == version

    @pytest.mark.parametrize(
        "versions",
        [
            [blob(f"{size} bytes", size=size) for size in SIZES],
            [blob(f"{number}", content_type=content_type) for number, content_type in enumerate(CONTENT_TYPES)],
            [with_digest(blob(sha256.hex()), Digest(sha256)) for sha256 in DIGESTS],
            [encoded(blob(f"{number}"), coding) for number, coding in enumerate(CONTENT_ENCODINGS)],
        ],
        ids=["sizes", "content types", "digests", "content encodings"],
    )
    async def test_each_value_is_kept_exactly(self, metadata: Metadata, versions: Sequence[Blob]) -> None:
        for version in versions:
            await put(metadata, version, CREATE_ONLY)
        for _ in range(2):
            assert [await metadata.blobs.get(version.id) for version in versions] == versions

    async def test_no_value_of_a_replaced_version_remains(self, metadata: Metadata) -> None:
        first = blob(content_type="text/html")
        second = encoded(blob(size=2), "gzip")
        for version in (first, second, blob(size=3), second, encoded(second, "br")):
            version = placed(version, location())
            await put(metadata, version)
            assert await metadata.blobs.get(version.id) == version

    # Times

    async def now(self, metadata: Metadata) -> datetime:
        """Return the time by the database's clock."""
        raise NotImplementedError

    async def test_a_blob_has_the_time_of_the_database(self, metadata: Metadata) -> None:
        before = await self.now(metadata)
        published = await publish(metadata, blob())
        after = await self.now(metadata)
        created_at = published.blob.created_at
        assert before <= created_at <= after
        assert before <= (await publish(metadata, blob())).blob.created_at
        await publish(metadata, blob("other"))
        one = await publish(metadata, blob("one"))
        async with metadata() as work:
            found = [await metadata.blobs.get(BlobId("one")), await work.blobs.get(BlobId("one"))]
        found += await metadata.blobs.between("one", None, 1)
        found += [listed for listed in await metadata.blobs.by_content(None, 10) if listed.id == BlobId("one")]
        assert [each.created_at for each in found] == [one.blob.created_at] * 4
        assert [each.sole for each in found] == [True] * 4

    async def test_a_blob_that_is_read_has_the_time_of_the_reading(self, metadata: Metadata) -> None:
        await put(metadata, blob())
        before = await self.now(metadata)
        async with metadata() as work:
            found = [await metadata.blobs.get(BlobId("k5")), await work.blobs.get(BlobId("k5"))]
        after = await self.now(metadata)
        assert all(each.read_at is not None and before <= each.read_at <= after for each in found)

    async def test_each_version_is_later_than_the_one_before(self, metadata: Metadata) -> None:
        published = [(await publish(metadata, blob())).blob for _ in range(10)]
        for before, after in pairwise(published):
            assert before.created_at < after.created_at

    async def test_a_version_that_shares_its_second_is_known_to(self, metadata: Metadata) -> None:
        published = [(await publish(metadata, blob())).blob for _ in range(10)]
        assert published[0].sole
        for before, after in pairwise(published):
            assert after.sole == (before.created_at.replace(microsecond=0) < after.created_at.replace(microsecond=0))
        assert not all(each.sole for each in published)
        assert (await metadata.blobs.get(BlobId("k5"))).sole == published[-1].sole

    async def test_a_version_unmodified_since_a_date_is_replaced_and_no_other(self, metadata: Metadata) -> None:
        first, second = blob(size=1), blob(size=2)
        date = (await publish(metadata, first)).blob.unchanged_since
        for early in (date - timedelta(seconds=1), date - timedelta(days=9000)):
            with refused(Kind.PRECONDITION_FAILED):
                await put(metadata, second, Precondition(unmodified_since=early))
        assert await put(metadata, second, Precondition(unmodified_since=date)) == first
        with refused(Kind.PRECONDITION_FAILED):
            await put(metadata, blob(), Precondition(unmodified_since=date))
        assert await metadata.blobs.get(second.id) == second
        await remove(metadata, second.id)
        with refused(Kind.PRECONDITION_FAILED):
            await put(metadata, blob(), Precondition(unmodified_since=date + timedelta(days=1)))

    async def test_a_version_unmodified_since_a_date_is_removed_and_no_other(self, metadata: Metadata) -> None:
        first, second = blob(size=1), blob(size=2)
        date = (await publish(metadata, first)).blob.unchanged_since
        await put(metadata, second)
        with refused(Kind.PRECONDITION_FAILED):
            await remove(metadata, second.id, Precondition(unmodified_since=date))
        later = (await metadata.blobs.get(second.id)).unchanged_since
        assert await remove(metadata, second.id, Precondition(unmodified_since=later)) == second

    async def test_one_of_many_replacers_since_a_date_wins(self, metadata: Metadata) -> None:
        first = blob(size=100)
        since = Precondition(unmodified_since=(await publish(metadata, first)).blob.unchanged_since)
        versions = [blob(size=size) for size in range(20)]
        ended = await outcomes(*(put(metadata, version, since) for version in versions))
        assert ended.count(Kind.PRECONDITION_FAILED) == 19
        assert await metadata.blobs.get(first.id) == versions[ended.index(first)]

    # Lists

    async def test_blobs_are_listed_by_the_bytes_of_their_ids(self, metadata: Metadata) -> None:
        ids = sorted(NASTY, key=str.encode)
        async with metadata() as work:
            for number, blob_id in enumerate(ids):
                await work.blobs.put(draft_of(blob(blob_id, size=number)), CREATE_ONLY)
            await work.commit()

        async def listed(start: str, stop: str | None, limit: int) -> list[str]:
            return [found.id.value for found in await metadata.blobs.between(start, stop, limit)]

        assert await listed("", None, 1000) == ids
        for position in range(0, len(ids), 7):
            assert await listed(ids[position], None, 3) == ids[position : position + 3]
            assert await listed(ids[position] + "\x01", None, 1000) == ids[position + 1 :]
            assert await listed("", ids[position], 1000) == ids[:position]
        assert await listed("%", "%\x01", 10) == ["%"]
        assert await listed("b", "a", 10) == []
        [found] = await metadata.blobs.between("CON", "CON\x01", 10)
        assert found == await metadata.blobs.get(BlobId("CON"))

    async def test_blobs_with_one_common_prefix_are_rolled_up(self, metadata: Metadata) -> None:
        versions = {blob_id: blob(blob_id) for blob_id in sorted({*NASTY, *BESIDE_DELIMITERS}, key=str.encode)}
        for version in versions.values():
            await put(metadata, version)
        for prefix, delimiter in product(["", "a", "a/", "☺", LAST], ["/", "//", ".", "%", "☺", LAST]):
            below = [blob_id for blob_id in versions if blob_id.startswith(prefix)]
            wanted = [*dict.fromkeys(common_prefix(each, prefix, delimiter) or versions[each] for each in below)]
            for limit in (1, 5, len(wanted) + 1):
                found = await metadata.blobs.rolled_up(below[0], below[-1] + "\x01", limit, prefix, delimiter)
                assert found == wanted[:limit]
        last = [*versions][-1]
        assert await metadata.blobs.rolled_up(last, None, 2, "", "/") == [versions[last]]

    async def test_a_page_of_common_prefixes_may_be_long(self, metadata: Metadata) -> None:
        async with metadata() as work:
            for number in range(1100):
                await work.blobs.put(draft_of(blob(f"{number:04}/{number % 2}")), CREATE_ONLY)
            await work.commit()
        found = await metadata.blobs.rolled_up("", None, 1001, "", "/")
        assert found == [f"{number:04}/" for number in range(1001)]

    async def test_blobs_are_listed_by_the_keys_of_their_contents(self, metadata: Metadata) -> None:
        versions = [placed(blob(f"{number}"), location(backend)) for number, backend in enumerate(BACKENDS)]
        for version in (blob("0"), blob("gone"), *versions):
            await put(metadata, version)
        await remove(metadata, BlobId("gone"))
        versions.sort(key=lambda version: version.content.key)
        keys = [version.content.key for version in versions]
        assert await metadata.blobs.by_content(None, 1000) == versions
        for position in range(0, len(keys), 7):
            assert await metadata.blobs.by_content(None, position) == versions[:position]
            after = keys[position], versions[position].id.value
            assert await metadata.blobs.by_content(after, 3) == versions[position + 1 : position + 4]
        assert await metadata.blobs.by_content((ObjectKey("0" * 32), ""), 1000) == versions
        between = ObjectKey(f"{int(keys[9].value, 16) + 1:032x}")
        assert await metadata.blobs.by_content((between, ""), 1000) == versions[10:]

    async def test_blobs_with_one_content_are_listed_by_their_ids(self, metadata: Metadata) -> None:
        first, *others = (blob(blob_id) for blob_id in ("a", "B", "b", "é", "☺"))
        shared = sorted([first, *(replace(other, content=first.content) for other in others)], key=_id_of)
        versions = sorted([*shared, *(blob(f"{number}") for number in range(5))], key=lambda each: each.content.key)
        for version in versions:
            await put(metadata, version)
        assert await metadata.blobs.by_content(None, 1000) == versions
        for position, version in enumerate(versions):
            after = version.content.key, version.id.value
            assert await metadata.blobs.by_content(after, 2) == versions[position + 1 : position + 3]

    async def test_a_blob_that_may_be_absent_is_looked_for(self, metadata: Metadata) -> None:
        await put(metadata, version := blob())
        async with metadata() as work:
            for blobs in (metadata.blobs, work.blobs):
                assert await blobs.find(version.id) == version
                assert await blobs.find(BlobId("nobody's")) is None

    async def test_what_is_not_there_is_named(self, metadata: Metadata) -> None:
        with pytest.raises(BlobError) as caught:
            await metadata.blobs.get(BlobId("nobody's"))
        assert (caught.value.kind, caught.value.subject) == (Kind.NOT_FOUND, BlobId("nobody's"))
        async with metadata() as work:
            with refused(Kind.NOT_FOUND):
                await work.blobs.get(BlobId("nobody's"))

    async def test_a_put_returns_what_it_replaces(self, metadata: Metadata) -> None:
        versions = [blob() for _ in range(3)]
        assert [await put(metadata, version) for version in versions] == [None, *versions[:2]]
        assert await metadata.blobs.get(versions[0].id) == versions[2]

    async def test_ids_are_compared_by_their_bytes(self, metadata: Metadata) -> None:
        versions = [blob(blob_id, size=size) for size, blob_id in enumerate(NASTY)]
        async with metadata() as work:
            for version in versions:
                assert await work.blobs.put(draft_of(version), CREATE_ONLY) == Published(version, None)
            await work.commit()
        for version in versions:
            assert await metadata.blobs.get(version.id) == version

    async def test_create_only_refuses_what_exists(self, metadata: Metadata) -> None:
        first = blob()
        assert await put(metadata, first, CREATE_ONLY) is None
        with pytest.raises(BlobError) as caught:
            await put(metadata, blob(), CREATE_ONLY)
        assert (caught.value.kind, caught.value.subject) == (Kind.ALREADY_EXISTS, BlobId("k5"))
        assert await metadata.blobs.get(first.id) == first

    async def test_a_named_version_is_replaced_and_no_other(self, metadata: Metadata) -> None:
        first, second, third = blob(size=1), blob(size=2), blob(size=3)
        with refused(Kind.PRECONDITION_FAILED):
            await put(metadata, first, Precondition(etags=frozenset({first.etag})))
        await put(metadata, first)
        assert await put(metadata, second, Precondition(etags=frozenset({"other", first.etag}))) == first
        for stale in ({first.etag}, {"other"}, set[str]()):
            with refused(Kind.PRECONDITION_FAILED):
                await put(metadata, third, Precondition(etags=frozenset(stale)))
        assert await metadata.blobs.get(second.id) == second

    async def test_a_blob_that_is_removed_is_gone(self, metadata: Metadata) -> None:
        versions = [blob("a"), blob("a/b"), blob("A")]
        for version in versions:
            await put(metadata, version)
        assert await remove(metadata, BlobId("a")) == versions[0]
        with refused(Kind.NOT_FOUND):
            await metadata.blobs.get(BlobId("a"))
        assert [await metadata.blobs.get(version.id) for version in versions[1:]] == versions[1:]
        assert await put(metadata, versions[0], CREATE_ONLY) is None

    async def test_nothing_can_be_removed_where_nothing_is(self, metadata: Metadata) -> None:
        with pytest.raises(BlobError) as caught:
            await remove(metadata, BlobId("nobody's"))
        assert (caught.value.kind, caught.value.subject) == (Kind.NOT_FOUND, BlobId("nobody's"))

    async def test_a_named_version_is_removed_and_no_other(self, metadata: Metadata) -> None:
        first, second = blob(size=1), blob(size=2)
        await put(metadata, first)
        await put(metadata, second)
        with refused(Kind.PRECONDITION_FAILED):
            await remove(metadata, second.id, Precondition(etags=frozenset({first.etag})))
        assert await metadata.blobs.get(second.id) == second
        assert await remove(metadata, second.id, Precondition(etags=frozenset({second.etag}))) == second

    async def test_a_unit_is_usable_after_a_refusal(self, metadata: Metadata) -> None:
        first, other = blob("a"), blob("b")
        await put(metadata, first)
        async with metadata() as work:
            with refused(Kind.ALREADY_EXISTS):
                await work.blobs.put(draft_of(blob("a")), CREATE_ONLY)
            await work.blobs.put(draft_of(other), CREATE_ONLY)
            await work.commit()
        assert await metadata.blobs.get(first.id) == first
        assert await metadata.blobs.get(other.id) == other

    # Names of objects

    async def test_an_object_is_named_by_a_blob_an_upload_or_garbage(self, metadata: Metadata) -> None:
        replaced, current, gone, nobodys = blob("a"), blob("a"), blob("b"), location()
        for version in (replaced, current, gone):
            await put(metadata, version)
        await remove(metadata, gone.id)
        running, over = await self.upload(metadata, LONG), await self.upload(metadata, NOW)
        garbage = [(await self.discard(metadata, after)).location for after in (NOW, LONG)]
        trash = [(await self.thrown_away(metadata, after)).location for after in (NOW, LONG)]
        named = [where.key for where in (current.location, running, over, *garbage, *trash)]
        others = [where.key for where in (replaced.location, gone.location, nobodys)]
        assert await metadata.named("fs", [*others, *named]) == {*named}
        assert await metadata.named("s3", [*others, *named]) == set()
        assert await metadata.named("fs", others) == set()
        assert await metadata.named("fs", []) == set()
        many = [ObjectKey.random() for _ in range(1000)]
        assert await metadata.named("fs", [*many, *named]) == {*named}

    async def test_the_markers_of_a_storage_are_named(self, metadata: Metadata) -> None:
        ours, other = storage("fs"), storage("s3")
        full = replace(ours, next=ObjectKey.random(), former=ObjectKey.random())
        nobodys = ObjectKey.random()
        for known in (ours, other):
            await know(metadata, known)
        everything = [*full.keys, *other.keys, nobodys]
        assert await metadata.named("fs", everything) == ours.keys
        assert await swap(metadata, ours, full)
        assert await metadata.named("fs", everything) == full.keys
        assert await metadata.named("s3", everything) == other.keys
        assert await swap(metadata, full, ours)
        assert await metadata.named("fs", everything) == ours.keys

    async def test_an_object_that_moves_on_is_named_at_every_moment(self, metadata: Metadata) -> None:
        versions = [blob(f"{number}") for number in range(10)]
        keys = [version.location.key for version in versions]
        for version in versions:
            async with metadata() as work:
                await work.uploads.add(version.location, LONG)
                await work.commit()

        async def let_others(turns: int) -> None:
            for _ in range(turns):  # also where a commit takes no time
                await asyncio.sleep(0)

        async def move_on() -> None:
            for turns, version in enumerate(versions):
                async with metadata() as work:
                    assert await work.uploads.remove(version.location.key)
                    await work.blobs.put(draft_of(version), CREATE_ONLY)
                    await work.commit()
                await let_others(turns)
                async with metadata() as work:
                    await work.trash.add(await work.blobs.remove(version.id, ANY), NOW, NOW)
                    await work.commit()
                await let_others(turns)
                assert await release(metadata) == 1
                await let_others(1)

        moving = asyncio.create_task(move_on())
        looks = 0
        while not moving.done() or not looks:
            assert await metadata.named("fs", keys) == {*keys}
            looks += 1
            await asyncio.sleep(0)
        await moving

    # All or nothing

    async def begin(self, metadata: Metadata) -> There:
        """Commit one row of each kind that a unit can find."""
        kept, running, over = (location() for _ in range(3))
        held, released, due = blob("held"), blob("released"), Garbage(location(), deletes=2)
        known = storage(interval=NOW)
        there = There(blob("old", size=1), blob("gone"), kept, running, over, held, released, due, known)
        async with metadata() as work:
            await work.blobs.put(draft_of(there.old), CREATE_ONLY)
            await work.blobs.put(draft_of(there.gone), CREATE_ONLY)
            await work.uploads.add(there.kept, LONG)
            await work.uploads.add(there.running, LONG)
            await work.uploads.add(there.over, NOW)
            await work.trash.add(there.held, LONG, LONG)
            await work.trash.add(there.released, NOW, NOW)
            await work.garbage.add(there.due, NOW)
            await work.storages.add(there.storage)
            await work.commit()
        return there

    async def expect_unchanged(self, metadata: Metadata, there: There) -> None:
        assert await metadata.blobs.get(there.old.id) == there.old
        assert await metadata.blobs.get(there.gone.id) == there.gone
        with refused(Kind.NOT_FOUND):
            await metadata.blobs.get(BlobId("new"))
        assert await metadata.known_storage("fs") == there.storage
        assert await metadata.known_storage("another") is None
        async with metadata() as work:
            assert await work.uploads.remove_expired("fs", 10) == [there.over]
            assert await work.garbage.claim("fs", 10, LONG) == [there.due]
            assert await work.trash.release(10) == 1
            assert await work.garbage.claim("fs", 10, LONG) == [Garbage(there.released.location)]
            assert await work.uploads.remove(there.kept.key)
            assert await work.uploads.remove(there.running.key)

    @pytest.mark.parametrize("leave", LEFT)
    async def test_a_unit_that_is_not_committed_changes_nothing(self, metadata: Metadata, leave: Leave) -> None:
        async def unit(steps: int) -> None:
            async with metadata() as work:
                for change in changes(work, there)[:steps]:
                    await change()
                await leave(work)

        there = await self.begin(metadata)
        rows = await self.rows(metadata)
        for steps in range(20):  # none of the nineteen, up to all of them
            leaving = asyncio.create_task(unit(steps))
            await asyncio.wait({leaving})
            assert leaving.cancelled() or isinstance(leaving.exception(), Fault | BlobError | None)
            assert await self.rows(metadata) == rows, f"changed by a unit with {steps} changes"
        await self.expect_unchanged(metadata, there)

    async def test_a_unit_that_is_committed_changes_all(self, metadata: Metadata) -> None:
        there = await self.begin(metadata)
        async with metadata() as work:
            found = [await change() for change in changes(work, there)]
            await work.commit()
        replaced = [published.replaced for published in found[:2] if isinstance(published, Published)]
        assert [*replaced, *found[2:6]] == [None, there.old, there.gone, None, True, True]
        assert found[-5:] == [True] * 5
        assert len(await keys(self.store(metadata))) == 1
        assert await metadata.known_storage("another") is not None
        assert await metadata.known_storage("fs") not in (None, there.storage)
        assert (await metadata.blobs.get(BlobId("new"))).id == BlobId("new")
        assert (await metadata.blobs.get(there.old.id)).size == 2
        assert await self.remove_expired(metadata) == []
        assert await self.claim(metadata) == []
        assert await release(metadata) == 0
        async with metadata() as work:
            for upload in (there.kept, there.running, there.over):
                assert not await work.uploads.remove(upload.key)

    async def test_a_unit_sees_its_own_changes(self, metadata: Metadata) -> None:
        first, second, upload, garbage = blob(size=1), blob(size=2), location(), Garbage(location())
        async with metadata() as work:
            assert await work.blobs.put(draft_of(first), CREATE_ONLY) == Published(first, None)
            with refused(Kind.ALREADY_EXISTS):
                await work.blobs.put(draft_of(second), CREATE_ONLY)
            named = Precondition(etags=frozenset({first.etag}))
            assert await work.blobs.put(draft_of(second), named) == Published(second, first)
            assert await work.blobs.get(first.id) == second
            assert await work.blobs.remove(first.id, ANY) == second
            with refused(Kind.NOT_FOUND):
                await work.blobs.get(first.id)
            assert await work.blobs.put(draft_of(second), CREATE_ONLY) == Published(second, None)
            await work.uploads.add(upload, NOW)
            assert await work.uploads.renew(upload.key, LONG)
            assert await work.uploads.remove_expired("fs", 10) == []
            assert await work.uploads.remove(upload.key)
            assert not await work.uploads.remove(upload.key)
            await work.garbage.add(garbage, NOW)
            assert await work.garbage.claim("fs", 10, LONG) == [garbage]
            assert await work.garbage.claim("fs", 10, LONG) == []
            first_known, second_known = storage(), storage()
            assert await work.storages.add(first_known)
            assert not await work.storages.add(second_known)
            assert await work.storages.replace(first_known, second_known)
            assert not await work.storages.replace(first_known, second_known)

    async def test_a_cancellation_does_not_split_a_commit(self, metadata: Metadata) -> None:
        async def commit(pair: Sequence[Blob], committing: asyncio.Event) -> None:
            async with metadata() as work:
                for version in pair:
                    await work.blobs.put(draft_of(version), CREATE_ONLY)
                committing.set()
                await work.commit()

        async def there(pair: Sequence[Blob]) -> list[bool]:
            found = await outcomes(*(metadata.blobs.get(version.id) for version in pair))
            return [outcome is not Kind.NOT_FOUND for outcome in found]

        pairs = [(blob(f"first of {turn}"), blob(f"second of {turn}")) for turn in range(20)]
        at_once = []
        for pair in pairs:
            committing = asyncio.Event()
            task = asyncio.create_task(commit(pair, committing))
            await committing.wait()
            task.cancel()
            await asyncio.wait({task})
            at_once.append(await there(pair))
            assert at_once[-1] in ([True, True], [False, False])
            assert at_once[-1][0] or task.cancelled(), "the commit returned, and did nothing"
        assert [await there(pair) for pair in pairs] == at_once, "a commit went on after its caller had left"

    async def test_what_is_not_committed_is_seen_by_nobody_else(self, metadata: Metadata) -> None:
        old, new = blob(size=1), blob(size=2)
        await put(metadata, old)
        async with metadata() as work:
            await work.blobs.put(draft_of(new), ANY)
            await work.blobs.put(draft_of(blob("other")), ANY)
            assert await work.blobs.get(old.id) == new
            assert await metadata.blobs.get(old.id) == old
            with refused(Kind.NOT_FOUND):
                await metadata.blobs.get(BlobId("other"))
            await work.commit()
            assert await metadata.blobs.get(old.id) == new

    async def test_units_at_once_all_happen(self, metadata: Metadata) -> None:
        versions = [blob(f"{number}") for number in range(30)]
        await asyncio.gather(*(put(metadata, version, CREATE_ONLY) for version in versions))
        assert await asyncio.gather(*(metadata.blobs.get(version.id) for version in versions)) == versions

    async def test_units_at_once_happen_each_by_itself(self, metadata: Metadata) -> None:
        async def unit(version: Blob, leave: Leave | None) -> None:
            async with metadata() as work:
                await work.blobs.put(draft_of(version), CREATE_ONLY)
                if leave is not None:
                    await leave(work)
                await work.commit()

        versions = [blob(f"{number}") for number in range(30)]
        ways = [None, by_a_fault, by_a_cancellation] * 10
        await outcomes(*(unit(version, leave) for version, leave in zip(versions, ways, strict=True)))
        found = await outcomes(*(metadata.blobs.get(version.id) for version in versions))
        assert found == [Kind.NOT_FOUND if leave else version for version, leave in zip(versions, ways, strict=True)]

    # Races

    async def test_one_of_many_creators_wins(self, metadata: Metadata) -> None:
        versions = [blob(size=size) for size in range(20)]
        ended = await outcomes(*(put(metadata, version, CREATE_ONLY) for version in versions))
        assert sorted(map(str, ended)) == [str(Kind.ALREADY_EXISTS)] * 19 + [str(None)]
        assert await metadata.blobs.get(BlobId("k5")) == versions[ended.index(None)]

    async def test_one_of_many_replacers_of_a_version_wins(self, metadata: Metadata) -> None:
        first = blob(size=100)
        await put(metadata, first)
        this = Precondition(etags=frozenset({first.etag}))
        versions = [blob(size=size) for size in range(20)]
        ended = await outcomes(*(put(metadata, version, this) for version in versions))
        assert ended.count(Kind.PRECONDITION_FAILED) == 19
        assert await metadata.blobs.get(first.id) == versions[ended.index(first)]

    async def test_a_blob_is_removed_by_one(self, metadata: Metadata) -> None:
        version = blob()
        await put(metadata, version)
        ended = await outcomes(*(remove(metadata, version.id) for _ in range(20)))
        assert ended.count(version) == 1
        assert ended.count(Kind.NOT_FOUND) == 19

    async def test_of_racing_writers_and_removers_each_version_goes_one_way(self, metadata: Metadata) -> None:
        versions = [blob(size=size) for size in range(10)]
        racing = [(put(metadata, version), remove(metadata, version.id)) for version in versions]
        ended = await outcomes(*(each for pair in racing for each in pair))
        gone = [outcome for outcome in ended if isinstance(outcome, Blob)]  # each once, replaced or removed
        left = [outcome for outcome in await outcomes(metadata.blobs.get(versions[0].id)) if isinstance(outcome, Blob)]
        assert sorted([*gone, *left], key=lambda version: version.size) == versions

    async def test_of_racing_writers_each_but_the_last_is_replaced_once(self, metadata: Metadata) -> None:
        versions = [blob(size=size, content_type=f"text/{size}") for size in range(20)]
        replaced = await asyncio.gather(*(put(metadata, version) for version in versions))
        current = await metadata.blobs.get(BlobId("k5"))
        assert current in versions
        gone = [version for version in replaced if version is not None]
        assert sorted([*gone, current], key=lambda version: version.size) == versions

    async def test_readers_see_whole_versions_while_they_are_replaced(self, metadata: Metadata) -> None:
        versions = [blob(size=size, content_type=f"text/{size}") for size in range(20)]
        await put(metadata, versions[0])
        racing = [
            step
            for version in versions[1:]
            for step in (metadata.blobs.get(version.id), put(metadata, version), metadata.blobs.get(version.id))
        ]
        assert all(found in versions for found in await asyncio.gather(*racing))

    async def test_of_racing_publications_each_object_is_in_one_place(self, metadata: Metadata) -> None:
        async def publish(version: Blob) -> None:
            async with metadata() as work:
                assert await work.uploads.remove(version.location.key)
                replaced = (await work.blobs.put(draft_of(version), ANY)).replaced
                if replaced is not None:
                    await work.garbage.add(Garbage(replaced.location), NOW)
                await work.commit()

        versions = [blob(size=size) for size in range(20)]
        for version in versions:
            async with metadata() as work:
                await work.uploads.add(version.location, NOW)
                await work.commit()
        await asyncio.gather(*(publish(version) for version in versions))
        current = await metadata.blobs.get(BlobId("k5"))
        garbage = await self.claim(metadata, limit=100)
        objects = [current.location.key, *(found.location.key for found in garbage)]
        assert sorted(objects) == sorted(version.location.key for version in versions)
        assert await self.remove_expired(metadata) == []

    async def test_an_upload_is_removed_by_one(self, metadata: Metadata) -> None:
        upload = location()

        async def remove() -> bool:
            async with metadata() as work:
                removed = await work.uploads.remove(upload.key)
                await work.commit()
                return removed

        async with metadata() as work:
            await work.uploads.add(upload, LONG)
            await work.commit()
        assert sorted(await asyncio.gather(*(remove() for _ in range(10)))) == [False] * 9 + [True]

    async def test_an_expired_upload_goes_to_its_writer_or_to_the_reaper(self, metadata: Metadata) -> None:
        async def fence(upload: Location) -> Sequence[Location]:
            async with metadata() as work:
                removed = await work.uploads.remove(upload.key)
                await work.commit()
                return [upload] if removed else []

        made = [await self.upload(metadata, NOW) for _ in range(10)]
        reapers = (self.remove_expired(metadata, limit=3) for _ in range(4))
        taken = await asyncio.gather(*(fence(upload) for upload in made), *reapers)
        keys = [upload.key for uploads in taken for upload in uploads]
        assert sorted(keys) == sorted(upload.key for upload in made)

    # Uploads

    async def upload(self, metadata: Metadata, lease: timedelta, backend: str = "fs") -> Location:
        where = location(backend)
        async with metadata() as work:
            await work.uploads.add(where, lease)
            await work.commit()
        return where

    async def remove_expired(self, metadata: Metadata, limit: int = 10, backend: str = "fs") -> Sequence[Location]:
        async with metadata() as work:
            expired = await work.uploads.remove_expired(backend, limit)
            await work.commit()
            return expired

    async def test_an_upload_expires_with_its_lease(self, metadata: Metadata) -> None:
        over, running = await self.upload(metadata, NOW), await self.upload(metadata, LONG)
        assert await self.remove_expired(metadata) == [over]
        assert await self.remove_expired(metadata) == []
        async with metadata() as work:
            assert not await work.uploads.remove(over.key)
            assert await work.uploads.remove(running.key)

    async def test_a_lease_can_be_renewed_and_shortened(self, metadata: Metadata) -> None:
        first, second = await self.upload(metadata, NOW), await self.upload(metadata, LONG)
        async with metadata() as work:
            assert await work.uploads.renew(first.key, LONG)
            assert await work.uploads.renew(second.key, NOW)
            assert not await work.uploads.renew(ObjectKey.random(), LONG)
            await work.commit()
        assert await self.remove_expired(metadata) == [second]

    async def test_an_upload_that_was_removed_stays_removed(self, metadata: Metadata) -> None:
        removed, expired = await self.upload(metadata, LONG), await self.upload(metadata, NOW)
        async with metadata() as work:
            assert await work.uploads.remove(removed.key)
            assert await work.uploads.remove_expired("fs", 10) == [expired]
            await work.commit()
        async with metadata() as work:
            for gone in (removed, expired):
                assert not await work.uploads.renew(gone.key, NOW)
                assert not await work.uploads.remove(gone.key)
            await work.commit()
        assert await self.remove_expired(metadata) == []

    async def test_uploads_to_other_backends_are_left_alone(self, metadata: Metadata) -> None:
        ours, other = await self.upload(metadata, NOW, "fs"), await self.upload(metadata, NOW, "s3")
        assert await self.remove_expired(metadata, backend="ftp") == []
        assert await self.remove_expired(metadata, backend="fs") == [ours]
        assert await self.remove_expired(metadata, backend="s3") == [other]

    async def test_the_oldest_uploads_expire_first(self, metadata: Metadata) -> None:
        made = [await self.upload(metadata, timedelta(seconds=-age)) for age in (2, 9, 5, 7)]
        assert await self.remove_expired(metadata, 3) == [made[1], made[3], made[2]]
        assert await self.remove_expired(metadata, 3) == [made[0]]

    async def test_an_upload_expires_for_one(self, metadata: Metadata) -> None:
        made = {(await self.upload(metadata, NOW)).key for _ in range(20)}

        async def expire(work: UnitOfWork) -> Sequence[ObjectKey]:
            return [upload.key for upload in await work.uploads.remove_expired("fs", 15)]

        await self.expect_shared_out(metadata, expire, made)

    # Garbage

    async def discard(self, metadata: Metadata, after: timedelta, backend: str = "fs", deletes: int = 1) -> Garbage:
        garbage = Garbage(location(backend), deletes)
        async with metadata() as work:
            await work.garbage.add(garbage, after)
            await work.commit()
        return garbage

    async def claim(
        self, metadata: Metadata, backend: str = "fs", limit: int = 10, lease: timedelta = LONG
    ) -> Sequence[Garbage]:
        async with metadata() as work:
            claimed = await work.garbage.claim(backend, limit, lease)
            await work.commit()
            return claimed

    async def note(self, metadata: Metadata, garbage: Garbage, again_after: timedelta) -> None:
        async with metadata() as work:
            await work.garbage.deleted([garbage], again_after)
            await work.commit()

    async def test_garbage_is_claimed_when_it_is_due(self, metadata: Metadata) -> None:
        due = await self.discard(metadata, NOW)
        await self.discard(metadata, LONG)
        assert await self.claim(metadata) == [due]

    async def test_garbage_of_other_backends_is_left_alone(self, metadata: Metadata) -> None:
        ours, other = await self.discard(metadata, NOW, "fs"), await self.discard(metadata, NOW, "s3")
        assert await self.claim(metadata, "ftp") == []
        assert await self.claim(metadata, "fs") == [ours]
        assert await self.claim(metadata, "s3") == [other]

    async def test_many_objects_become_garbage_at_once(self, metadata: Metadata) -> None:
        there = await self.discard(metadata, LONG)
        many = [Garbage(there.location, 2), *(Garbage(location(), number % 2 + 1) for number in range(300))]
        async with metadata() as work:
            await work.garbage.add_each(many, NOW)
            await work.garbage.add_each([], NOW)
            await work.commit()
        assert {*await self.claim(metadata, limit=1000)} == {*many}

    async def test_claimed_garbage_comes_back_when_the_claim_is_over(self, metadata: Metadata) -> None:
        garbage = await self.discard(metadata, NOW)
        assert await self.claim(metadata, lease=NOW) == [garbage]
        assert await self.claim(metadata, lease=LONG) == [garbage]
        assert await self.claim(metadata) == []

    async def test_each_further_claim_lasts_twice_as_long_up_to_a_bound(self, metadata: Metadata) -> None:
        garbage = await self.discard(metadata, NOW)
        for doublings in (0, 1, 2, 3, 4, 5, 6, 6, 6):
            assert await self.claim(metadata, lease=-LONG) == [garbage]  # a claim that is long over
            [backlog] = await metadata.backlog()
            assert LONG * 2**doublings <= backlog.overdue < LONG * 2**doublings + LONG / 2

    async def test_a_delete_that_is_left_is_claimed_as_if_for_the_first_time(self, metadata: Metadata) -> None:
        garbage = await self.discard(metadata, NOW, deletes=2)
        for _ in range(3):
            await self.claim(metadata, lease=NOW)
        await self.note(metadata, garbage, NOW)
        await self.claim(metadata, lease=-LONG)
        [backlog] = await metadata.backlog()
        assert LONG <= backlog.overdue < 2 * LONG

    async def unclaim(self, metadata: Metadata, *garbage: Garbage) -> None:
        async with metadata() as work:
            await work.garbage.unclaim(garbage)
            await work.commit()

    async def test_garbage_that_nobody_tried_to_delete_is_due_as_if_it_was_never_claimed(
        self, metadata: Metadata
    ) -> None:
        other = await self.discard(metadata, NOW)
        assert await self.claim(metadata) == [other]
        untried = [await self.discard(metadata, NOW, deletes=deletes) for deletes in (1, 2)]
        for _ in range(3):
            assert {*await self.claim(metadata)} == {*untried}
            assert await self.claim(metadata) == []
            await self.unclaim(metadata, *untried)
        assert {*await self.claim(metadata, lease=-LONG)} == {*untried}
        [backlog] = await metadata.backlog()
        assert LONG <= backlog.overdue < 2 * LONG

    async def test_deleted_garbage_can_not_be_unclaimed(self, metadata: Metadata) -> None:
        once, twice = [await self.discard(metadata, NOW, deletes=deletes) for deletes in (1, 2)]
        await self.claim(metadata)
        for garbage in (once, twice):
            await self.note(metadata, garbage, LONG)
        await self.unclaim(metadata, once, twice)
        assert await self.claim(metadata) == []
        [backlog] = await metadata.backlog()
        assert backlog.garbage == 1

    async def test_the_backlog_is_counted_for_each_backend(self, metadata: Metadata) -> None:
        assert await metadata.backlog() == []
        for after in (-LONG, -3 * LONG, LONG):
            await self.discard(metadata, after, "fs")
        await self.discard(metadata, LONG, "s3")
        for backend in ("s3", "s3", "ftp"):
            await self.upload(metadata, LONG, backend)
        fs, ftp, s3 = await metadata.backlog()
        assert (fs, 3 * LONG <= fs.overdue < 4 * LONG) == (Backlog("fs", 0, 3, 2, fs.overdue), True)
        assert ftp == Backlog("ftp", 1, 0, 0, NOW)
        assert s3 == Backlog("s3", 2, 1, 0, NOW)
        for after, backend in ((-5 * LONG, "fs"), (LONG, "fs"), (LONG, "s3"), (-LONG, "another")):
            await self.thrown_away(metadata, after, backend)
        another, fs, ftp, s3 = await metadata.backlog()
        assert (fs, 5 * LONG <= fs.overdue < 6 * LONG) == (Backlog("fs", 0, 5, 3, fs.overdue), True)
        assert (another, LONG <= another.overdue < 2 * LONG) == (Backlog("another", 0, 1, 1, another.overdue), True)
        assert ftp == Backlog("ftp", 1, 0, 0, NOW)
        assert s3 == Backlog("s3", 2, 2, 0, NOW)

    async def test_the_oldest_garbage_is_claimed_first(self, metadata: Metadata) -> None:
        made = [await self.discard(metadata, timedelta(seconds=-age)) for age in (2, 9, 5, 7)]
        assert await self.claim(metadata, limit=3) == [made[1], made[3], made[2]]
        assert await self.claim(metadata, limit=3) == [made[0]]

    async def test_garbage_is_claimed_by_one(self, metadata: Metadata) -> None:
        made = {(await self.discard(metadata, NOW)).location.key for _ in range(20)}

        async def claim(work: UnitOfWork) -> Sequence[ObjectKey]:
            return [garbage.location.key for garbage in await work.garbage.claim("fs", 15, LONG)]

        await self.expect_shared_out(metadata, claim, made)

    async def expect_shared_out(
        self, metadata: Metadata, take: Callable[[UnitOfWork], Awaitable[Sequence[ObjectKey]]], all_of: set[ObjectKey]
    ) -> None:
        """Concurrent units never claim the same objects, even before the first commits."""

        async def other() -> Sequence[ObjectKey]:
            async with metadata() as work:
                taken = await take(work)
                await work.commit()
                return taken

        async with metadata() as work:
            taken = [await take(work)]
            others = [asyncio.create_task(other()) for _ in range(3)]
            # Where units take turns, the others wait for this one; elsewhere they are done well within that time.
            await asyncio.wait(others, timeout=0.3)
            await work.commit()
        taken += await asyncio.gather(*others)
        taken += [await other()]
        assert sorted(key for keys in taken for key in keys) == sorted(all_of)

    async def test_garbage_is_forgotten_after_its_last_delete(self, metadata: Metadata) -> None:
        garbage = await self.discard(metadata, NOW, deletes=3)
        for deletes in (3, 2, 1):
            left = Garbage(garbage.location, deletes)
            assert await self.claim(metadata) == [left]
            await self.note(metadata, left, NOW)
        assert await self.claim(metadata) == []

    async def test_garbage_may_become_garbage_again(self, metadata: Metadata) -> None:
        garbage = await self.discard(metadata, NOW, deletes=2)
        other = await self.discard(metadata, LONG)
        for _ in range(3):
            await self.claim(metadata, lease=NOW)
        await self.note(metadata, garbage, 3 * LONG)
        await in_a_unit(metadata, lambda work: work.garbage.add(garbage, -LONG))
        assert await self.claim(metadata, lease=-LONG) == [garbage]
        [backlog] = await metadata.backlog()
        assert (backlog.garbage, LONG <= backlog.overdue < 2 * LONG) == (2, True)
        await in_a_unit(metadata, lambda work: work.garbage.add(other, NOW))
        assert {*await self.claim(metadata)} == {garbage, other}

    async def test_the_second_delete_waits(self, metadata: Metadata) -> None:
        garbage = await self.discard(metadata, NOW, deletes=2)
        await self.note(metadata, garbage, LONG)
        assert await self.claim(metadata) == []

    # The trash

    async def thrown_away(self, metadata: Metadata, after: timedelta, backend: str = "fs") -> Blob:
        version = placed(blob(), location(backend))
        await throw_away(metadata, version, after)
        return version

    async def released(self, metadata: Metadata, limit: int = 10) -> list[ObjectKey]:
        """Return the objects of contents that were due. The claim lasts."""
        await release(metadata, limit)
        return [garbage.location.key for garbage in await self.claim(metadata, limit=100)]

    async def test_a_content_that_is_held_is_due_later(self, metadata: Metadata) -> None:
        held, due, other = [await self.thrown_away(metadata, NOW) for _ in range(3)]
        assert await hold(metadata, held.content.key, LONG)
        assert await hold(metadata, other.content.key, NOW)
        assert {*await self.released(metadata)} == {due.content.key, other.content.key}
        assert await self.released(metadata) == []

    async def test_a_hold_never_lets_a_content_be_due_sooner(self, metadata: Metadata) -> None:
        version = await self.thrown_away(metadata, LONG)
        assert await hold(metadata, version.content.key, NOW)
        assert await self.released(metadata) == []

    async def test_what_is_not_in_the_trash_is_not_held(self, metadata: Metadata) -> None:
        version = blob()
        await put(metadata, version)
        for key in (version.content.key, (await self.upload(metadata, NOW)).key, ObjectKey.random()):
            assert not await hold(metadata, key, LONG)
        assert [backlog.garbage for backlog in await metadata.backlog()] == [0]

    async def test_what_is_released_cannot_be_held(self, metadata: Metadata) -> None:
        """The object may be deleted already."""
        version = await self.thrown_away(metadata, NOW)
        assert await release(metadata) == 1
        assert not await hold(metadata, version.content.key, LONG)
        assert await self.released(metadata) == [version.content.key]
        assert not await hold(metadata, version.content.key, LONG)

    async def test_a_content_is_held_or_released(self, metadata: Metadata) -> None:
        async def hold_one(version: Blob) -> list[ObjectKey]:
            return [version.content.key] if await hold(metadata, version.content.key, LONG) else []

        async def release_some() -> list[ObjectKey]:
            return await self.released(metadata, limit=3)

        made = [await self.thrown_away(metadata, NOW) for _ in range(10)]
        taken = await asyncio.gather(*map(hold_one, made), *(release_some() for _ in range(5)))
        keys = [key for some in taken for key in some]
        assert sorted(keys) == sorted(version.content.key for version in made)

    # Storages

    async def test_a_storage_is_known_as_it_was_added(self, metadata: Metadata) -> None:
        assert await metadata.known_storage("fs") is None
        ours = replace(storage("fs", timedelta(microseconds=1)), next=ObjectKey.random(), former=ObjectKey.random())
        other = storage("s3", timedelta(days=366))
        for known in (ours, other):
            assert await know(metadata, known)
        assert await metadata.known_storage("fs") == ours
        assert await metadata.known_storage("s3") == other
        assert await metadata.known_storage("ftp") is None

    async def test_a_storage_is_added_by_one(self, metadata: Metadata) -> None:
        racing = [storage() for _ in range(10)]
        added = await asyncio.gather(*(know(metadata, known) for known in racing))
        assert sorted(added) == [False] * 9 + [True]
        assert await metadata.known_storage("fs") == racing[added.index(True)]
        assert not await know(metadata, storage())

    async def test_a_storage_is_replaced_only_where_all_its_markers_apply(self, metadata: Metadata) -> None:
        known, other, key = replace(storage(), next=ObjectKey.random()), storage("s3"), ObjectKey.random()
        assert not await swap(metadata, known, known)
        for each in (known, other):
            await know(metadata, each)
        stale = [
            replace(known, identity=key),
            replace(known, epoch=key),
            replace(known, next=key),
            replace(known, next=None),
            replace(known, former=key),
        ]
        for each in stale:
            for if_due in (False, True):
                assert not await swap(metadata, replace(each, interval=NOW), storage(), if_due=if_due)
        assert await metadata.known_storage("fs") == known
        new = storage(interval=NOW)
        assert await swap(metadata, known, new)
        assert await metadata.known_storage("fs") == new
        assert await metadata.known_storage("s3") == other

    @pytest.mark.parametrize("if_due", [False, True])
    async def test_markers_are_replaced_by_one(self, metadata: Metadata, if_due: bool) -> None:
        known, racing = storage(interval=NOW), [storage() for _ in range(10)]
        await know(metadata, known)
        replaced = await asyncio.gather(*(swap(metadata, known, new, if_due=if_due) for new in racing))
        assert sorted(replaced) == [False] * 9 + [True]
        assert await metadata.known_storage("fs") == racing[replaced.index(True)]

    async def test_an_epoch_is_due_once_an_interval(self, metadata: Metadata) -> None:
        first, second, third, last = storage(interval=NOW), storage(interval=LONG), storage(interval=NOW), storage()
        await know(metadata, first)
        assert await swap(metadata, first, second, if_due=True)
        assert not await swap(metadata, second, last, if_due=True)
        assert await metadata.known_storage("fs") == second
        assert await swap(metadata, second, third), "what is not bound to a time needs none to pass"
        assert await swap(metadata, third, last, if_due=True)
        await know(metadata, storage("s3", LONG))
        added = await metadata.known_storage("s3")
        assert added is not None
        assert not await swap(metadata, added, storage("s3"), if_due=True)

    # Small objects

    @pytest.mark.parametrize("size", [0, 1, 16 * 1024, 256 * 1024])
    async def test_a_small_object_is_read_as_it_was_added(self, metadata: Metadata, size: int) -> None:
        key, store = ObjectKey.random(), self.store(metadata)
        assert await add_object(metadata, key, pattern(size))
        assert await read(store, key) == pattern(size)
        assert (await store.stat(key)).size == size
        assert await keys(store) == [key]
        await store.delete(key)
        assert await keys(store) == []

    async def test_a_small_object_is_never_changed(self, metadata: Metadata) -> None:
        key = ObjectKey.random()
        assert await add_object(metadata, key, b"first")
        assert not await add_object(metadata, key, b"second")
        async with metadata() as work:
            assert not await work.objects.add(key, b"third")
            assert await work.objects.add(ObjectKey.random(), b"other"), "the unit stays usable"
        assert await read(self.store(metadata), key) == b"first"
        await self.store(metadata).delete(key)

    async def test_a_small_object_appears_with_its_commit(self, metadata: Metadata) -> None:
        key = ObjectKey.random()
        async with metadata() as work:
            assert await work.objects.add(key, b"small")
            assert await keys(self.store(metadata)) == []
            await work.commit()
        assert await read(self.store(metadata), key) == b"small"
        await self.store(metadata).delete(key)

    @pytest.mark.parametrize("commits", [True, False])
    async def test_a_small_object_is_awaited_by_who_adds_it_too(self, metadata: Metadata, commits: bool) -> None:
        key, events = ObjectKey.random(), list[str]()

        async def add_again() -> bool:
            async with metadata() as work:
                added = await work.objects.add(key, b"second")
                events.append("second")
                return added

        async with metadata() as work:
            assert await work.objects.add(key, b"first")
            waiting = asyncio.create_task(add_again())
            await asyncio.wait({waiting}, timeout=0.2)  # as long as it would take if it did not wait
            events.append("first")
            if commits:
                await work.commit()
        assert await waiting is not commits
        assert events == ["first", "second"]
        await self.store(metadata).delete(key)

    async def test_a_small_object_is_added_by_one(self, metadata: Metadata) -> None:
        key = ObjectKey.random()
        racing = [add_object(metadata, key, bytes([number])) for number in range(10)]
        added = await asyncio.gather(*racing)
        assert sorted(added) == [False] * 9 + [True]
        assert await read(self.store(metadata), key) == bytes([added.index(True)])
        await self.store(metadata).delete(key)
