"""Objects on S3, when the connection to the server fails half-way."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from adapters.storage.s3.config import S3Config
from adapters.storage.s3.part_sizes import PART
from adapters.storage.s3.store import S3BlobStore
from application.ports.blob_store import Stored
from domain.blob import ObjectKey
from domain.errors import BlobError, Kind
from tests.contracts.blob_store import MIB, chunked, each, keys, pattern, read, refused
from tests.contracts.leftovers import no_task_left
from tests.faults.databases import DEADLINE
from tests.proxy import Proxy, Way

SMALL = pattern(MIB)
LARGE = pattern(2 * PART + MIB)
IMPATIENT: dict[str, Any] = {"connect_timeout": 2, "read_timeout": 2, "request_timeout": 2}
Moment = Callable[[Proxy, str, Callable[[], None]], asyncio.Event]  # with the path of the object
PUTS: dict[str, tuple[bytes, Moment]] = {
    "in a small put": (SMALL, lambda proxy, _, do: proxy.after(MIB // 2, Way.TO_SERVER, do)),
    "after a small put": (SMALL, lambda proxy, _, do: proxy.answering(b"PUT /", do)),
    "before the parts": (LARGE, lambda proxy, _, do: proxy.answering(b"?uploads", do)),
    "in a part": (LARGE, lambda proxy, _, do: proxy.after(PART + MIB, Way.TO_SERVER, do)),
    "before the end": (LARGE, lambda proxy, path, do: proxy.before(_end_of(path), do)),
    # A completion may take a second more for each MiB.
    "after the end": (LARGE[: PART + 1], lambda proxy, path, do: proxy.answering(_end_of(path), do)),
}


def _end_of(path: str) -> bytes:
    return f"POST {path}?uploadId=".encode()


@asynccontextmanager
async def behind_a_proxy(server: S3Config, **config: Any) -> AsyncIterator[tuple[Proxy, S3BlobStore]]:
    """Nothing may be left there when it is left."""
    async with (
        Proxy(server.endpoint) as proxy,
        S3BlobStore(replace(server, endpoint=proxy.url, **({"attempts": 1} | config))) as store,
    ):
        yield proxy, store
        assert await residue(store) == []


async def residue(store: S3BlobStore) -> list[str]:
    """The open uploads and the objects."""
    uploads = await store._client.list_multipart_uploads(Bucket=store._bucket)
    return [*(upload["Key"] for upload in uploads.get("Uploads", [])), *(key.value for key in await keys(store))]


@pytest.mark.docker
class TestS3:
    @pytest.fixture(autouse=True)
    async def nothing_under_way(self) -> AsyncIterator[None]:
        async with no_task_left():
            yield

    @pytest.mark.parametrize("moment", PUTS)
    async def test_a_put_that_is_cut_off(self, s3_bucket: S3Config, moment: str) -> None:
        data, at = PUTS[moment]
        async with behind_a_proxy(s3_bucket) as (proxy, store):
            key = ObjectKey.random()
            cut = at(proxy, f"/{s3_bucket.bucket}/{key}", proxy.go_down)
            with refused(Kind.UNAVAILABLE):
                await store.put(key, chunked(data))
            assert cut.is_set()
            await proxy.come_back()
            await store.delete(key)
            assert await residue(store) == []
            await store.put(key := ObjectKey.random(), chunked(data))
            assert await read(store, key) == data
            await store.delete(key)

    @pytest.mark.parametrize("moment", ["in a part", "after the end"])
    async def test_a_put_that_stalls(self, s3_bucket: S3Config, moment: str) -> None:
        data, at = PUTS[moment]
        async with behind_a_proxy(s3_bucket, **IMPATIENT) as (proxy, store):
            key = ObjectKey.random()
            stalled = at(proxy, f"/{s3_bucket.bucket}/{key}", proxy.stall)
            async with asyncio.timeout(DEADLINE):
                with refused(Kind.TIMEOUT):
                    await store.put(key, chunked(data))
            assert stalled.is_set()
            proxy.cut()  # else what is held back would land behind the delete
            proxy.go_on()
            await store.delete(key)
            assert await residue(store) == []
            await store.put(key := ObjectKey.random(), each([b"x"]))
            assert await read(store, key) == b"x"
            await store.delete(key)

    async def test_a_read_that_fails_half_way(self, s3_bucket: S3Config) -> None:
        async with behind_a_proxy(s3_bucket, **IMPATIENT, connections=1) as (proxy, store):
            await store.put(key := ObjectKey.random(), chunked(SMALL))
            for do, kind in ((proxy.cut, Kind.UNAVAILABLE), (proxy.stall, Kind.TIMEOUT)):
                hit = proxy.after(MIB // 2, Way.TO_CLIENT, do)
                async with asyncio.timeout(DEADLINE):
                    with refused(kind):
                        await read(store, key)
                assert hit.is_set()
                proxy.go_on()
                assert await read(store, key) == SMALL
            await store.delete(key)

    async def test_a_server_that_is_down_is_not_an_empty_one(self, s3_bucket: S3Config) -> None:
        async with behind_a_proxy(s3_bucket, **IMPATIENT) as (proxy, store):
            await store.put(key := ObjectKey.random(), each([b"x"]))
            for do, kind in ((proxy.go_down, Kind.UNAVAILABLE), (proxy.stall, Kind.TIMEOUT)):
                do()
                failing = (store.check(), store.stat(key), read(store, key), store.delete(key), keys(store))
                async with asyncio.timeout(DEADLINE):
                    ended = await asyncio.gather(*failing, return_exceptions=True)
                assert {getattr(error, "kind", error) for error in ended} == {kind}
                proxy.go_on()
                await proxy.come_back()
                assert await keys(store) == [key]
            await store.delete(key)

    async def test_a_request_that_is_cut_is_repeated(self, s3_bucket: S3Config) -> None:
        async with behind_a_proxy(s3_bucket) as (proxy, store):
            get = f"GET /{s3_bucket.bucket}/".encode()
            cuts = [proxy.before(word, proxy.cut) for word in (b"PUT /", get, b"DELETE /")]
            await store.put(key := ObjectKey.random(), each([b"x"]))
            assert await read(store, key) == b"x"
            await store.delete(key)
            assert all(cut.is_set() for cut in cuts)

    async def test_a_put_that_is_repeated_finds_what_it_has_put(self, s3_bucket: S3Config) -> None:
        async with behind_a_proxy(s3_bucket) as (proxy, store):
            key = ObjectKey.random()
            cut = proxy.answering(b"PUT /", proxy.cut)
            assert await store.put(key, chunked(SMALL)) == Stored(len(SMALL))
            assert cut.is_set()
            assert await read(store, key) == SMALL
            await store.delete(key)

    async def test_an_upload_that_is_completed_again_finds_what_it_has_put(self, s3_bucket: S3Config) -> None:
        async with behind_a_proxy(s3_bucket, attempts=3) as (proxy, store):
            key = ObjectKey.random()
            cut = proxy.answering(_end_of(f"/{s3_bucket.bucket}/{key}"), proxy.cut)
            assert await store.put(key, chunked(LARGE)) == Stored(len(LARGE))
            assert cut.is_set()
            assert await read(store, key) == LARGE
            await store.delete(key)

    @pytest.mark.parametrize(("data", "at"), [(SMALL, MIB // 2), (LARGE, PART + MIB)], ids=["whole", "in parts"])
    async def test_a_bit_that_is_flipped_on_its_way_there_is_refused(
        self, s3_bucket: S3Config, data: bytes, at: int
    ) -> None:
        """Requests carry the SHA-256 of their bodies, also without TLS."""
        async with behind_a_proxy(s3_bucket) as (proxy, store):
            flipped = proxy.after(at, Way.TO_SERVER, partial(proxy.corrupt, Way.TO_SERVER))
            with pytest.raises(BlobError, match="XAmzContentSHA256Mismatch") as caught:
                await store.put(ObjectKey.random(), chunked(data))
            assert caught.value.kind is Kind.UNAVAILABLE
            assert flipped.is_set()

    async def test_a_bit_that_is_flipped_on_its_way_back_is_seen_by_a_comparison_of_digests(
        self, s3_bucket: S3Config
    ) -> None:
        """Without TLS there is nobody else to see it."""
        async with behind_a_proxy(s3_bucket) as (proxy, store):
            await store.put(key := ObjectKey.random(), chunked(SMALL))
            flipped = proxy.after(MIB // 2, Way.TO_CLIENT, partial(proxy.corrupt, Way.TO_CLIENT))
            found = await read(store, key)
            assert flipped.is_set()
            assert len(found) == len(SMALL)
            assert hashlib.sha256(found).digest() != hashlib.sha256(SMALL).digest()
            await store.delete(key)
