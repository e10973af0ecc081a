"""A client that was used before a fork: parent and children have connections of their own."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import Any

import drivebay
import fsspec
import httpx
import pytest

from tests.contracts.blob_store import MIB
from tests.http.server import Server
from tests.http.wire import TOKEN
from tests.python_client.conftest import QUICK

CHILDREN = 4
ROUNDS = 60
PATIENCE = 60  # seconds
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # that is what is tested
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def client(server: Server) -> Iterator[drivebay.Client]:
    with drivebay.Client(server.url, TOKEN, retries=QUICK) as client:
        yield client


def in_children(work: Callable[[int], object], in_parent: Callable[[], object] = lambda: None) -> list[Any]:
    """Do the work in forked processes, at the same time, and return their results in order."""
    results = FORK.Queue()

    def run(number: int) -> None:
        try:
            results.put((number, work(number)))
        except BaseException as error:  # noqa: BLE001 - it is shown by the test
            results.put((number, repr(error)))

    children = [FORK.Process(target=run, args=(number,), daemon=True) for number in range(CHILDREN)]
    for child in children:
        child.start()
    in_parent()
    found = dict(results.get(timeout=PATIENCE) for _ in children)
    for child in children:
        child.join(PATIENCE)
    return [found[number] for number in range(CHILDREN)]


def body(number: int, at: int) -> bytes:
    return f"{number}-{at} ".encode() * (1 + (number * 37 + at) % 200)


def test_each_process_reads_its_own_blobs(client: drivebay.Client, prefix: str) -> None:
    for number in range(CHILDREN + 1):
        client.put(f"{prefix}{number}", bytes([65 + number]) * 200_000)

    def read(number: int) -> int:
        found = (client.get_range(f"{prefix}{number}", start=at * 100, length=1000) for at in range(ROUNDS))
        return sum(data != bytes([65 + number]) * 1000 for data in found)

    assert in_children(read, lambda: read(CHILDREN)) == [0] * CHILDREN
    assert read(CHILDREN) == 0


def test_each_process_stores_its_own_blobs(client: drivebay.Client, server: Server, prefix: str) -> None:
    client.put(prefix + "before", b"x")

    def store(number: int) -> dict[str, str]:
        ids = {at: f"{prefix}{number}/{at}" for at in range(ROUNDS)}
        return {blob_id: client.put(blob_id, body(number, at)).etag for at, blob_id in ids.items()}

    stored = in_children(store)
    with drivebay.Client(server.url, TOKEN) as other:
        current = {meta.id: meta.etag for meta in other.list(prefix)}
        for number, etags in enumerate(stored):
            assert etags.items() <= current.items()
            with other.get(f"{prefix}{number}/7") as found:
                assert found.read() == body(number, 7)


def test_files_of_fsspec(server: Server, prefix: str) -> None:
    fs = fsspec.filesystem("drivebay", endpoint_url=server.url, token=TOKEN)
    for number in range(CHILDREN):
        fs.pipe_file(f"{prefix}{number}", bytes([65 + number]) * MIB)

    def read(number: int) -> bool:
        with fs.open(f"{prefix}{number}", cache_type="none") as file:
            return all(file.read(5000) == bytes([65 + number]) * 5000 for _ in range(ROUNDS))

    assert in_children(read) == [True] * CHILDREN


def test_a_blob_that_is_being_read(client: drivebay.Client, prefix: str) -> None:
    data = os.urandom(24 * MIB)
    client.put(prefix, data)
    with client.get(prefix) as found:
        chunks = iter(found)
        first = next(chunks)
        assert in_children(lambda _: first + b"".join(chunks) == data) == [True] * CHILDREN
        assert first + b"".join(chunks) == data


def test_the_asynchronous_client(server: Server, prefix: str) -> None:
    client, loop = drivebay.AsyncClient(server.url, TOKEN, retries=QUICK), asyncio.new_event_loop()

    async def store() -> None:
        for number in range(CHILDREN):
            await client.put(f"{prefix}{number}", bytes([65 + number]) * 2000)

    async def read(number: int) -> int:
        found = [await client.get_range(f"{prefix}{number}", start=at, length=1000) for at in range(ROUNDS)]
        await client.close()
        return sum(data != bytes([65 + number]) * 1000 for data in found)

    loop.run_until_complete(store())
    assert in_children(lambda number: asyncio.run(read(number))) == [0] * CHILDREN
    assert loop.run_until_complete(read(0)) == 0
    loop.close()


def test_a_transport_of_the_caller_is_not_shared(server: Server) -> None:
    with drivebay.Client(server.url, TOKEN, transport=httpx.HTTPTransport()) as client:
        assert list(client.list("none")) == []
        assert ["Make a new one" in found for found in in_children(lambda _: client.head("none"))] == [True] * CHILDREN
