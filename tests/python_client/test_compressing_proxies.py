"""Proxies that compress responses: they remove the Content-Length, and weaken the ETag."""

from pathlib import Path
from typing import Any

import drivebay
import httpx
import pytest

from tests.python_client.conftest import Clients, names_in

DATA = b"data"


class Compressing:
    """A transport to a server with the blob `DATA`, through a proxy that compresses what may be compressed, or all."""

    def __init__(self, *, compresses_all: bool = False) -> None:
        self.compresses_all = compresses_all
        self.closed = 0

    def respond(self, request: httpx.Request) -> httpx.Response:
        headers = {"etag": '"a-1"', "content-length": str(len(DATA))}
        if self.compresses_all or "gzip" in request.headers["accept-encoding"]:
            headers = {"etag": 'W/"a-1"', "content-encoding": "gzip"}
        if request.headers.get("if-match", '"a-1"') != '"a-1"':
            return httpx.Response(412)
        return httpx.Response(200, headers=headers, stream=Body(self) if request.method == "GET" else None)


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, proxy: Compressing) -> None:
        self._proxy = proxy

    def __iter__(self) -> Any:
        yield DATA

    async def __aiter__(self) -> Any:
        yield DATA

    def close(self) -> None:
        self._proxy.closed += 1

    async def aclose(self) -> None:
        self.close()


async def test_responses_that_describe_a_blob_are_not_to_be_compressed(clients: Clients, tmp_path: Path) -> None:
    transport = httpx.MockTransport(Compressing().respond)
    async with clients("http://127.0.0.1", transport=transport) as client:
        assert (await client.head("a")).size == len(DATA)
        await client.download("a", tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == DATA
        assert (await client.put("a", DATA)).etag == '"a-1"'


async def test_a_blob_of_unknown_size_is_not_an_empty_one(clients: Clients, tmp_path: Path) -> None:
    proxy, path = Compressing(compresses_all=True), tmp_path / "file"
    path.write_bytes(b"before")
    async with clients("http://127.0.0.1", transport=httpx.MockTransport(proxy.respond)) as client:
        with pytest.raises(drivebay.DrivebayError, match="Configure the proxy"):
            await client.head("a")
        with pytest.raises(drivebay.DrivebayError, match="Configure the proxy"):
            await client.download("a", path)
        assert path.read_bytes() == b"before"
        assert names_in(tmp_path) == ["file"]
        with pytest.raises(drivebay.DrivebayError, match="Configure the proxy"):
            await client.get("a")
        assert proxy.closed == 1
