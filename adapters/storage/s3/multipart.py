"""Multipart uploads to S3, with bounded memory.

Each put holds one part, which is either gathered or sent; see part_sizes.py for its size. An upload sends further parts
concurrently only while these and a small part for each put take at most HELD bytes, so that one upload is fast and many
take little memory, and only after a part took less than QUICK seconds: on a slow uplink, concurrent parts would take
longer than the upload's lease. Otherwise it sends each part before it gathers the next.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from botocore.exceptions import ClientError

from adapters.concurrency.shield import run_to_completion
from adapters.storage.s3.body import Body
from adapters.storage.s3.features import UPLOAD_LISTS, code
from adapters.storage.s3.part_sizes import PART
from adapters.storage.s3.requests import S3Requests
from adapters.storage.s3.responses import OBJECT, UPLOADS, NotS3Error, require_key
from application.ports.blob_store import TAKEN, Stored
from domain.blob import ObjectKey
from domain.errors import AlreadyExists

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef, HeadObjectOutputTypeDef

    Sending = asyncio.Task[CompletedPartTypeDef]

HELD = 8 * PART  # bytes
SETTLED = {"PreconditionFailed", "412", "NoSuchUpload"}
"""Codes of a CompleteMultipartUpload that may have been repeated after its first response was lost."""
EQUAL = "same length"
"""Words of the text with which R2 rejects parts of different sizes. Other servers reject parts for other reasons."""
QUICK = 10  # seconds: at 4 Mbit/s a part takes as long


class S3Uploads:
    """Multipart uploads of one client."""

    def __init__(self, client: "S3Client", requests: S3Requests) -> None:
        self._client = client
        self._requests = requests
        self._held = 0  # bytes
        self._own: dict[str, str] = {}  # the ids of uploads that are open, by their keys
        self._is_quick = False

    @contextmanager
    def reserve_part(self) -> Iterator[None]:
        """Reserve the memory of one part for a put."""
        self._held += PART
        try:
            yield
        finally:
            self._held -= PART

    async def put(self, key: ObjectKey, parts: AsyncIterator[bytes]) -> Stored:
        """Upload the parts. If that fails, the upload is left open, for `abort`."""
        # Only the errors of requests are translated, not errors of the source.
        with self._requests.translate_errors():
            await self._require_absent(key)
            # To completion: an upload created after a cancellation would stay open.
            upload = await run_to_completion(self._create(key))
        sent, size = await self._send_all(upload, parts)
        with self._requests.translate_errors():
            await self._complete(upload, sent, size)
            await self._require_size(key, size)
        self._own.pop(key.value, None)  # unless it was aborted meanwhile, after a lost lease
        return Stored(size)

    async def _create(self, key: ObjectKey) -> "_Upload":
        creation = self._client.create_multipart_upload(Bucket=self._requests.bucket, Key=key.value)
        created = await self._requests.send_expecting(creation, "UploadId")
        self._own[key.value] = created["UploadId"]
        return {"Bucket": self._requests.bucket, "Key": key.value, "UploadId": created["UploadId"]}

    async def _complete(self, upload: "_Upload", sent: "list[CompletedPartTypeDef]", size: int) -> None:
        async def send(**condition: Any) -> None:
            completion = self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent}, **condition)
            # Ceph omits the ETag if the request is repeated. The size is checked instead.
            require_key(await self._requests.complete(completion, size), upload["Key"])

        try:
            # To completion: a request that is dropped may still arrive, after the delete that cleans up.
            await run_to_completion(self._requests.features.write(send))
        except ClientError as error:
            if code(error) == "InvalidPart" and EQUAL in str(error):
                self._requests.features.require_equal_parts()
            if code(error) not in SETTLED or not await self._exists(upload["Key"], size):
                raise

    async def abort(self, key: ObjectKey) -> None:
        """Abort all open uploads of the key that are known here or listed by the server."""
        own = self._own.get(key.value)
        for upload_id in {*await self._open_under(key), *([] if own is None else [own])}:
            upload: _Upload = {"Bucket": self._requests.bucket, "Key": key.value, "UploadId": upload_id}
            try:
                await self._requests.delete(self._client.abort_multipart_upload(**upload))
            except ClientError as error:
                if code(error) != "NoSuchUpload":  # already aborted or completed
                    raise
        # Only now: a server that lists no uploads can't name one whose abort has failed.
        self._own.pop(key.value, None)

    async def _open_under(self, key: ObjectKey) -> list[str]:
        """Return the ids of the uploads that the server lists under the key."""
        if not self._requests.features.may_have(UPLOAD_LISTS):
            return []
        listing = self._client.list_multipart_uploads(Bucket=self._requests.bucket, Prefix=key.value)
        try:
            found = (await self._requests.send_expecting(listing, *UPLOADS)).get("Uploads", [])
        except ClientError as error:
            self._requests.features.accept_missing_list(error)
            return []
        # The prefix also matches longer keys, of other applications.
        return [upload["UploadId"] for upload in found if upload["Key"] == key.value]

    async def _require_absent(self, key: ObjectKey) -> None:
        """Raise AlreadyExists if the key is taken: not all servers check If-None-Match in CompleteMultipartUpload."""
        try:
            await self._head(key.value)
        except ClientError as error:
            if code(error) != "404":
                raise
        else:
            raise AlreadyExists(TAKEN)

    async def _require_size(self, key: ObjectKey, size: int) -> None:
        """Raise NotS3Error if the object has another size: CompleteMultipartUpload does not return it."""
        kept = (await self._head(key.value))["ContentLength"]
        if kept != size:
            raise NotS3Error(f"it keeps {kept:,} bytes of the {size:,} that it took")

    async def _exists(self, key: str, size: int) -> bool:
        """Whether an object of this size exists. There was none before the upload, so it is the upload's."""
        try:
            return (await self._head(key))["ContentLength"] == size
        except ClientError:
            return False

    async def _head(self, key: str) -> "HeadObjectOutputTypeDef":
        head = self._client.head_object(Bucket=self._requests.bucket, Key=key)
        return await self._requests.send_expecting(head, *OBJECT)

    async def _send_all(
        self, upload: "_Upload", parts: AsyncIterator[bytes]
    ) -> "tuple[list[CompletedPartTypeDef], int]":
        """Return the parts as CompleteMultipartUpload takes them, and their total size in bytes."""
        sent: list[CompletedPartTypeDef] = []
        in_flight: deque[Sending] = deque()
        size = 0
        try:
            async for part in parts:
                length = len(part)
                size += length
                number = len(sent) + len(in_flight) + 1
                sending = asyncio.create_task(self._send(upload, number, Body(part)))
                in_flight.append(sending)
                del part  # frees it before the next one is gathered
                if self._is_quick and self._held + length <= HELD:
                    self._held += length
                    sending.add_done_callback(partial(self._release, length))
                else:
                    await asyncio.wait({sending})
                while in_flight and in_flight[0].done():
                    sent.append(in_flight.popleft().result())
            sent += [await sending for sending in in_flight]
        except BaseException:
            # A part that arrives after the abort would stay, and be paid for.
            for sending in in_flight:
                sending.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)
            raise
        return sent, size

    def _release(self, length: int, _: object) -> None:
        self._held -= length

    async def _send(self, upload: "_Upload", number: int, part: Body) -> "CompletedPartTypeDef":
        """Upload a part."""
        begun = time.monotonic()
        with self._requests.translate_errors():
            sending = self._client.upload_part(**upload, PartNumber=number, Body=part)
            sent = await self._requests.send_expecting(sending, "ETag", body=part)
        self._is_quick = time.monotonic() - begun < QUICK
        return {"ETag": sent["ETag"], "PartNumber": number}


class _Upload(TypedDict):
    """The name of a multipart upload: bucket, key and id."""

    Bucket: str
    Key: str
    UploadId: str
