"""The faces, each mounted in an application without anything else."""

from typing import Any

import msgspec
import pytest
from litestar import Litestar, Router
from litestar.routes import HTTPRoute

from domain.access import EVERYTHING, Action, Grant
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.config.values import hashed
from entrypoints.http.operations import face as operations
from entrypoints.http.rest import face as rest
from entrypoints.server.shutdown import GracefulShutdown
from tests.asgi import exchange

SETTINGS = Settings(storage="memory")
HEADERS = {"authorization": "Bearer token", "content-type": "application/json"}


def rest_face(grant: Grant) -> Router:
    """The REST interface for one token with this grant."""
    return rest.create(SETTINGS, Container(settings=SETTINGS), {hashed("token"): grant})


def faces() -> dict[str, Router]:
    container = Container(settings=SETTINGS)
    return {"/v1/blobs": rest_face(EVERYTHING), "/health/live": operations.create(container, GracefulShutdown(), None)}


@pytest.mark.parametrize("path", faces())
async def test_a_face_brings_its_own_error_format(path: str) -> None:
    """So another face can have another format: the application's is for unknown routes."""
    app: Any = Litestar([faces()[path]], openapi_config=None)
    status, headers, body = await exchange(app, "GET", path, query=b"unknown=1", headers=HEADERS)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert msgspec.json.decode(body)["code"] == "invalid_parameter"


def rest_operations() -> list[tuple[str, str]]:
    routes = [
        route for route in Litestar([rest_face(EVERYTHING)], openapi_config=None).routes if isinstance(route, HTTPRoute)
    ]
    return sorted((method, route.path) for route in routes for method in route.methods if method != "OPTIONS")


async def respond(grant: Grant, method: str, path: str) -> tuple[int, bytes]:
    body = msgspec.json.encode({"id": "films/a", "data": ""}) if method == "POST" else b""
    headers = HEADERS | {"content-length": str(len(body))}
    app: Any = Litestar([rest_face(grant)], openapi_config=None)
    status, _, sent = await exchange(app, method, path.replace("{id:str}", "films%2Fa"), headers=headers, body=body)
    return status, sent


@pytest.mark.parametrize(("method", "path"), rest_operations())
@pytest.mark.parametrize("grant", [Grant(frozenset()), Grant(frozenset(Action), prefix="music/")])
async def test_no_operation_exceeds_the_grant_of_its_token(method: str, path: str, grant: Grant) -> None:
    """A new handler that does not pass the grant of the request on fails here."""
    status, body = await respond(grant, method, path)
    assert status == 403
    if method != "HEAD":
        assert msgspec.json.decode(body)["code"] == "forbidden"
    assert (await respond(EVERYTHING, method, path))[0] != 403
