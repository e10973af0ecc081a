"""Servers for the tests."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.backends.run import Backends
from tests.http.combinations import DIAGONAL
from tests.http.server import Server


@pytest.fixture(scope="session", params=[combination.param for combination in DIAGONAL])
def server(
    request: pytest.FixtureRequest, backends: Backends, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One that many tests share: each takes ids of its own."""
    with request.param.settings(backends) as settings, Server(tmp_path_factory.mktemp("server"), **settings) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One for a test that changes or counts what is underneath."""
    with Server(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client
