"""Servers for the tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import httpx
import pytest

from tests.backends.run import Backends
from tests.http.combinations import DIAGONAL, Combination
from tests.http.server import SELDOM, Server


@pytest.fixture(scope="session")
def servers(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Combination], Server]]:
    """Starts a server for a combination, once for all tests of this process."""
    with ExitStack() as stack:

        @cache
        def start(combination: Combination) -> Server:
            settings = stack.enter_context(combination.settings(backends))
            return stack.enter_context(Server(tmp_path_factory.mktemp("server"), **settings | SELDOM))

        yield start


@pytest.fixture(scope="session", params=[combination.param for combination in DIAGONAL])
def server(request: pytest.FixtureRequest, servers: Callable[[Combination], Server]) -> Server:
    """One that many tests share: each takes ids of its own."""
    return servers(request.param)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One for a test that changes or counts what is underneath."""
    with Server(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client
