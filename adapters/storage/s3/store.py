"""Objects in a bucket of AWS S3 or a compatible server, over aiobotocore.

A small object is one PutObject, a larger one a multipart upload. `delete` aborts uploads that a killed put left open.
"""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import ClientError

from adapters.concurrency.shield import run_to_completion
from adapters.storage.chunking import PeekableChunks
from adapters.storage.s3.body import Body
from adapters.storage.s3.config import S3Config
from adapters.storage.s3.features import S3Features, code
from adapters.storage.s3.listing import names
from adapters.storage.s3.multipart import S3Uploads
from adapters.storage.s3.requests import KINDS, S3Requests
from adapters.storage.s3.responses import LIST, OBJECT, require, require_range
from adapters.storage.s3.session import new_client
from application.ports.blob_store import BlobStore, Stored
from application.ports.features import FeatureReport, unreported
from application.ports.observer import UNOBSERVED, Observer
from domain.blob import OBJECT_KEY, ByteRange, ObjectKey
from domain.errors import AlreadyExists, BlobError, Kind

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

CHUNK = 1024 * 1024
# Operations by their requests.
OPERATIONS = {
    "ListObjectsV2": "list",
    "ListMultipartUploads": "list",
    "PutObject": "put",
    "CreateMultipartUpload": "put",
    "UploadPart": "put",
    "CompleteMultipartUpload": "put",
    "GetObject": "read",
    "HeadObject": "stat",
    "DeleteObject": "delete",
    "AbortMultipartUpload": "delete",
}
R2 = ".r2.cloudflarestorage.com"
"""The servers of Cloudflare, which take only equal parts."""
OWN = "check"  # the operation of the client's own requests: HeadBucket for the region, CreateSession for the login


class S3BlobStore(BlobStore):
    """Objects in a bucket. Enter the context before use.

    Requests that the client repeats are reported to the observer, by operation.
    """

    def __init__(
        self,
        config: S3Config,
        backend: str = "s3",
        observer: Observer = UNOBSERVED,
        report: FeatureReport = unreported,
    ) -> None:
        self.backend = backend
        self._observer = observer
        self._config = config
        self._bucket = config.bucket
        self._features = S3Features(report)
        if config.parts.step and R2 in config.endpoint:
            self._features.require_equal_parts()
        self._requests = S3Requests(config.bucket, config.request_timeout, self._features)
        self._stack = AsyncExitStack()
        self._client: S3Client
        self._uploads: S3Uploads

    async def __aenter__(self) -> Self:
        self._client = await self._stack.enter_async_context(new_client(self._config))
        self._client.meta.events.register("needs-retry.s3", self._report_retry)
        self._uploads = S3Uploads(self._client, self._requests)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def _report_retry(self, attempts: int, operation: Any, **_: Any) -> None:
        """Report a repeated request: the event follows each attempt."""
        if attempts > 1:
            self._observer.retried(self.backend, OPERATIONS.get(operation.name, OWN))

    async def check(self) -> None:
        with self._requests.translate_errors():
            await self._requests.send_expecting(self._client.list_objects_v2(Bucket=self._bucket, MaxKeys=1), *LIST)

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        sizes = self._features.part_sizes(self._config.parts)
        with self._uploads.reserve_part():
            async with aclosing(PeekableChunks(chunks, sizes)) as parts:
                size = await parts.first_size()
                try:
                    if size == sizes.least:
                        return await self._uploads.put(key, parts)
                    return await self._put_whole(key, Body(await anext(parts)), size)
                except BaseException as error:
                    await self._undo(key, error)
                    raise

    async def _put_whole(self, key: ObjectKey, data: Body, size: int) -> Stored:
        async def send(**condition: Any) -> object:
            data.seek(0)
            whole = self._client.put_object(Bucket=self._bucket, Key=key.value, Body=data, **condition)
            return await self._requests.send_expecting(whole, "ETag", body=data)

        with self._requests.translate_errors():
            try:
                # To completion: a request that is dropped may still arrive, after the delete that cleans up.
                await run_to_completion(self._features.write(send))
            except ClientError as error:
                if KINDS.get(code(error)) is not Kind.ALREADY_EXISTS or not await self._is_stored(key, data):
                    raise
        return Stored(size)

    async def _is_stored(self, key: ObjectKey, data: Body) -> bool:
        """Whether the object has these bytes: then a client or a proxy has repeated the put after a lost response."""
        try:
            response = await self._requests.timed(self._client.get_object(Bucket=self._bucket, Key=key.value))
        except ClientError:
            return False
        async with response["Body"] as body:
            require(response, *OBJECT)
            if response["ContentLength"] != len(data.getbuffer()):
                return False
            if response["ETag"].strip('"') == hashlib.md5(data.getbuffer(), usedforsecurity=False).hexdigest():
                return True
            return bool(await body.read() == data.getbuffer())  # the ETag need not be the MD5

    async def _undo(self, key: ObjectKey, error: BaseException) -> None:
        """Clean up after a failed put."""
        with suppress(BlobError), self._requests.translate_errors():  # the reaper deletes what remains
            await self._uploads.abort(key)
            if not isinstance(error, AlreadyExists):
                await self._requests.delete_object(self._client.delete_object(Bucket=self._bucket, Key=key.value))

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        arguments: Any = {"Bucket": self._bucket, "Key": key.value}
        if byte_range is not None:
            arguments["Range"] = f"bytes={byte_range.start}-{byte_range.stop - 1}"
        async with AsyncExitStack() as stack:
            with self._requests.translate_errors():
                response = await self._requests.timed(self._client.get_object(**arguments))
                body = await stack.enter_async_context(response["Body"])
                require(response, *OBJECT)
                require_range(response, byte_range)
            yield self._read(key, body)

    async def stat(self, key: ObjectKey) -> Stored:
        with self._requests.translate_errors():
            try:
                found = await self._requests.send_expecting(
                    self._client.head_object(Bucket=self._bucket, Key=key.value), *OBJECT
                )
            except ClientError as error:
                if code(error) != "404":
                    raise
                # Or the bucket is missing: the body of a GET response says which.
                response = await self._requests.timed(self._client.get_object(Bucket=self._bucket, Key=key.value))
                response["Body"].close()
                require(response, *OBJECT)
                return _stored(response)
            return _stored(found)

    async def delete(self, key: ObjectKey) -> None:
        with self._requests.translate_errors():
            await self._uploads.abort(key)
            await self._requests.delete_object(self._client.delete_object(Bucket=self._bucket, Key=key.value))

    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        with self._requests.translate_errors():
            async for name in names(self._client, self._bucket, "" if after is None else after.value, self._features):
                if OBJECT_KEY.fullmatch(name):
                    yield ObjectKey(name)

    async def _read(self, key: ObjectKey, body: Any) -> AsyncIterator[bytes]:
        with self._requests.translate_errors():
            async for chunk in body.iter_chunks(CHUNK):
                if chunk:
                    yield chunk


def _stored(response: "HeadObjectOutputTypeDef | GetObjectOutputTypeDef") -> Stored:
    return Stored(response["ContentLength"], response["LastModified"].astimezone(UTC))
