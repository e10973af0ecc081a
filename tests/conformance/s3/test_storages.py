"""A short form, of two clients, on each other storage."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.backends.run import Backends
from tests.conformance.s3 import files
from tests.conformance.s3.endpoint import Client, Endpoint, endpoint_of
from tests.conformance.s3.test_rclone import rclone
from tests.http.combinations import DIAGONAL, Combination
from tests.http.server import SELDOM, Server

OTHERS = [combination for combination in DIAGONAL if combination.needs_docker]


@pytest.fixture(scope="module", params=[combination.param for combination in OTHERS])
def endpoint(
    request: pytest.FixtureRequest, backends: Backends, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    combination: Combination = request.param
    with combination.settings(backends) as settings:
        server = Server(tmp_path_factory.mktemp("server"), **settings | SELDOM)
        with endpoint_of(server) as endpoint:
            yield endpoint


@pytest.fixture
def client(endpoint: Endpoint, tmp_path: Path) -> Client:
    return Client(endpoint, tmp_path)


def test_boto3(client: Client) -> None:
    client.script("aws", "with_boto3", "short")


def test_rclone(client: Client) -> None:
    run, there = partial(rclone, client), f"s3:{client.bucket}"
    wanted = files.make(client.folder / "up")
    run("copy", "up", f"{there}/kept")
    run("check", "--download", "up", f"{there}/kept")
    run("move", f"{there}/kept", f"{there}/moved")
    run("copy", f"{there}/moved", "down")
    assert files.digests(client.folder / "down") == wanted
    run("purge", there)
