"""Which tests are collected: the daily part, or all of them. Servers that are reached by HTTP and by HTTPS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.s3.endpoint import Endpoint, TlsServer, endpoint_of
from tests.http.server import SELDOM, Server

HERE = Path(__file__).parent
SETTINGS: dict[str, Any] = SELDOM | {"WORKERS": "2"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave folders `full` out, unless pytest was asked for this folder or a part of it."""
    asked = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    return True if collection_path.name == "full" and not any(path.is_relative_to(HERE) for path in asked) else None


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
