"""Objects on S3, when something else replies in its place: a captive portal, a proxy, half a server."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from adapters.storage.s3.config import S3Config
from adapters.storage.s3.part_sizes import PART
from adapters.storage.s3.store import S3BlobStore
from application.ports.blob_store import Stored
from application.ports.observer import Unobserved
from domain.blob import ByteRange, ObjectKey
from domain.errors import BlobError, Kind
from tests.contracts.blob_store import chunked, each, keys, pattern, read
from tests.faults.fake_s3 import DATE, ID, FakeS3, Reply, error, on_fake_s3

KEY = ObjectKey("ab" * 16)
HTML = {"Content-Type": "text/html"}
FILE = {"ETag": '"5f3"', "Last-Modified": DATE}
PAGE = "<!DOCTYPE html><html><head><meta charset=utf-8><title>Log in</title></head><body><p>Hello<br></body></html>"
XHTML = "<html><head><title>Log in</title></head><body><p>Hello</p></body></html>"
PORTALS = {
    "a page": Reply(200, HTML, PAGE),
    "a page in XML": Reply(200, {"Content-Type": "application/xhtml+xml"}, XHTML),
    "a static page": Reply(200, HTML | FILE, PAGE),
    "nothing": Reply(200),
    "no content": Reply(204),
    "not found": Reply(404, HTML, PAGE),
    "log in first": Reply(511, HTML, PAGE),
}
LARGE = pattern(PART + 1)
Operation = Callable[[S3BlobStore], Awaitable[object]]
OPERATIONS: dict[str, Operation] = {
    "check": S3BlobStore.check,
    "put": lambda store: store.put(KEY, each([b"x"])),
    "large put": lambda store: store.put(KEY, chunked(LARGE)),
    "stat": lambda store: store.stat(KEY),
    "read": lambda store: read(store, KEY),
    "range": lambda store: read(store, KEY, ByteRange(0, 10)),
    "delete": lambda store: store.delete(KEY),
    "list": keys,
}


async def expect_refusal(store: S3BlobStore, operation: Operation, match: str = "") -> None:
    with pytest.raises(BlobError, match=match or None) as caught:
        await operation(store)
    assert caught.value.kind is Kind.UNAVAILABLE
    assert "<html" not in caught.value.detail


class TestPortals:
    @pytest.mark.parametrize("portal", PORTALS)
    async def test_no_reply_of_one_is_taken_for_that_of_s3(self, portal: str) -> None:
        async with on_fake_s3({"*": PORTALS[portal]}) as (_, store):
            for operation in OPERATIONS.values():
                await expect_refusal(store, operation)

    async def test_the_error_says_what_to_do(self) -> None:
        async with on_fake_s3({"*": PORTALS["a page in XML"]}) as (_, store):
            await expect_refusal(store, S3BlobStore.check, "should be S3 is not.*no Name.*Check S3_ENDPOINT")

    @pytest.mark.parametrize("operation", ["DeleteObject", "ListMultipartUploads", "AbortMultipartUpload"])
    async def test_garbage_is_not_forgotten(self, operation: str) -> None:
        """A page in place of one request of a delete would have the reaper forget the object."""
        async with on_fake_s3(uploads=(KEY.value,)) as (server, store):
            for portal in PORTALS.values():
                if portal.status != 204 or operation == "ListMultipartUploads":  # else it is as S3 replies
                    server.replies = {operation: portal}
                    await expect_refusal(store, OPERATIONS["delete"])

    async def test_200_confirms_a_deletion_if_it_has_a_request_id(self) -> None:
        async with on_fake_s3({"DeleteObject": Reply(200, ID)}) as (_, store):
            await store.delete(KEY)


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 307])
    async def test_a_redirect_to_nowhere_is_refused(self, status: int) -> None:
        async with on_fake_s3({"*": error(status, "PermanentRedirect")}) as (server, store):
            for operation in OPERATIONS.values():
                server.operations.clear()
                await expect_refusal(store, operation)
                assert len(server.operations) < 10

    async def test_a_region_that_can_not_be_found_out_is_refused(self) -> None:
        replies = {"GetObject": error(301, "PermanentRedirect"), "HeadObject": Reply(503, ID)}  # HeadBucket, too
        observer = Retries()
        async with FakeS3(replies) as server:
            config = S3Config("b", "r", "a", "s", server.url, path_style=True, attempts=2)
            async with S3BlobStore(config, observer=observer) as store:
                await expect_refusal(store, OPERATIONS["read"], "PermanentRedirect")
        assert observer.operations == ["check"]


class TestMalformedResponses:
    @pytest.mark.parametrize(
        "header", [{"Last-Modified": "yesterday"}, {"Last-Modified": ""}, {"x-amz-missing-meta": ""}]
    )
    @pytest.mark.parametrize("operation", ["stat", "read"])
    async def test_a_header_without_its_value(self, operation: str, header: dict[str, str]) -> None:
        reply = Reply(200, ID | FILE | header, "x")
        async with on_fake_s3({"HeadObject": reply, "GetObject": reply}) as (_, store):
            await expect_refusal(store, OPERATIONS[operation], "should be S3 is not")

    @pytest.mark.parametrize(
        ("operation", "body", "match"),
        [
            ("ListObjects", "<Name>b</Name><Contents><LastModified>x</LastModified></Contents>", "malformed"),
            ("ListObjects", "<Name>b</Name><IsTruncated>true</IsTruncated>", "no NextContinuationToken"),
            ("ListMultipartUploads", "<Bucket>b</Bucket><IsTruncated>true</IsTruncated>", "no NextKeyMarker"),
        ],
    )
    async def test_a_list_without_its_end(self, operation: str, body: str, match: str) -> None:
        async with on_fake_s3({operation: Reply(200, ID, f"<R>{body}</R>")}) as (_, store):
            await expect_refusal(store, keys, match)


class Retries(Unobserved):
    def __init__(self) -> None:
        self.operations: list[str] = []

    def retried(self, backend: str, operation: str) -> None:
        self.operations.append(operation)


class TestHalfAServer:
    async def test_the_fake_is_taken_for_s3(self) -> None:
        async with on_fake_s3() as (_, store):
            for name in ("check", "put", "read", "delete", "list"):
                await OPERATIONS[name](store)

    async def test_a_small_put_is_one_request(self) -> None:
        async with on_fake_s3() as (server, store):
            assert await store.put(KEY, each([b"x"])) == Stored(1)
            assert server.operations == ["PutObject"]

    async def test_a_large_put_asks_for_the_size_once(self) -> None:
        async with on_fake_s3(size=len(LARGE)) as (server, store):
            assert await store.put(KEY, chunked(LARGE)) == Stored(len(LARGE))
            assert server.operations[-2:] == ["CompleteMultipartUpload", "HeadObject"]

    @pytest.mark.parametrize(
        ("operation", "reply", "match"),
        [
            ("CreateMultipartUpload", Reply(200, ID, "<R/>"), "no UploadId"),
            ("UploadPart", Reply(200, ID), "no ETag"),
            ("CompleteMultipartUpload", Reply(200, ID, "<R/>"), "not name the object"),
            ("CompleteMultipartUpload", Reply(200, ID, "<R><Key>x</Key><ETag>e</ETag></R>"), "not name the object"),
            ("CompleteMultipartUpload", Reply(200, ID, "<Error><Code>SlowDown</Code></Error>"), "SlowDown"),
            ("CompleteMultipartUpload", Reply(200, ID), "not name the object"),
        ],
    )
    async def test_a_large_put_needs_each_of_its_confirmations(self, operation: str, reply: Reply, match: str) -> None:
        async with on_fake_s3({operation: reply}, size=len(LARGE)) as (_, store):
            await expect_refusal(store, OPERATIONS["large put"], match)

    async def test_a_large_put_of_which_not_all_is_kept(self) -> None:
        async with on_fake_s3(size=PART) as (server, store):
            await expect_refusal(store, OPERATIONS["large put"], "keeps 5,242,880 bytes of the 5,242,881")
            assert server.operations[-1] == "DeleteObject"

    async def test_a_small_put_needs_an_etag(self) -> None:
        async with on_fake_s3({"PutObject": Reply(200, ID)}) as (_, store):
            await expect_refusal(store, OPERATIONS["put"], "no ETag")

    async def test_a_range_that_is_not_heeded(self) -> None:
        async with on_fake_s3(size=100) as (_, store):
            await expect_refusal(store, partial(read, key=KEY, byte_range=ByteRange(50, 60)), "instead of bytes 50-")
        late = Reply(206, ID | FILE | {"Content-Range": "bytes 40-49/100"}, "x" * 10)
        async with on_fake_s3({"GetObject": late}) as (_, store):
            await expect_refusal(store, partial(read, key=KEY, byte_range=ByteRange(50, 60)), "instead of bytes 50-")
            await expect_refusal(store, partial(read, key=KEY), "instead of all bytes")


class TestUploadsOfOthers:
    async def test_an_upload_whose_key_only_begins_alike_stays_open(self) -> None:
        """The list is by prefix, which finds longer keys too."""
        async with on_fake_s3(uploads=(KEY.value, f"{KEY}.part", f"{KEY}/1")) as (server, store):
            await store.delete(KEY)
            assert server.aborted == [KEY.value]
