"""Servers that are reached by HTTP and by HTTPS, and clients of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.s3.endpoint import Client, Endpoint, TlsServer, endpoint_of
from tests.http.server import Server

SETTINGS: dict[str, Any] = {"WORKERS": "2", "REAP_INTERVAL": "2"}  # it idles most of the time


@pytest.fixture(scope="session", params=["http", "https"])
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server that many tests share: each has its own bucket. Over HTTPS, the clients of Amazon send other bodies."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "http":
        with endpoint_of(Server(folder, **SETTINGS)) as endpoint:
            yield endpoint
    else:
        server = TlsServer(folder, **SETTINGS)
        with endpoint_of(server, server.certificate) as endpoint:
            yield endpoint


@pytest.fixture
def client(endpoint: Endpoint, tmp_path: Path) -> Client:
    """A client with an empty folder, and the name of a bucket that does not exist yet."""
    return Client(endpoint, tmp_path)


@pytest.fixture
def bucket(client: Client) -> str:
    """The bucket of the client, for those that create none."""
    client.endpoint.s3.create_bucket(Bucket=client.bucket)
    return client.bucket
