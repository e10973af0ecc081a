"""aiobotocore with one request for each object, set up as the S3 store is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.handlers import add_expect_header

from adapters.storage.s3.config import S3Config
from tests.benchmarks.clients import Client, in_shares


class BareS3(Client):
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def put(self, names: Sequence[str], data: bytes, at_once: int = 1) -> None:
        async def put_one(name: str) -> None:
            await self._client.put_object(Bucket=self._bucket, Key=name, Body=data)

        await in_shares(names, put_one, at_once)

    async def get(self, names: Sequence[str], at_once: int = 1) -> None:
        async def get_one(name: str) -> None:
            answer = await self._client.get_object(Bucket=self._bucket, Key=name)
            async with answer["Body"] as body:
                await body.read()

        await in_shares(names, get_one, at_once)

    async def delete(self, names: Sequence[str]) -> None:
        await asyncio.gather(*(self._client.delete_object(Bucket=self._bucket, Key=name) for name in names))


@asynccontextmanager
async def bare_s3(config: S3Config) -> AsyncIterator[Client]:
    options = AioConfig(
        max_pool_connections=32,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
    )
    async with get_session().create_client(
        "s3",
        region_name=config.region,
        endpoint_url=config.endpoint,
        aws_access_key_id=config.access_key,
        aws_secret_access_key=config.secret_key,
        config=options,
    ) as client:
        client.meta.events.unregister("before-call.s3", add_expect_header)
        yield BareS3(client, config.bucket)
