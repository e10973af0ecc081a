"""Servers for the tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.backends.run import Backends
from tests.http.combinations import DIAGONAL, Combination
from tests.http.server import SELDOM, Server

HERE = Path(__file__).parent


class Servers:
    """Starts a server for a combination, once for all tests of this process that follow one another in this folder."""

    def __init__(self, backends: Backends, make_folder: Callable[[str], Path]) -> None:
        self._backends = backends
        self._make_folder = make_folder
        self._running: dict[Combination, Server] = {}
        self._stack = ExitStack()

    def __call__(self, combination: Combination) -> Server:
        if combination not in self._running:
            settings = self._stack.enter_context(combination.settings(self._backends))
            server = Server(self._make_folder("server"), **settings | SELDOM)
            self._running[combination] = self._stack.enter_context(server)
        return self._running[combination]

    def stop(self) -> None:
        """Stop all, and remove their databases."""
        self._running.clear()
        self._stack.close()


SERVERS = pytest.StashKey[Servers]()


@pytest.fixture(scope="session")
def servers(
    backends: Backends, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Servers]:
    servers = pytestconfig.stash[SERVERS] = Servers(backends, tmp_path_factory.mktemp)
    yield servers
    servers.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Stop the servers when other tests follow: those with all storages take 3% of a processor even if idle."""
    yield
    servers = item.config.stash.get(SERVERS, None)
    if servers is not None and nextitem is not None and HERE not in nextitem.path.parents:
        servers.stop()


@pytest.fixture(scope="module", params=[combination.param for combination in DIAGONAL])
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """One that many tests share: each takes ids of its own."""
    return servers(request.param)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One for a test that changes or counts what is underneath."""
    with Server(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client
