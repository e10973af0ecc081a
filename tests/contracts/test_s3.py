"""The S3 store under the contract, on a Ceph RADOS gateway, and what it makes of servers that fail."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from adapters.storage.s3.config import S3Config
from adapters.storage.s3.part_sizes import PART, PartSizes
from adapters.storage.s3.store import S3BlobStore
from application.ports.blob_store import BlobStore
from domain.blob import ByteRange, ObjectKey
from domain.errors import BlobError, Kind
from tests.backends import ceph
from tests.contracts.abilities import BackendContract
from tests.contracts.blob_store import MIB, chunked, each, keys, pattern, read, refused


@pytest.mark.docker
class TestS3(BackendContract):
    row = "S3 (Ceph 18)"

    @pytest.fixture
    async def store(self, s3_bucket: S3Config) -> AsyncIterator[BlobStore]:
        """As a user who has no more rights than the page on hardening says."""
        async with S3BlobStore(ceph.as_other_user(s3_bucket)) as store:
            yield store

    async def residue(self, store: BlobStore) -> list[str]:
        assert isinstance(store, S3BlobStore)
        client = store._client
        uploads = await client.list_multipart_uploads(Bucket=store._bucket)
        objects = await client.list_objects_v2(Bucket=store._bucket)
        return [
            *(f"open upload: {upload['Key']}" for upload in uploads.get("Uploads", [])),
            *(found["Key"] for found in objects.get("Contents", [])),
        ]

    async def test_what_a_killed_put_left_open_is_aborted(self, store: BlobStore) -> None:
        assert isinstance(store, S3BlobStore)
        key = ObjectKey.random()
        upload = await store._client.create_multipart_upload(Bucket=store._bucket, Key=key.value)
        await store._client.upload_part(
            Bucket=store._bucket, Key=key.value, UploadId=upload["UploadId"], PartNumber=1, Body=b"x"
        )
        await store.delete(key)

    async def test_what_others_have_open_stays_so(self, store: BlobStore) -> None:
        """An abort of all that is open would break off every upload in progress, with each put that fails."""
        assert isinstance(store, S3BlobStore)
        key = ObjectKey("ab" * 16)
        others = [f"{key}.part", f"{key.value[:31]}c", ObjectKey.random().value]
        client, bucket = store._client, store._bucket
        opened = [await client.create_multipart_upload(Bucket=bucket, Key=other) for other in others]

        async def failing() -> AsyncIterator[bytes]:
            yield pattern(PART + 1)
            raise LookupError

        with pytest.raises(LookupError):
            await store.put(key, failing())
        await store.delete(key)
        left = await client.list_multipart_uploads(Bucket=bucket)
        assert sorted(upload["Key"] for upload in left["Uploads"]) == sorted(others)
        for other, upload in zip(others, opened, strict=True):
            await client.abort_multipart_upload(Bucket=bucket, Key=other, UploadId=upload["UploadId"])

    async def test_what_a_killed_put_left_open_is_listed(self, store: BlobStore) -> None:
        assert isinstance(store, S3BlobStore)
        objects = [await self.put(store, b"x") for _ in range(5)]
        left = [ObjectKey.random() for _ in range(5)]
        for key in [*left, left[0], objects[0]]:  # some twice
            await store._client.create_multipart_upload(Bucket=store._bucket, Key=key.value)
        listed = sorted([*objects, *left])
        assert await keys(store) == listed
        for position, key in enumerate(listed):
            assert await keys(store, key) == listed[position + 1 :]
        with refused(Kind.NOT_FOUND):
            await store.stat(left[0])
        for key in left:
            await store.delete(key)
        await store._uploads.abort(objects[0])
        assert await keys(store) == sorted(objects)

    async def test_parts_that_grow_hold_the_largest_object(self, s3_bucket: S3Config) -> None:
        """Ten parts in place of ten thousand, and ten times as much as they hold if they are equal."""
        largest = 10 * PART + 5 * MIB
        parts = PartSizes(largest, count=10)
        async with S3BlobStore(replace(s3_bucket, parts=parts)) as store:
            data = pattern(largest)
            key = await self.put(store, data)
            assert await read(store, key) == data
            head = await store._client.head_object(Bucket=store._bucket, Key=key.value)
            assert head["ETag"].endswith('-10"'), "the number of parts is another one"
            await store.delete(key)
            self.alive.discard(key)
            with refused(Kind.TOO_LARGE):
                await store.put(ObjectKey.random(), chunked(data + pattern(PART)))
            assert await self.residue(store) == []

    async def test_what_else_is_in_the_bucket_is_left_alone(self, store: BlobStore) -> None:
        assert isinstance(store, S3BlobStore)
        await store._client.put_object(Bucket=store._bucket, Key="somebody/else's", Body=b"x")
        assert await keys(store) == []
        await store._client.delete_object(Bucket=store._bucket, Key="somebody/else's")

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"bucket": "nobodys"}, "The bucket nobodys can't be used: .*NoSuchBucket"),
            ({"secret_key": "wrong"}, "The bucket drivebay-\\w+ can't be used: .*SignatureDoesNotMatch"),
            ({"access_key": "wrong"}, "The bucket drivebay-\\w+ can't be used: .*InvalidAccessKeyId"),
        ],
    )
    async def test_what_lets_nobody_in_is_never_absence(
        self, s3_bucket: S3Config, change: dict[str, Any], why: str
    ) -> None:
        key = ObjectKey.random()
        async with S3BlobStore(replace(s3_bucket, **change)) as store:
            with pytest.raises(BlobError, match=why):
                await store.check()
            for failing in (store.stat(key), read(store, key), store.delete(key), store.put(key, each([b"x"]))):
                with refused(Kind.UNAVAILABLE):
                    await failing


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
HEAD = "HTTP/1.1 {}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n"
DATE = "Fri, 27 Oct 2023 10:00:00 GMT"
OF_AN_OBJECT = f'HTTP/1.1 {{}}\r\nETag: "e"\r\nLast-Modified: {DATE}\r\nContent-Length: {{}}\r\n\r\n'


@asynccontextmanager
async def answering(
    answer: Answer, patience: float = 15, asked: deque[str] | None = None
) -> AsyncIterator[S3BlobStore]:
    """A store on a server that gives this answer to whatever it is asked for; `patience` is in seconds."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if asked is not None:
                asked.append(head.decode().split(" ")[1])
            await answer(reader, writer)
            await writer.drain()
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = S3Config("b", "r", "a", "s", endpoint, path_style=True, attempts=1)
        impatient = replace(config, connect_timeout=patience, read_timeout=patience, request_timeout=patience * 2)
        async with S3BlobStore(impatient) as store:
            yield store


class TestServersThatFail:
    async def expect(self, answer: Answer, kind: Kind, patience: float = 15) -> None:
        key = ObjectKey.random()
        async with answering(answer, patience) as store:
            for failing in (store.stat(key), read(store, key), read(store, key, ByteRange(0, 1)), store.delete(key)):
                with refused(kind):
                    await failing
            with refused(kind):
                await store.put(key, each([b"x"]))

    async def test_one_that_is_too_busy(self) -> None:
        async def slow_down(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            body = "<Error><Code>SlowDown</Code></Error>"
            writer.write((HEAD.format("503 Slow Down", len(body)) + body).encode())

        await self.expect(slow_down, Kind.UNAVAILABLE)

    async def test_one_that_hangs_up(self) -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        await self.expect(hang_up, Kind.UNAVAILABLE)

    async def test_one_that_talks_nonsense(self) -> None:
        async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 Welcome to this FTP server\r\n")

        await self.expect(babble, Kind.UNAVAILABLE)

    async def test_one_that_does_not_answer(self) -> None:
        async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            while await reader.read(100_000):
                pass

        await self.expect(say_nothing, Kind.TIMEOUT, patience=0.1)

    async def test_a_small_put_is_one_trip(self) -> None:
        heads: list[bytes] = []

        async def store_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readexactly(1))
            writer.write((OF_AN_OBJECT.format("200 OK", 0)).encode())

        async with answering(store_it) as store:
            await store.put(ObjectKey.random(), each([b"x"]))
        assert heads == [b"x"], "sent without waiting for the server's go-ahead"

    async def test_an_upload_that_is_being_created_is_waited_for(self) -> None:
        """Else it would be open for good: the clean-up of a cancelled put lists the uploads before it is there."""
        creating, going_on = asyncio.Event(), asyncio.Event()
        requests = iter(("look", "create"))

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            match next(requests, "clean up"):
                case "look":
                    writer.write(HEAD.format("404 Not Found", 0).encode())
                case "create":
                    creating.set()
                    await going_on.wait()
                    body = "<R><UploadId>u</UploadId></R>"
                    writer.write((HEAD.format("200 OK", len(body)) + body).encode())
                case _:
                    writer.write((HEAD.format("200 OK", 4) + "<R/>").encode())

        async with answering(answer) as store:
            putting = asyncio.create_task(store.put(ObjectKey.random(), chunked(pattern(2 * PART))))
            await creating.wait()
            putting.cancel()
            ended, _ = await asyncio.wait({putting}, timeout=0.2)
            assert not ended, "it cleared up while the upload was being created"
            going_on.set()
            with pytest.raises(asyncio.CancelledError):
                await putting

    async def test_open_uploads_on_many_pages(self) -> None:
        async def list_it(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            query = parse_qs(asked.popleft().partition("?")[2], keep_blank_values=True)
            left = [key for key in uploads if "uploads" in query and key > query["key-marker"][0]]
            found = "".join(f"<Upload><Key>{key}</Key></Upload>" for key in left[:2])
            more = (
                f"<NextKeyMarker>{left[1]}</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>"
                if len(left) > 2
                else ""
            )
            names = "<Name>b</Name><Bucket>b</Bucket>"
            body = f"<R>{names}{found}{more}<IsTruncated>{str(bool(more)).lower()}</IsTruncated></R>"
            writer.write((HEAD.format("200 OK", len(body)) + body).encode())

        uploads = [f"{number:032x}" for number in range(1, 8)]
        asked: deque[str] = deque()
        async with answering(list_it, asked=asked) as store:
            assert [key.value for key in await keys(store)] == uploads
            assert [key.value for key in await keys(store, ObjectKey(uploads[2]))] == uploads[3:]

    async def test_one_that_is_full(self) -> None:
        async def full(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            body = "<Error><Code>QuotaExceeded</Code></Error>"
            writer.write((HEAD.format("403 Forbidden", len(body)) + body).encode())

        async with answering(full) as store:
            with refused(Kind.NO_SPACE):
                await store.put(ObjectKey.random(), each([b"x"]))

    async def test_a_body_that_is_cut_short_or_stalls(self) -> None:
        async def cut_short(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(OF_AN_OBJECT.format("200 OK", 1000).encode() + b"x" * 500)

        async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await cut_short(reader, writer)
            await reader.read()

        for answer, kind, patience in ((cut_short, Kind.UNAVAILABLE, 15), (stall, Kind.TIMEOUT, 0.1)):
            async with answering(answer, patience) as store:
                with refused(kind):
                    await read(store, ObjectKey.random())

    async def test_one_that_is_not_there(self) -> None:
        async with S3BlobStore(S3Config("b", endpoint="http://127.0.0.1:1", access_key="a", secret_key="s")) as store:
            with pytest.raises(BlobError, match="S3 can't be reached") as caught:
                await store.check()
            assert caught.value.kind is Kind.UNAVAILABLE
