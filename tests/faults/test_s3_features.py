"""Objects on S3 servers that lack a feature, and writes whose response is lost."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.storage.layers.timeout import TimeoutLayer
from adapters.storage.s3.config import S3Config
from adapters.storage.s3.features import CONDITIONAL_WRITES, EMPTY_UPLOAD_LISTS, GROWING_PARTS, UPLOAD_LISTS
from adapters.storage.s3.part_sizes import PART, PartSizes
from adapters.storage.s3.requests import completion_limit
from adapters.storage.s3.store import S3BlobStore
from application.ports.blob_store import Stored
from application.ports.features import MissingFeature
from domain.blob import ObjectKey
from domain.errors import BlobError, Kind
from tests.contracts.blob_store import MIB, chunked, each, keys, pattern, refused
from tests.faults.fake_s3 import DATE, ID, Replies, Reply, Request, error, on_fake_s3, without_conditions

KEY = ObjectKey("ab" * 16)
LARGE = pattern(PART + 1)
NOT_IMPLEMENTED = error(501, "NotImplemented")
NOT_EQUAL = Reply(
    400,
    ID | {"Content-Type": "application/xml"},
    "<Error><Code>InvalidPart</Code>"
    "<Message>All non-trailing parts must have the same length.</Message></Error>",  # as R2 says it
)
NO_LISTS = {
    "501": (NOT_IMPLEMENTED, [UPLOAD_LISTS]),
    "501 without a body": (Reply(501, ID), [UPLOAD_LISTS]),
    "404 where none is open": (error(404, "NoSuchUpload"), [EMPTY_UPLOAD_LISTS]),
    "an empty list of rclone": (Reply(200, ID, "<R><Bucket>b</Bucket></R>"), []),
}


class TestConditionalWrites:
    async def test_a_small_put_leaves_the_condition_out(self) -> None:
        found: list[MissingFeature] = []
        async with on_fake_s3({"PutObject": without_conditions}, report=found.append) as (server, store):
            assert await store.put(KEY, each([b"x"])) == Stored(1)
            assert await store.put(ObjectKey.random(), each([b"x"])) == Stored(1)
            assert server.operations == ["PutObject"] * 3, "it asks once only"
        assert found == [CONDITIONAL_WRITES]

    async def test_a_large_put_leaves_the_condition_out(self) -> None:
        found: list[MissingFeature] = []
        replies = {"CompleteMultipartUpload": without_conditions}
        async with on_fake_s3(replies, size=len(LARGE), report=found.append) as (server, store):
            assert await store.put(KEY, chunked(LARGE)) == Stored(len(LARGE))
            assert server.aborted == []
        assert found == [CONDITIONAL_WRITES]

    async def test_a_server_that_has_them_is_always_asked(self) -> None:
        heads: list[Request] = []
        async with on_fake_s3({"PutObject": lambda request: heads.append(request)}) as (_, store):
            for _ in range(3):
                await store.put(ObjectKey.random(), each([b"x"]))
        assert [request.headers["if-none-match"] for request in heads] == ["*"] * 3

    async def test_a_server_that_lacks_something_else(self) -> None:
        found: list[MissingFeature] = []
        async with on_fake_s3({"PutObject": NOT_IMPLEMENTED}, report=found.append) as (_, store):
            with pytest.raises(BlobError, match="NotImplemented") as caught:
                await store.put(KEY, each([b"x"]))
        assert (caught.value.kind, found) == (Kind.UNAVAILABLE, [])


@pytest.mark.parametrize("server", NO_LISTS)
class TestListsOfUploads:
    async def test_objects_are_deleted_without_them(self, server: str) -> None:
        reply, missing = NO_LISTS[server]
        found: list[MissingFeature] = []
        async with on_fake_s3({"ListMultipartUploads": reply}, report=found.append) as (fake, store):
            await store.delete(KEY)
            await store.delete(ObjectKey.random())
            assert fake.operations.count("DeleteObject") == 2
        assert found == missing

    async def test_objects_are_listed_without_them(self, server: str) -> None:
        reply, missing = NO_LISTS[server]
        found: list[MissingFeature] = []
        listing = f"<R><Name>b</Name><Contents><Key>{KEY}</Key></Contents><IsTruncated>false</IsTruncated></R>"
        replies = {"ListMultipartUploads": reply, "ListObjects": Reply(200, ID, listing)}
        async with on_fake_s3(replies, report=found.append) as (_, store):
            assert await keys(store) == await keys(store) == [KEY]
        assert found == missing

    async def test_a_put_that_fails_aborts_its_own_upload(self, server: str) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield LARGE
            raise LookupError

        async with on_fake_s3({"ListMultipartUploads": NO_LISTS[server][0]}) as (fake, store):
            for _ in range(2):
                fake.operations.clear()
                with pytest.raises(LookupError):
                    await store.put(KEY, failing())
            assert fake.aborted == [KEY.value] * 2


async def test_a_put_that_is_cancelled_while_its_upload_is_created_aborts_it_without_lists() -> None:
    putting: asyncio.Task[Stored]

    def cancel(_: Request) -> None:
        putting.cancel()

    replies: Replies = {"ListMultipartUploads": NOT_IMPLEMENTED, "CreateMultipartUpload": cancel}
    async with on_fake_s3(replies) as (server, store):
        putting = asyncio.create_task(store.put(KEY, chunked(LARGE)))
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert server.aborted == [KEY.value]


async def test_an_upload_whose_abort_fails_is_aborted_later_without_lists() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield LARGE
        raise LookupError

    failures = [error(500, "InternalError")]
    replies: Replies = {
        "ListMultipartUploads": NOT_IMPLEMENTED,
        "AbortMultipartUpload": lambda _: failures.pop() if failures else None,
    }
    async with on_fake_s3(replies) as (server, store):
        with pytest.raises(LookupError):
            await store.put(KEY, failing())
        assert server.aborted == []
        for _ in range(2):
            await store.delete(KEY)
        assert server.aborted == [KEY.value], "once it has been aborted, it is forgotten"


async def test_a_server_that_reports_that_there_is_nothing_to_delete() -> None:
    async with on_fake_s3({"DeleteObject": error(404, "NoSuchKey")}) as (_, store):
        await store.delete(KEY)


@pytest.mark.parametrize("reply", [error(404, "NoSuchBucket"), Reply(404, ID), error(404, "NotFound")])
async def test_no_other_404_counts_as_deleted(reply: Reply) -> None:
    async with on_fake_s3({"DeleteObject": reply}) as (_, store):
        with refused(Kind.UNAVAILABLE):
            await store.delete(KEY)


async def test_a_server_that_takes_only_equal_parts_gets_them_from_then_on() -> None:
    parts: list[int] = []
    found: list[MissingFeature] = []
    data = pattern(3 * PART)
    growing = PartSizes(total=11 * PART, count=10)

    def complete(_: Request) -> Reply | None:
        sizes, parts[:] = parts[:], []
        return NOT_EQUAL if len(set(sizes[:-1])) > 1 else None

    def part(request: Request) -> None:
        parts.append(len(request.body))

    replies: Replies = {"UploadPart": part, "CompleteMultipartUpload": complete}
    async with on_fake_s3(replies, size=len(data), report=found.append, parts=growing) as (server, store):
        with refused(Kind.UNAVAILABLE):
            await store.put(KEY, chunked(data))
        for _ in range(2):
            server.operations.clear()
            assert await store.put(KEY, chunked(data)) == Stored(len(data))
    assert found == [GROWING_PARTS]


async def test_parts_that_are_rejected_for_another_reason() -> None:
    """A server has lost one of them, as MinIO may."""
    found: list[MissingFeature] = []
    data = pattern(3 * PART)
    replies = {"CompleteMultipartUpload": error(400, "InvalidPart")}
    growing = PartSizes(total=11 * PART, count=10)
    async with on_fake_s3(replies, size=len(data), report=found.append, parts=growing) as (_, store):
        with refused(Kind.UNAVAILABLE):
            await store.put(KEY, chunked(data))
    assert found == []


@pytest.mark.parametrize(("total", "missing"), [(5 * 1024**3, []), (100 * 1024**3, [GROWING_PARTS])])
def test_r2_is_known_by_its_name(total: int, missing: list[MissingFeature]) -> None:
    found: list[MissingFeature] = []
    endpoint = "https://0123456789abcdef.r2.cloudflarestorage.com"
    S3BlobStore(S3Config("b", "auto", "a", "s", endpoint, parts=PartSizes(total)), report=found.append)
    assert found == missing


async def test_an_upload_that_somebody_else_has_aborted_keeps_no_object() -> None:
    replies = {"AbortMultipartUpload": error(404, "NoSuchUpload")}
    async with on_fake_s3(replies, uploads=(KEY.value,)) as (server, store):
        await store.delete(KEY)
        assert server.operations[-1] == "DeleteObject"


def stored(data: bytes, etag: str = "") -> Reply:
    """An object that is there."""
    tag = etag or hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Reply(200, ID | {"ETag": f'"{tag}"', "Last-Modified": DATE}, data.decode())


class TestLostResponses:
    """The request is repeated by the client or by a proxy, and the repetition finds the object."""

    @pytest.mark.parametrize("there", [stored(b"xyz"), stored(b"xyz", "another"), stored(b"xyz", "0" * 32)])
    async def test_a_small_put_whose_object_is_there(self, there: Reply) -> None:
        replies = {"PutObject": error(412, "PreconditionFailed"), "GetObject": there}
        async with on_fake_s3(replies) as (server, store):
            assert await store.put(KEY, each([b"xyz"])) == Stored(3)
            assert server.operations == ["PutObject", "GetObject"]

    @pytest.mark.parametrize("there", [stored(b"abc"), stored(b"xy"), error(404, "NoSuchKey")])
    async def test_another_object_is_left_alone(self, there: Reply) -> None:
        replies = {"PutObject": error(412, "PreconditionFailed"), "GetObject": there}
        async with on_fake_s3(replies) as (server, store):
            with refused(Kind.ALREADY_EXISTS):
                await store.put(KEY, each([b"xyz"]))
            assert "DeleteObject" not in server.operations

    @pytest.mark.parametrize("reply", [error(412, "PreconditionFailed"), error(404, "NoSuchUpload")])
    async def test_a_large_put_whose_object_is_there(self, reply: Reply) -> None:
        async with on_fake_s3({"CompleteMultipartUpload": reply}, size=len(LARGE)) as (server, store):
            assert await store.put(KEY, chunked(LARGE)) == Stored(len(LARGE))
            assert server.aborted == []

    async def test_a_large_put_whose_object_is_another(self) -> None:
        replies = {"CompleteMultipartUpload": error(412, "PreconditionFailed")}
        async with on_fake_s3(replies, size=len(LARGE) - 1) as (server, store):
            with refused(Kind.ALREADY_EXISTS):
                await store.put(KEY, chunked(LARGE))
            assert "DeleteObject" not in server.operations


class TestCompletion:
    """The response to CompleteMultipartUpload, for which a server may copy all parts first."""

    @pytest.mark.parametrize("blanks", [0, 1], ids=["silent", "blanks"])
    async def test_it_is_waited_for_longer_than_for_other_responses(self, blanks: int) -> None:
        completing, may_end = asyncio.Event(), asyncio.Event()

        def complete(request: Request) -> Reply:
            completing.set()
            body = f"{' ' * blanks}<R><Bucket>b</Bucket><Key>{KEY}</Key><ETag>e</ETag></R>"
            return Reply(200, ID, body, held=may_end, early=blanks)

        impatient: dict[str, Any] = {"read_timeout": 0.5, "request_timeout": 0.5, "attempts": 3}
        replies: Replies = {"CompleteMultipartUpload": complete}
        async with on_fake_s3(replies, size=len(LARGE), **impatient) as (server, store):
            putting = asyncio.create_task(TimeoutLayer(store, 0.5).put(KEY, chunked(LARGE)))
            await completing.wait()
            await asyncio.sleep(1.2)  # longer than all three deadlines
            may_end.set()
            assert await putting == Stored(len(LARGE))
            assert server.operations.count("CompleteMultipartUpload") == 1

    @pytest.mark.parametrize(
        ("timeout", "size", "limit"),
        [(60, 0, 60), (60, 100 * MIB, 160), (60, 5 * 1024 * 1024 * MIB, 3600), (7200, 100 * MIB, 7200)],
    )
    def test_its_limit_grows_with_the_size_up_to_an_hour(self, timeout: float, size: int, limit: float) -> None:
        assert completion_limit(timeout, size) == limit
