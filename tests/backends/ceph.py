"""Ceph's RADOS gateway, for S3."""

import asyncio
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aiobotocore.config import AioConfig

from adapters.storage.s3.config import S3Config
from adapters.storage.s3.session import new_session
from tests.backends.containers import Containers

if TYPE_CHECKING:
    from aiobotocore.session import ClientCreatorContext
    from types_aiobotocore_s3 import S3Client

CONFIG = S3Config("drivebay", access_key="key-of-the-tests", secret_key="secret-of-the-tests", path_style=True)
OTHER_USER = replace(CONFIG, access_key="other-key-of-the-tests", secret_key="other-secret-of-the-tests")
HARDENING = Path(__file__).parents[2] / "entrypoints" / "HARDENING.md"


def start(containers: Containers) -> S3Config:
    """A bucket there, and a user who has no rights to it."""
    container = containers.start(
        "ceph",
        7480,
        "ceph: ready",
        S3_ACCESS_KEY=CONFIG.access_key,
        S3_SECRET_KEY=CONFIG.secret_key,
        S3_BUCKET=CONFIG.bucket,
    )
    server = replace(CONFIG, endpoint=f"http://127.0.0.1:{container.get_exposed_port(7480)}")
    keys = ["--access-key", OTHER_USER.access_key, "--secret-key", OTHER_USER.secret_key]
    made = container.exec(["radosgw-admin", "user", "create", "--uid=other", "--display-name=Other", *keys])
    assert made.exit_code == 0, made.output
    return server


def as_other_user(server: S3Config) -> S3Config:
    return replace(server, access_key=OTHER_USER.access_key, secret_key=OTHER_USER.secret_key)


@contextmanager
def bucket(server: S3Config) -> Iterator[S3Config]:
    """An empty bucket, removed at the end with all that is in it. The other user has the least rights to it."""
    own = replace(server, bucket=f"drivebay-{secrets.token_hex(8)}")
    asyncio.run(_create(own))
    yield own
    asyncio.run(_remove(own))


def client(server: S3Config) -> "ClientCreatorContext[S3Client]":
    """A bare client."""
    created: ClientCreatorContext[S3Client] = new_session().create_client(
        "s3",
        region_name=server.region,
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=AioConfig(s3={"addressing_style": "path"}),
    )
    return created


async def _create(server: S3Config) -> None:
    async with client(server) as s3:
        await s3.create_bucket(Bucket=server.bucket)
        await s3.put_bucket_policy(Bucket=server.bucket, Policy=_least_rights(server.bucket))


def _least_rights(bucket: str) -> str:
    """Those that Drivebay needs, says the page on hardening."""
    examples = re.findall(r"```json\n(.*?)```", HARDENING.read_text(), re.DOTALL)
    [page] = [each for each in examples if "BUCKET" in each]
    policy = json.loads(page.replace("BUCKET", bucket))
    for statement in policy["Statement"]:
        statement["Principal"] = {"AWS": ["arn:aws:iam:::user/other"]}
    return json.dumps(policy)


async def _remove(server: S3Config) -> None:
    async with client(server) as s3:
        async for page in s3.get_paginator("list_objects_v2").paginate(Bucket=server.bucket):
            for found in page.get("Contents", []):
                await s3.delete_object(Bucket=server.bucket, Key=found["Key"])
        await s3.delete_bucket(Bucket=server.bucket)


def settings(server: S3Config) -> dict[str, str]:
    return {
        "STORAGE": "s3",
        "S3_BUCKET": server.bucket,
        "S3_ACCESS_KEY": server.access_key,
        "S3_SECRET_KEY": server.secret_key,
        "S3_ENDPOINT": server.endpoint,
        "S3_FORCE_PATH_STYLE": "true",
    }
