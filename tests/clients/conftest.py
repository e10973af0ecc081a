"""A server, and a shell that reaches it."""

from collections.abc import Iterator

import pytest

from tests.backends.containers import engine
from tests.clients.shell import Shell
from tests.http.server import SELDOM, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that many tests share. Whatever the clients do, it finds no fault with itself."""
    with Server(tmp_path_factory.mktemp("clients"), **SELDOM) as server:
        yield server
        assert {line["level"] for line in server.log()} == {"info"}


@pytest.fixture
def shell(server: Server, clients_container: str) -> Iterator[Shell]:
    """In an empty folder."""
    with engine() as client:
        yield Shell(client.containers.get(clients_container), server)
