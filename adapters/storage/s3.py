"""Objects in an S3 bucket, of AWS or of any server that speaks S3, over aiobotocore.

A small object is one PutObject. A larger one is a multipart upload with a bounded number of parts in flight, so its
size is not felt in memory. What a killed put leaves open is found by its key, and aborted by `delete`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError
from botocore.handlers import add_expect_header

from adapters.cancellation import to_the_end
from adapters.storage.recut import recut
from application.ports.blob_store import BlobStore, Stored
from domain.blob import OBJECT_KEY, ByteRange, ObjectKey
from domain.errors import DriveError, Kind

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

T = TypeVar("T")

PART = 8 * 1024 * 1024  # S3 takes 5 MiB at least, and 10,000 parts at most
PARTS_IN_FLIGHT = 3  # of one upload
CHUNK = 1024 * 1024

# By the codes of S3's errors ("Error responses" in the API reference). HEAD has no body, so its codes are statuses.
KINDS = {
    "NoSuchKey": Kind.NOT_FOUND,
    "PreconditionFailed": Kind.ALREADY_EXISTS,
    "412": Kind.ALREADY_EXISTS,
    "InvalidRange": Kind.RANGE_NOT_SATISFIABLE,
    "416": Kind.RANGE_NOT_SATISFIABLE,
    "QuotaExceeded": Kind.NO_SPACE,
    "InsufficientStorage": Kind.NO_SPACE,
    "XMinioStorageFull": Kind.NO_SPACE,
    "507": Kind.NO_SPACE,
    "RequestTimeout": Kind.TIMEOUT,
}
DETAILS = {
    Kind.NOT_FOUND: "There is no object under this key.",
    Kind.ALREADY_EXISTS: "An object is under this key already.",
    Kind.RANGE_NOT_SATISFIABLE: "The range starts behind the object's end.",
    Kind.NO_SPACE: "The bucket's storage is full, or its quota is used up.",
}


@dataclass(frozen=True, slots=True)
class S3Config:
    """`endpoint` is AWS's own if there is none. `streams`: how many objects may be written and read at once.

    Times are in seconds: to connect, for an answer or the next bytes, for a whole request (of up to a part), for a free
    stream. `attempts`: how often a request is made that fails for reasons that may pass.
    """

    bucket: str
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    endpoint: str = ""
    path_style: bool = False
    streams: int = 32
    connect_timeout: float = 5
    read_timeout: float = 30
    request_timeout: float = 60
    wait_timeout: float = 10
    attempts: int = 2


class S3BlobStore(BlobStore):
    """Objects in a bucket. To be entered before use; `check` says whether the bucket can be used."""

    def __init__(self, config: S3Config, backend: str = "s3") -> None:
        self.backend = backend
        self._config = config
        self._bucket = config.bucket
        self._stack = AsyncExitStack()
        self._streams = asyncio.Semaphore(config.streams)
        self._client: S3Client

    async def __aenter__(self) -> Self:
        config = self._config
        options = AioConfig(
            # Each stream has one request at a time, but for the parts of an upload.
            max_pool_connections=config.streams * PARTS_IN_FLIGHT,
            connect_timeout=config.connect_timeout,
            read_timeout=config.read_timeout,
            retries={"mode": "standard", "total_max_attempts": config.attempts},
            # Many servers refuse the trailers of the newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if config.path_style else "auto"},
        )
        client = get_session().create_client(
            "s3",
            region_name=config.region,
            endpoint_url=config.endpoint or None,
            aws_access_key_id=config.access_key or None,
            aws_secret_access_key=config.secret_key or None,
            config=options,
        )
        self._client = await self._stack.enter_async_context(client)
        # A trip more for each small object; and a wait for the server's go-ahead has no timeout of its own.
        self._client.meta.events.unregister("before-call.s3", add_expect_header)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def check(self) -> None:
        with self._translating("check", ""):
            await self._timed(self._client.list_objects_v2(Bucket=self._bucket, MaxKeys=1))

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        async with self._stream(), aclosing(recut(chunks, PART)) as parts:
            first = await anext(parts)
            second = await anext(parts, None)
            try:
                if second is None:
                    return await self._put_whole(key, first)
                return await self._put_in_parts(key, _chained(first, second, parts))
            except BaseException as error:
                await self._undo(key, error)
                raise

    async def _put_whole(self, key: ObjectKey, data: bytes) -> Stored:
        whole = self._client.put_object(Bucket=self._bucket, Key=key.value, Body=data, IfNoneMatch="*")
        with self._translating("put", key):
            # To the end: a request that is dropped may land after all, behind the delete of what it left.
            await to_the_end(self._timed(whole))
        return Stored(len(data))

    async def _put_in_parts(self, key: ObjectKey, parts: AsyncIterator[bytes]) -> Stored:
        # What the source of the parts raises is not S3's, so each request is translated, and not all of this at once.
        with self._translating("put", key):
            await self._refuse_what_is_there(key)
            # To the end, as above: an upload that is created unseen stays open.
            created = await to_the_end(
                self._timed(self._client.create_multipart_upload(Bucket=self._bucket, Key=key.value))
            )
        upload: _Upload = {"Bucket": self._bucket, "Key": key.value, "UploadId": created["UploadId"]}
        in_flight: deque[asyncio.Task[CompletedPartTypeDef]] = deque()
        done: list[CompletedPartTypeDef] = []
        size = number = 0
        try:
            async for part in parts:
                if len(in_flight) == PARTS_IN_FLIGHT:
                    done.append(await in_flight.popleft())
                number += 1
                size += len(part)
                in_flight.append(asyncio.create_task(self._send(upload, number, part)))
            done += [await sent for sent in in_flight]
        except BaseException:
            # A part that lands after its upload was aborted would stay, and be paid for.
            for sending in in_flight:
                sending.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)
            raise
        parts_are_one = self._client.complete_multipart_upload(
            **upload, MultipartUpload={"Parts": done}, IfNoneMatch="*"
        )
        with self._translating("put", key):
            await to_the_end(self._timed(parts_are_one))
        return Stored(size)

    async def _refuse_what_is_there(self, key: ObjectKey) -> None:
        """Not every server heeds If-None-Match when an upload is completed. Keys are used once, so a look will do."""
        try:
            await self._timed(self._client.head_object(Bucket=self._bucket, Key=key.value))
        except ClientError as error:
            if _code(error) != "404":
                raise
        else:
            raise self._error(Kind.ALREADY_EXISTS, DETAILS[Kind.ALREADY_EXISTS], "put", key)

    async def _send(self, upload: "_Upload", number: int, part: bytes) -> "CompletedPartTypeDef":
        with self._translating("put", upload["Key"]):
            sent = await self._timed(self._client.upload_part(**upload, PartNumber=number, Body=part))
        return {"ETag": sent["ETag"], "PartNumber": number}

    async def _undo(self, key: ObjectKey, error: BaseException) -> None:
        """Clear up after a put that failed, also where it is not known how far it came."""
        with suppress(DriveError), self._translating("put", key):  # what is left now is found by the reaper
            await self._abort_uploads(key)
            if not (isinstance(error, DriveError) and error.kind is Kind.ALREADY_EXISTS):
                await self._timed(self._client.delete_object(Bucket=self._bucket, Key=key.value))

    @asynccontextmanager
    async def open(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        wanted: Any = {"Bucket": self._bucket, "Key": key.value}
        if byte_range is not None:
            wanted["Range"] = f"bytes={byte_range.start}-{byte_range.stop - 1}"
        async with self._stream(), AsyncExitStack() as stack:
            with self._translating("open", key):
                answer = await self._timed(self._client.get_object(**wanted))
                body = await stack.enter_async_context(answer["Body"])
            yield self._read(key, body)

    async def stat(self, key: ObjectKey) -> Stored:
        with self._translating("stat", key):
            try:
                found = await self._timed(self._client.head_object(Bucket=self._bucket, Key=key.value))
            except ClientError as error:
                if _code(error) != "404":
                    raise
                # The bucket may be what is missing: GET has a body that tells.
                answer = await self._timed(self._client.get_object(Bucket=self._bucket, Key=key.value))
                answer["Body"].close()
                return Stored(answer["ContentLength"])
            return Stored(found["ContentLength"])

    async def delete(self, key: ObjectKey) -> None:
        with self._translating("delete", key):
            await self._abort_uploads(key)
            await self._timed(self._client.delete_object(Bucket=self._bucket, Key=key.value))

    async def keys(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        start: Any = {} if after is None else {"StartAfter": after.value}
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **start)
        with self._translating("list", ""):
            async for page in pages:
                for found in page.get("Contents", []):
                    if OBJECT_KEY.fullmatch(found["Key"]):
                        yield ObjectKey(found["Key"])

    async def _abort_uploads(self, key: ObjectKey) -> None:
        open_uploads = await self._timed(self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key.value))
        for upload in open_uploads.get("Uploads", []):
            await self._timed(
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            )

    async def _read(self, key: ObjectKey, body: Any) -> AsyncIterator[bytes]:
        with self._translating("read", key):
            async for chunk in body.iter_chunks(CHUNK):
                if chunk:
                    yield chunk

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[None]:
        """A place among the streams at once. Raises TIMEOUT if there is none for too long."""
        try:
            async with asyncio.timeout(self._config.wait_timeout):
                await self._streams.acquire()
        except TimeoutError:
            detail = "Too many objects are being written and read. Try again later."
            raise DriveError(Kind.TIMEOUT, detail, backend=self.backend) from None
        try:
            yield
        finally:
            self._streams.release()

    @contextmanager
    def _translating(self, operation: str, key: object) -> Iterator[None]:
        """Say what went wrong in the port's words."""
        try:
            yield
        except ClientError as error:
            kind = KINDS.get(_code(error), Kind.UNAVAILABLE)
            detail = DETAILS.get(kind) or f"The bucket {self._bucket} can't be used: {error}."
            raise self._error(kind, detail, operation, key) from error
        except (ConnectTimeoutError, ReadTimeoutError, TimeoutError) as error:
            raise self._error(Kind.TIMEOUT, f"S3 did not answer in time: {error}.", operation, key) from error
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            raise self._error(Kind.UNAVAILABLE, f"S3 can't be reached: {error}.", operation, key) from error

    async def _timed(self, request: Coroutine[Any, Any, T]) -> T:
        """A request with its deadline. The client's own timeouts are for each of its steps, and not for all of them."""
        async with asyncio.timeout(self._config.request_timeout):
            return await request

    def _error(self, kind: Kind, detail: str, operation: str, key: object) -> DriveError:
        return DriveError(kind, detail, operation=operation, backend=self.backend, subject=key)


class _Upload(TypedDict):
    """What names a multipart upload."""

    Bucket: str
    Key: str
    UploadId: str


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


async def _chained(first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    yield second
    async for part in rest:
        yield part
