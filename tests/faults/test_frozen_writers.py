"""A replica that is frozen in mid-upload until another one has given the upload up, and goes on after."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backends.run import Backends
from tests.contracts.blob_store import MIB, pattern
from tests.faults.leftovers import PATIENCE, SHORT_LEASES, in_folder, looking, wait_until, wait_until_marked
from tests.faults.test_serving import client_of, fetch, store
from tests.http.combinations import Combination
from tests.http.server import Server
from tests.proxy import Proxy, Way

LEASE = 2  # seconds
DATA = pattern(12 * MIB)  # in three parts on S3
# Who is refused before the whole body was read must not use the connection again.
HEADERS = {"Content-Length": str(len(DATA)), "Connection": "close"}


@asynccontextmanager
async def replicas(
    folder: Path, given: Mapping[str, Any], again: int, **of_the_first: Any
) -> AsyncIterator[tuple[Server, httpx.AsyncClient, httpx.AsyncClient]]:
    """The first of two servers with the same settings, but for those `of_the_first`; and a client of each.

    The first does not reap: frozen in the middle of a transaction it would keep SQLite locked for the second. That one
    starts earlier, and marks all storages, so it deletes there from the start.
    """
    times = {"LEASE": f"{LEASE}", "AGAIN": f"{again}"}
    servers = []
    for number, own in enumerate(({"REAP_INTERVAL": "3600", "KEEPS": "no", **of_the_first}, dict[str, Any]())):
        (folder / str(number)).mkdir()
        servers.append(Server(folder / str(number), command=SHORT_LEASES, **{**given, **times, **own}))
    async with client_of(servers[1]) as second:
        await wait_until_marked(given)
        async with client_of(servers[0]) as first:
            yield servers[0], first, second


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    workers = server.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


def is_given_up(left: list[str]) -> bool:
    return not any("uploads=1" in each for each in left)


def was_deleted_once(left: list[str]) -> bool:
    return any("uploads=0, garbage=1, due=0" in each for each in left)


def has_an_object(left: list[str]) -> bool:
    return any(each.startswith("the object") for each in left)


async def expect_lease_lost(uploading: "asyncio.Future[httpx.Response]", *clients: httpx.AsyncClient) -> None:
    """No replica knows of a blob that was never there."""
    # Who is refused while it still sends may find its connection reset before it has read why.
    with suppress(httpx.ReadError, httpx.WriteError):
        answer = await uploading
        assert (answer.status_code, answer.json()["code"]) == (408, "lease_lost")
    for client in clients:
        assert (await fetch(client, "late")).status_code == 404


@pytest.fixture
def given(request: pytest.FixtureRequest, backends: Backends, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The settings for an empty combination of a database and a storage."""
    with request.param.settings(backends) as settings:
        yield in_folder(tmp_path) | settings


def combinations(*pairs: tuple[str, str]) -> list[Any]:
    return [Combination(*pair).param for pair in pairs]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "given", combinations(("SQLite", "fs"), ("PostgreSQL", "fs"), ("PostgreSQL", "s3")), indirect=True
)
async def test_one_that_is_frozen_between_its_bytes(given: dict[str, Any], tmp_path: Path) -> None:
    sent, goes_on = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield DATA[:-1]
        sent.set()
        await goes_on.wait()
        yield DATA[-1:]

    async with replicas(tmp_path, given, again=1) as (server, first, second), looking(given) as left:
        uploading = asyncio.create_task(first.put("/v1/blobs/late", content=body(), headers=HEADERS))
        await asyncio.wait_for(sent.wait(), PATIENCE)
        with frozen(server):
            await wait_until(left, is_given_up)
            goes_on.set()
        await expect_lease_lost(uploading, first, second)
        await wait_until(left, lambda found: not found)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("given", combinations(("PostgreSQL", "s3")), indirect=True)
async def test_one_whose_object_lands_after_its_upload_was_given_up(given: dict[str, Any], tmp_path: Path) -> None:
    async with (
        Proxy(given["S3_ENDPOINT"]) as proxy,
        replicas(tmp_path, given, again=5, S3_ENDPOINT=proxy.url) as (server, first, second),
        looking(given) as left,
    ):
        held = proxy.before(b"PUT /", lambda: proxy.stall(Way.TO_SERVER))
        uploading = asyncio.ensure_future(store(first, "late"))
        await asyncio.wait_for(held.wait(), PATIENCE)
        with frozen(server):
            await wait_until(left, was_deleted_once)
            proxy.go_on()
            await wait_until(left, has_an_object)
        await expect_lease_lost(uploading, first, second)
        await wait_until(left, lambda found: not found)
