"""A bucket, or the keys in it that begin with a prefix, as a tree of files.

An object appears whole or not at all, so it needs no temporary name. Its metadata keep what a listing does not have:
the time of the file (as rclone does) and the SHA-256.
"""

import base64
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from datetime import UTC
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import ClientError

from adapters.concurrency.shield import run_to_completion
from adapters.storage.chunking import PeekableChunks
from adapters.storage.s3.body import Body
from adapters.storage.s3.config import S3Config
from adapters.storage.s3.features import S3Features, code
from adapters.storage.s3.requests import S3Requests
from adapters.storage.s3.responses import LIST, OBJECT, UPLOADS, require
from adapters.storage.s3.session import new_client
from application.ports.features import unreported
from application.ports.file_times import MICROSECOND, MODIFIED_AT, time_as_text, time_in_text
from application.ports.file_tree import (
    FileChanged,
    FileDenied,
    FileExists,
    FileGone,
    FileProperties,
    FileTree,
    InvalidPath,
    OpenedFile,
    TreeFile,
    UnusableEntry,
    require_valid,
)
from domain.blob import Digest
from domain.errors import AlreadyExists, BlobError, InvalidMetadata, NotFound, Reason, Unavailable
from domain.properties import NAME, Properties

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

CHUNK = 1024 * 1024  # bytes
PAGE = 1000  # keys
MAX_KEY = 1024  # bytes
DIGEST = "drivebay-sha256"
# Headers of an object, by the names of their properties.
HEADERS = {
    "content_type": "ContentType",
    "content_encoding": "ContentEncoding",
    "content_language": "ContentLanguage",
    "content_disposition": "ContentDisposition",
    "cache_control": "CacheControl",
}


class BucketTree(FileTree):
    """The objects of a bucket whose keys begin with `prefix`. Enter the context before use."""

    resolution = MICROSECOND

    def __init__(self, config: S3Config, prefix: str = "") -> None:
        self._config = config
        self._bucket = config.bucket
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""
        self._features = S3Features(unreported)
        self._requests = S3Requests(config.bucket, config.request_timeout, self._features)
        self._stack = AsyncExitStack()
        self._client: S3Client

    async def __aenter__(self) -> Self:
        with self._requests.translate_errors():
            self._client = await self._stack.enter_async_context(new_client(self._config))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def check(self, *, create: bool = False) -> None:
        with self._requests.translate_errors():
            listing = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
            await self._requests.send_expecting(listing, *LIST)

    async def list(self) -> AsyncIterator[TreeFile | UnusableEntry]:
        after = ""
        while True:
            start: Any = {"StartAfter": after} if after else {}
            with self._requests.translate_errors():
                page = await self._requests.send_expecting(
                    self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=PAGE, **start), *LIST
                )
            contents = page.get("Contents", [])
            if page.get("IsTruncated") and (not contents or contents[-1]["Key"] == after):
                detail = (
                    f"The list of the bucket {self._bucket} never ends: the server repeats a page, or sends empty ones."
                )
                raise Unavailable(f"{detail} Use a server with ListObjectsV2 and StartAfter.")
            for found in contents:
                after = found["Key"]
                if path := after.removeprefix(self._prefix):
                    yield TreeFile(path, found["Size"], found["LastModified"].astimezone(UTC), found["ETag"].strip('"'))
            if not page.get("IsTruncated"):
                return

    async def find(self, path: str) -> TreeFile | None:
        require_valid(path)
        return await self._find(path)

    async def _find(self, path: str) -> TreeFile | None:
        with self._requests.translate_errors():
            head = self._client.head_object(Bucket=self._bucket, Key=self._key(path))
            try:
                found = await self._requests.send_expecting(head, *OBJECT)
            except ClientError as error:
                if code(error) in ("404", "NoSuchKey"):
                    return None
                raise
        about = _about(found)
        return TreeFile(path, found["ContentLength"], about.modified_at, found["ETag"].strip('"'), about.digest)

    @asynccontextmanager
    async def read(self, file: TreeFile) -> AsyncIterator[OpenedFile]:
        async with AsyncExitStack() as stack:
            condition: Any = {"IfMatch": f'"{file.etag}"'} if file.etag else {}
            with self._of_one_file():
                found = await self._requests.timed(
                    self._client.get_object(Bucket=self._bucket, Key=self._key(file.path), **condition)
                )
                body = await stack.enter_async_context(found["Body"])
                require(found, *OBJECT)
            if found["ContentLength"] != file.size or (file.etag and found["ETag"].strip('"') != file.etag):
                raise FileChanged("The object has changed since it was listed.")
            yield OpenedFile(_about(found), self._chunks(body))

    async def _chunks(self, body: Any) -> AsyncIterator[bytes]:
        with self._requests.translate_errors():
            async for chunk in body.iter_chunks(CHUNK):
                if chunk:
                    yield chunk

    @contextmanager
    def _of_one_file(self) -> Iterator[None]:
        """Translate the errors of a read."""
        try:
            with self._requests.translate_errors():
                yield
        except NotFound as error:
            raise FileGone("The object is not there any more.") from error
        except AlreadyExists as error:  # the code of a condition that does not hold
            raise FileChanged("The object has changed since it was listed.") from error
        except Unavailable as error:
            if error.reason is Reason.DENIED:
                raise FileDenied(error.detail) from error
            raise

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        require_valid(path)
        if len(self._key(path).encode()) > MAX_KEY:
            raise InvalidPath(f"The key of an object has up to {MAX_KEY:,} bytes.")
        if not replace and await self._find(path) is not None:
            raise FileExists("There is an object with this key.")
        target: Any = {"Bucket": self._bucket, "Key": self._key(path)}
        async with aclosing(PeekableChunks(chunks, self._config.parts)) as parts:
            size = await parts.first_size()
            try:
                if size == self._config.parts.least:
                    size = await self._write_parts(target, parts, _headers(about), replace=replace)
                else:
                    await self._write_whole(target, Body(await anext(parts)), _headers(about), replace=replace)
            except AlreadyExists as error:
                raise FileExists("There is an object with this key.") from error
        written = await self._find(path)
        if written is None or written.size != size:
            raise Unavailable(f"The bucket does not keep the {size:,} bytes that it confirmed.")
        return written

    async def _write_whole(self, target: Any, data: Body, headers: Any, *, replace: bool) -> None:
        async def send(**condition: Any) -> object:
            data.seek(0)
            put = self._client.put_object(**target, **headers, Body=data, **condition)
            return await self._requests.send_expecting(put, "ETag", body=data)

        with self._requests.translate_errors():
            await run_to_completion(send() if replace else self._features.write(send))

    async def _write_parts(self, target: Any, parts: AsyncIterator[bytes], headers: Any, *, replace: bool) -> int:
        await self._abort_older(target)
        with self._requests.translate_errors():
            created = await run_to_completion(
                self._requests.send_expecting(self._client.create_multipart_upload(**target, **headers), "UploadId")
            )
        upload = target | {"UploadId": created["UploadId"]}
        try:
            size, sent = 0, list["CompletedPartTypeDef"]()
            async for part in parts:  # its errors are not those of the bucket
                with self._requests.translate_errors():
                    body, number = Body(part), len(sent) + 1
                    sending = self._client.upload_part(**upload, PartNumber=number, Body=body)
                    response = await self._requests.send_expecting(sending, "ETag", body=body)
                sent.append({"PartNumber": number, "ETag": response["ETag"]})
                size += len(part)

            async def complete(**condition: Any) -> object:
                completion = self._client.complete_multipart_upload(
                    **upload, MultipartUpload={"Parts": sent}, **condition
                )
                return await self._requests.complete(completion, size, "Key")

            with self._requests.translate_errors():
                await run_to_completion(complete() if replace else self._features.write(complete))
        except BaseException:
            with suppress(BlobError):
                await run_to_completion(self._abort(upload))
            raise
        return size

    async def _abort_older(self, target: Any) -> None:
        """Abort uploads of the same key that a killed export has left, where the server lists them."""
        with self._requests.translate_errors():
            try:
                listing = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=target["Key"])
                found = (await self._requests.send_expecting(listing, *UPLOADS)).get("Uploads", [])
            except ClientError as error:
                self._features.accept_missing_list(error)
                return
        for each in found:
            if each["Key"] == target["Key"]:
                await self._abort(target | {"UploadId": each["UploadId"]})

    async def _abort(self, upload: Any) -> None:
        with self._requests.translate_errors():
            try:
                await self._requests.delete(self._client.abort_multipart_upload(**upload))
            except ClientError as error:
                if code(error) != "NoSuchUpload":
                    raise

    def _key(self, path: str) -> str:
        return self._prefix + path


def _about(response: Mapping[str, Any]) -> FileProperties:
    """Return what a response has about an object."""
    metadata = {name.lower(): _decoded(text) for name, text in response.get("Metadata", {}).items()}
    digest = metadata.pop(DIGEST, "")
    modified_at = time_in_text(metadata.pop(MODIFIED_AT, "")) or response["LastModified"].astimezone(UTC)
    headers: Any = {name: response.get(header) or "" for name, header in HEADERS.items()}
    metadata = {name: text for name, text in metadata.items() if NAME.fullmatch(name)}
    try:
        properties = Properties(**headers, metadata=metadata)
    except InvalidMetadata:  # a control character, which no header of Drivebay may have
        properties = Properties(**headers)
    return FileProperties(
        modified_at, Digest(bytes.fromhex(digest)) if re.fullmatch(r"[0-9a-f]{64}", digest) else None, properties
    )


def _headers(about: FileProperties) -> dict[str, Any]:
    """Return the arguments of a request that keep what is known about a file."""
    properties = about.properties or Properties()
    headers: dict[str, Any] = {
        header: text for name, header in HEADERS.items() if (text := getattr(properties, name)) and text.isascii()
    }
    metadata = {name: _encoded(text) for name, text in properties.metadata.items()}
    if about.modified_at is not None:
        metadata[MODIFIED_AT] = time_as_text(about.modified_at)
    if about.digest is not None:
        metadata[DIGEST] = about.digest.hex
    return headers | {"Metadata": metadata}


def _encoded(text: str) -> str:
    """Return a text as S3 takes it, in ASCII: other characters by RFC 2047, as S3 itself returns them."""
    if text.isascii() and text.isprintable() and not text.startswith("=?"):
        return text
    return f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="


def _decoded(text: str) -> str:
    if not text.startswith("=?"):
        return text
    try:
        return str(make_header(decode_header(text)))
    except (ValueError, LookupError):
        return text
