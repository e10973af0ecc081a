"""The faces, each mounted in an application without anything else."""

from typing import Any

import msgspec
import pytest
from litestar import Litestar, Router

from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.http.operations import face as operations
from entrypoints.http.rest import face as rest
from entrypoints.server.shutdown import GracefulShutdown
from tests.asgi import exchange

SETTINGS = Settings(storage="memory")


def faces() -> dict[str, Router]:
    container = Container(settings=SETTINGS)
    return {
        "/v1/blobs": rest.create(SETTINGS, container),
        "/health/live": operations.create(container, GracefulShutdown(), None),
    }


@pytest.mark.parametrize("path", faces())
async def test_a_face_brings_its_own_error_format(path: str) -> None:
    """So another face can have another format: the application's is for unknown routes."""
    app: Any = Litestar([faces()[path]], openapi_config=None)
    status, headers, body = await exchange(app, "GET", path, query=b"unknown=1")
    assert status in (400, 401)
    assert headers["content-type"] == "application/problem+json"
    assert msgspec.json.decode(body)["code"] in ("invalid_parameter", "unauthorized")
