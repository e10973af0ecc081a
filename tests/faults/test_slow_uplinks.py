"""Objects on S3 over an uplink on which a part takes longer than any timeout."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from adapters.storage.layers.timeout import TimeoutLayer
from adapters.storage.s3 import multipart
from adapters.storage.s3.config import S3Config
from adapters.storage.s3.part_sizes import PART
from adapters.storage.s3.store import S3BlobStore
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ObjectKey
from domain.errors import Kind
from tests.contracts.blob_store import chunked, pattern, refused
from tests.faults.databases import DEADLINE
from tests.faults.fake_s3 import FakeS3
from tests.proxy import Proxy, Way

KEY = ObjectKey("ab" * 16)
SMALL = pattern(PART - 1)
LARGE = pattern(PART + 1)
TIMEOUT = 2  # seconds
RATE = 1_200_000  # bytes a second: a part takes more than four


@asynccontextmanager
async def over_an_uplink(size: int, rate: int) -> AsyncIterator[tuple[FakeS3, Proxy, BlobStore]]:
    """A store that is impatient, on a server behind connections of `rate` bytes a second each."""
    async with FakeS3({}, size) as server, Proxy(server.url) as proxy:
        proxy.rate = rate
        config = S3Config("b", "r", "a", "s", proxy.url, path_style=True, attempts=1)
        async with S3BlobStore(replace(config, read_timeout=TIMEOUT, request_timeout=TIMEOUT)) as store:
            yield server, proxy, TimeoutLayer(store, TIMEOUT)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["whole", "in parts"])
async def test_a_put_may_take_longer_than_any_timeout_while_it_moves(data: bytes) -> None:
    async with over_an_uplink(len(data), RATE) as (_, _, store):
        assert await store.put(KEY, chunked(data)) == Stored(len(data))


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["whole", "in parts"])
async def test_a_put_that_stands_still_is_given_up(data: bytes) -> None:
    async with over_an_uplink(len(data), RATE) as (_, proxy, store):
        stalled = proxy.after(PART // 2, Way.TO_SERVER, proxy.stall)
        async with asyncio.timeout(DEADLINE):
            with refused(Kind.TIMEOUT):
                await store.put(KEY, chunked(data))
        assert stalled.is_set()


async def test_parts_share_the_uplink_only_where_it_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pattern(4 * PART)
    for quick in (True, False):
        monkeypatch.setattr(multipart, "QUICK", DEADLINE if quick else 0)
        async with over_an_uplink(len(data), 20 * RATE) as (_, proxy, store):
            assert await store.put(KEY, chunked(data)) == Stored(len(data))
        assert (proxy.accepted > 1) is quick
