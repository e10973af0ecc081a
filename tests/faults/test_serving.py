"""A server whose database or storage is cut off: the responses to its clients, and its recovery."""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.storage.s3.config import S3Config
from application.checks import readiness
from tests.backends import ceph, ftp
from tests.backends.ftp import FtpServer
from tests.http.server import Server
from tests.http.wire import TOKEN
from tests.proxy import Proxy

DEADLINE = 15  # seconds for an answer while something is down
# Seconds after it is back. A check that began before takes up to its deadline; only the next one can find all well.
RECOVERY = 3 * readiness.DEADLINE.total_seconds()
Storage = tuple[str, Callable[[Proxy], dict[str, str]]]


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server with these settings."""
    async with client_of(Server(folder, **settings)) as client:
        yield client


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """The server starts and stops in a thread, as its proxy is in this one."""
    await asyncio.to_thread(server.__enter__)
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=DEADLINE, verify=False) as client:  # noqa: S501
            yield client
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


def store(client: httpx.AsyncClient, blob_id: str) -> Awaitable[httpx.Response]:
    return client.post("/v1/blobs", json={"id": blob_id, "data": "eA=="})


def fetch(client: httpx.AsyncClient, blob_id: str) -> Awaitable[httpx.Response]:
    return client.get(f"/v1/blobs/{blob_id}")


async def expect_unavailable(*asking: Awaitable[httpx.Response]) -> None:
    for answer in await asyncio.gather(*asking):
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        problem: dict[str, Any] = answer.json()
        assert problem["code"] == "unavailable"
        assert "Try again later" in problem["detail"]
        assert "127.0.0.1" not in answer.text


async def expect_not_ready(client: httpx.AsyncClient, part: str) -> None:
    async def is_not_ready() -> bool:  # an answer may be a second old
        answer = await client.get("/health/ready")
        return answer.status_code == 503 and part in answer.json()["detail"] and "Retry-After" in answer.headers

    await expect_within(DEADLINE, is_not_ready)


async def expect_within(seconds: float, reached: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + seconds
    while not await reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def expect_well(client: httpx.AsyncClient, blob_id: str) -> None:
    async def well() -> bool:
        try:
            return (await client.get("/health/ready")).status_code == 200
        except httpx.ConnectError:
            return False  # no worker serves at the moment

    await expect_within(RECOVERY, well)
    assert (await store(client, blob_id)).status_code == 201
    assert (await fetch(client, blob_id)).json()["data"] == "eA=="


@pytest.mark.docker
class TestServing:
    @pytest.fixture(params=["postgresql_url", "mariadb_url"])
    def database_url(self, request: pytest.FixtureRequest, postgresql_url: str, mariadb_url: str) -> str:
        return {"postgresql_url": postgresql_url, "mariadb_url": mariadb_url}[request.param]

    async def test_a_database_that_is_cut_off(self, tmp_path: Path, database_url: str) -> None:
        async with Proxy(database_url) as proxy, serving(tmp_path, DATABASE_URL=proxy.url) as client:
            assert (await store(client, "a")).status_code == 201
            for round_ in range(2):
                proxy.go_down()
                asking = (ask(client, blob_id) for blob_id in "ab" for ask in (store, fetch) for _ in range(6))
                await expect_unavailable(*asking)  # more at once than there are connections
                await expect_not_ready(client, "the database (unavailable)")
                assert (await client.get("/health/live")).status_code == 200
                await proxy.come_back()
                await expect_well(client, f"back-{round_}")
            assert (await fetch(client, "a")).json()["data"] == "eA=="

    async def test_a_worker_that_dies_while_the_database_is_cut_off(self, tmp_path: Path, database_url: str) -> None:
        async with Proxy(database_url) as proxy:
            server = Server(tmp_path, DATABASE_URL=proxy.url)
            async with client_of(server) as client:
                await self.expect_recovery(proxy, server, client)

    async def expect_recovery(self, proxy: Proxy, server: Server, client: httpx.AsyncClient) -> None:
        assert (await store(client, "a")).status_code == 201
        proxy.go_down()
        [worker] = server.workers()
        os.kill(worker, signal.SIGKILL)

        async def waits() -> bool:
            return any("waits" in line["event"] for line in server.log())

        await expect_within(DEADLINE, waits)
        await proxy.come_back()
        await expect_well(client, "b")
        assert (await fetch(client, "a")).json()["data"] == "eA=="
        assert server.workers() != [worker]

    @pytest.fixture(params=["s3", "ftp"])
    def storage(
        self, request: pytest.FixtureRequest, s3_server: S3Config, vsftpd_server: FtpServer
    ) -> Iterator[Storage]:
        """Where an empty one is, and the settings that lead there by way of a proxy."""
        if request.param == "s3":
            with ceph.bucket(s3_server) as bucket:
                yield bucket.endpoint, lambda proxy: ceph.settings(bucket) | {"S3_ENDPOINT": proxy.url}
        else:
            given = ftp.settings(vsftpd_server) | {"FTP_BASE_DIR": secrets.token_hex(8)}
            address = f"ftp://{vsftpd_server.host}:{vsftpd_server.port}"
            yield address, lambda proxy: given | {"FTP_PORT": str(proxy.port)}

    async def test_a_storage_that_is_cut_off(self, tmp_path: Path, storage: Storage) -> None:
        async with serving(tmp_path) as client:
            assert (await store(client, "on-files")).status_code == 201
        address, settings = storage
        async with Proxy(address) as proxy, serving(tmp_path, **settings(proxy)) as client:
            assert (await store(client, "on-it")).status_code == 201
            proxy.go_down()
            await expect_unavailable(store(client, "b"), fetch(client, "on-it"))
            await expect_not_ready(client, "the storage (unavailable)")
            assert (await fetch(client, "on-files")).json()["data"] == "eA=="
            await proxy.come_back()
            await expect_well(client, "b")
            proxy.stall()
            await expect_not_ready(client, "the storage (timeout)")
            assert (await fetch(client, "on-files")).json()["data"] == "eA=="
            proxy.go_on()
            await expect_well(client, "c")
            assert (await fetch(client, "on-it")).json()["data"] == "eA=="
