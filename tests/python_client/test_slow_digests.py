"""Servers that read a large upload again before they respond, to compare it with its digest."""

from collections.abc import Callable, Iterator
from pathlib import Path

import drivebay
import httpx
import pytest

from tests.contracts.blob_store import MIB
from tests.python_client.conftest import Clients

SIZE = 32 * MIB  # for which a client waits 4 seconds
FEW = drivebay.Retries(attempts=3, pause=0.001, longest=0.001)


def timeout() -> httpx.Response:
    raise httpx.ReadTimeout("The read operation timed out.")


def of_a_gateway() -> httpx.Response:
    return httpx.Response(504)


def unavailable() -> httpx.Response:
    return httpx.Response(503)


class Checking:
    """A server that stores one upload. Once it has all bytes, it fails with each of `failures` before it responds."""

    def __init__(self, size: int, failures: Iterator[Callable[[], httpx.Response]]) -> None:
        self.transport = httpx.MockTransport(self._respond)
        self.requests = list[str]()
        self._size, self._failures = size, failures

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.method)
        if request.method == "PUT":
            return httpx.Response(201, headers={"location": "/v1/uploads/a"})
        if failure := next(self._failures, None):
            return failure()
        if request.method == "HEAD" and "uploads" in request.url.path:
            return httpx.Response(204, headers={"upload-offset": str(self._size), "upload-complete": "?1"})
        return httpx.Response(200, headers={"etag": '"a-1"', "content-length": str(self._size)})


async def test_timeouts_after_the_last_byte_do_not_end_an_upload(clients: Clients) -> None:
    server = Checking(SIZE, iter([timeout, of_a_gateway] * 3))
    async with clients("http://127.0.0.1", transport=server.transport, retries=FEW) as client:
        assert (await client.put("a", bytes(SIZE))).etag == '"a-1"'
    assert server.requests == ["PUT", "PATCH", *["HEAD"] * 6, "PATCH"]


async def test_other_failures_are_counted(clients: Clients) -> None:
    server = Checking(SIZE, iter([timeout, unavailable, timeout, unavailable, timeout, unavailable, timeout]))
    async with clients("http://127.0.0.1", transport=server.transport, retries=FEW) as client:
        with pytest.raises(drivebay.ServerError):
            await client.put("a", bytes(SIZE))
    assert server.requests == ["PUT", "PATCH", *["HEAD"] * 5]


async def test_the_next_run_waits_as_long(clients: Clients, tmp_path: Path) -> None:
    path, journal = tmp_path / "file", tmp_path / "journal"
    path.write_bytes(bytes(SIZE))
    server = Checking(SIZE, iter([timeout] * 6))
    once = drivebay.Retries(attempts=1)
    async with clients("http://127.0.0.1", transport=server.transport, retries=once) as client:
        with pytest.raises(drivebay.ConnectionFailed):
            await client.put("a", path, journal=journal)
    assert server.requests == ["PUT", "PATCH"]
    async with clients("http://127.0.0.1", transport=server.transport, retries=FEW) as client:
        assert (await client.put("a", path, journal=journal)).etag == '"a-1"'
    assert server.requests.count("PUT") == 1


@pytest.mark.parametrize("failure", [timeout, of_a_gateway])
async def test_the_time_follows_from_the_size(clients: Clients, failure: Callable[[], httpx.Response]) -> None:
    server = Checking(1, iter([failure] * 100))
    async with clients("http://127.0.0.1", transport=server.transport, retries=FEW) as client:
        with pytest.raises(drivebay.DrivebayError):
            await client.put("a", b"x", create_only=True)
    assert len(server.requests) <= 1 + FEW.attempts + 1


async def test_a_server_that_did_not_get_all_bytes(clients: Clients) -> None:
    """Where bytes are missing, a timeout is a failure of the connection."""
    requests = list[str]()

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request.method)
        if request.method == "PUT":
            return httpx.Response(201, headers={"location": "/v1/uploads/a"})
        if request.method == "HEAD":
            return httpx.Response(204, headers={"upload-offset": "0"})
        return timeout()

    class Unread(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return respond(request)

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return respond(request)

    async with clients("http://127.0.0.1", transport=Unread(), retries=FEW) as client:
        with pytest.raises(drivebay.ConnectionFailed):
            await client.put("a", bytes(SIZE))
    assert requests == ["PUT", "PATCH", "HEAD", "PATCH", "HEAD", "PATCH"]
