"""The faces, each mounted in an application without anything else."""

import re
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest
from litestar import Litestar, Router
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp

from domain.access import EVERYTHING, Action, Grant
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.config.values import hashed
from entrypoints.http.direct import DirectRoutes
from entrypoints.http.middleware.exchange import Responder
from entrypoints.http.middleware.raw_paths import RawPathMiddleware
from entrypoints.http.middleware.stack import MiddlewareStack
from entrypoints.http.operations import face as operations
from entrypoints.http.protocol.client_pace import Pace
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


class TestDirectCalls:
    """Handlers that are called past the framework respond as they do within it."""

    REQUESTS: ClassVar = [
        ("GET", "/v1/blobs/a", b"", {}),
        ("GET", "/v1/blobs/a", b"alt=media", {"range": "bytes=1-2"}),
        ("GET", "/v1/blobs/a", b"alt=media", {"range": "bytes=9-"}),
        ("GET", "/v1/blobs/a", b"alt=media&alt=json", {}),
        ("GET", "/v1/blobs/a", b"unknown=1", {}),
        ("GET", "/v1/blobs/a", b"", {"if-none-match": "*"}),
        ("GET", "/v1/blobs/a", b"", {"if-match": '"other"'}),
        ("GET", "/v1/blobs/a", b"", {"authorization": "Bearer wrong"}),
        ("GET", "/v1/blobs/%00", b"", {}),
        ("GET", "/v1/blobs/nobody", b"", {}),
        ("HEAD", "/v1/blobs/a", b"", {"accept": "application/octet-stream"}),
        ("HEAD", "/v1/blobs/nobody", b"", {}),
        ("PUT", "/v1/blobs/b", b"", {}),
        ("PUT", "/v1/blobs/b", b"", {}),
        ("PUT", "/v1/blobs/b", b"", {"content-digest": "sha-256=:wrong:"}),
        ("POST", "/v1/blobs", b"", {}),
        ("POST", "/v1/blobs", b"", {"content-type": "text/plain"}),
        ("PATCH", "/v1/blobs/a", b"", {}),
        ("OPTIONS", "/v1/blobs/a", b"", {}),
        ("GET", "/v1/blobs", b"", {}),
    ]

    async def test_responses_do_not_differ(self) -> None:
        direct, framework = await self.with_a_blob(DirectRoutes), await self.with_a_blob(routed_by_the_framework)
        for method, path, query, headers in self.REQUESTS:
            sent = HEADERS | {"content-length": "0"} | headers
            ours = await exchange(direct, method, path, query=query, headers=sent)
            theirs = await exchange(framework, method, path, query=query, headers=sent)
            assert without_chance(ours) == without_chance(theirs), (method, path, query, headers)

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/v1/blobs/a"), ("HEAD", "/v1/blobs/a"), ("PUT", "/v1/blobs/a"), ("POST", "/v1/blobs")],
    )
    async def test_blobs_are_stored_and_read_past_the_framework(
        self, method: str, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = await self.with_a_blob(DirectRoutes)
        monkeypatch.setattr(Litestar, "__call__", never)
        status, _, _ = await exchange(app, method, path, headers=HEADERS | {"content-length": "0"})
        assert status in (200, 400)

    @staticmethod
    async def with_a_blob(router: Callable[[Litestar, ASGIApp], Responder]) -> Any:
        framework = Litestar([rest_face(EVERYTHING)], openapi_config=None)
        around = RawPathMiddleware(framework, [route.path for route in framework.routes if not route.path_parameters])
        app: Any = MiddlewareStack(router(framework, around), around, [], Pace())
        await exchange(app, "PUT", "/v1/blobs/a", headers=HEADERS | {"content-length": "4"}, body=b"data")
        return app


def routed_by_the_framework(_: Litestar, app: ASGIApp) -> Responder:
    return lambda exchange: app(exchange.scope, exchange.receive, exchange.send)


async def never(*_: object) -> None:
    raise AssertionError("the framework was called")


def without_chance(response: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes]:
    """The response without times, and with its methods in alphabetical order."""
    status, headers, body = response
    headers.pop("last-modified", None)
    if "allow" in headers:
        headers["allow"] = ", ".join(sorted(headers["allow"].split(", ")))
    return status, headers, re.sub(rb'"created_at":"[^"]*"', b"", body)
