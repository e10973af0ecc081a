"""A server that all tests here share, and both clients in one form."""

import asyncio
import inspect
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import drivebay
import pytest

from tests.http.server import SELDOM, UNVERIFIED, Server
from tests.http.wire import TOKEN

NUMBERS = itertools.count()
QUICK = drivebay.Retries(attempts=6, pause=0.01, longest=0.1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), **SELDOM) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Ids that no other test uses."""
    return f"test-{next(NUMBERS)}/"


class InThreads:
    """The blocking client, called as the asynchronous one is, so that each test is for both."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        if inspect.isgeneratorfunction(method):
            return lambda *args, **more: _iterate(method(*args, **more))

        async def call(*args: Any, **more: Any) -> Any:
            found = await asyncio.to_thread(method, *args, **more)
            return InThreads(found) if isinstance(found, drivebay.GetResult) else found

        return call

    @property
    def meta(self) -> drivebay.BlobMeta:
        meta: drivebay.BlobMeta = self._client.meta
        return meta

    @property
    def size(self) -> int:
        size: int = self._client.size
        return size

    def __aiter__(self) -> AsyncIterator[Any]:
        return _iterate(iter(self._client))

    async def __aenter__(self) -> "InThreads":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self._client.close)


async def _iterate(iterator: Iterator[Any]) -> AsyncIterator[Any]:
    while (found := await asyncio.to_thread(next, iterator, None)) is not None:
        yield found


Clients = Callable[..., Any]


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture(params=["sync", "async"])
def clients(request: pytest.FixtureRequest) -> Clients:
    """Makes a client of a URL. An asynchronous context; and typed loosely, because it is one of two."""

    def make(url: str, token: str | None = TOKEN, **options: Any) -> Any:
        options = {"retries": QUICK, "verify": UNVERIFIED, **options}
        if request.param == "async":
            return drivebay.AsyncClient(url, token, **options)
        return InThreads(drivebay.Client(url, token, **options))

    return make


@pytest.fixture
async def client(clients: Clients, server: Server) -> AsyncIterator[Any]:
    async with clients(server.url) as client:
        yield client
