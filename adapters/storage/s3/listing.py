"""Listings of a bucket: its objects, and its open multipart uploads."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from adapters.storage.s3.features import UPLOAD_LISTS, S3Features
from adapters.storage.s3.responses import LIST, UPLOADS, require

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


async def names(client: "S3Client", bucket: str, after: str, features: S3Features) -> AsyncIterator[str]:
    """Yield the keys after `after`, each once, in ascending order: both listings of S3 are sorted."""
    async with (
        aclosing(_objects(client, bucket, after)) as objects,
        aclosing(_uploads(client, bucket, after, features)) as uploads,
    ):
        last = after
        async for name in _merged(objects, uploads):
            if name > last:
                yield name
                last = name


async def _objects(client: "S3Client", bucket: str, after: str) -> AsyncGenerator[str]:
    async for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, StartAfter=after):
        require(page, *LIST, *(["NextContinuationToken"] if page.get("IsTruncated") else []))
        for found in page.get("Contents", []):
            yield found["Key"]


async def _uploads(client: "S3Client", bucket: str, after: str, features: S3Features) -> AsyncGenerator[str]:
    # Some servers also list the uploads of `after` itself.
    marker: Any = {"KeyMarker": after} if features.may_have(UPLOAD_LISTS) else {}
    while marker:
        try:
            page = await client.list_multipart_uploads(Bucket=bucket, **marker)
        except ClientError as error:
            features.accept_missing_list(error)
            return
        require(page, *UPLOADS)
        for found in page.get("Uploads", []):
            yield found["Key"]
        marker = {}
        if page.get("IsTruncated"):
            require(page, "NextKeyMarker", "NextUploadIdMarker")
            marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


async def _merged(first: AsyncIterator[str], second: AsyncIterator[str]) -> AsyncIterator[str]:
    heads = [await anext(first, None), await anext(second, None)]
    while (least := min((head for head in heads if head is not None), default=None)) is not None:
        yield least
        turn = heads.index(least)
        heads[turn] = await anext((first, second)[turn], None)
