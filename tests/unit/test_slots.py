"""Requests without a token have slots of their own, so that they use up neither the memory nor the slots of others."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from entrypoints.config.loading import load
from entrypoints.http.app import create_asgi
from entrypoints.http.operations import docs
from entrypoints.http.page import face as page
from entrypoints.http.rest.access import session
from tests.asgi import exchange, scope, serving

SLOTS = 64
TOKEN = {"host": "test", "authorization": "Bearer token"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
OVERLOADED = (503, "overloaded")


class Stalled:
    """A client that sends no body, and takes no response."""

    def __init__(self, app: Any, method: str, path: str, headers: dict[str, str]) -> None:
        self.is_waited_for = asyncio.Event()
        given = {"host": "test", "sec-fetch-site": "same-origin", "content-length": "9"} | headers
        self._request = app(scope(method, path, b"", given), self._stall, self._stall)

    async def _stall(self, _: Any = None) -> Any:
        self.is_waited_for.set()
        await asyncio.Event().wait()

    def start(self) -> "asyncio.Task[None]":
        return asyncio.ensure_future(self._request)


async def a_page(app: Any) -> tuple[str, str, dict[str, str]]:
    return "GET", "/", {}


async def a_file_of_the_page(app: Any) -> tuple[str, str, dict[str, str]]:
    return "GET", "/ui/vendor/tus.min.js", {}


async def the_document(app: Any) -> tuple[str, str, dict[str, str]]:
    return "GET", "/docs/openapi.json", {}


async def a_sign_in(app: Any) -> tuple[str, str, dict[str, str]]:
    return "POST", "/v1/session", JSON


async def a_password(app: Any) -> tuple[str, str, dict[str, str]]:
    status, _, _ = await exchange(app, "PUT", "/v1/blobs/a", headers=TOKEN | {"content-length": "1"}, body=b"x")
    assert status == 201
    share = json.dumps({"id": "a", "expires_in": 60, "password": "for Ada"}).encode()
    headers = TOKEN | JSON | {"content-length": str(len(share))}
    status, _, body = await exchange(app, "POST", "/v1/shares", headers=headers, body=share)
    assert status == 201, body
    return "POST", json.loads(body)["url"].removeprefix("http://test"), FORM


@pytest.mark.parametrize("request_of", [a_page, a_file_of_the_page, the_document, a_sign_in, a_password])
async def test_clients_without_a_token_that_stall_are_limited(
    request_of: Callable[[Any], Coroutine[Any, Any, tuple[str, str, dict[str, str]]]],
) -> None:
    assert {docs.MAX_REQUESTS, page.MAX_REQUESTS, session.MAX_REQUESTS} == {SLOTS}
    settings = {"STORAGE": "memory", "AUTH_BEARER_TOKEN": "token", "MASTER_KEY": "0" * 64}
    app: Any = create_asgi(load(settings, Path("no such file")))
    async with serving(app):
        method, path, headers = await request_of(app)
        clients = [Stalled(app, method, path, headers) for _ in range(SLOTS)]
        running = [client.start() for client in clients]
        async with asyncio.timeout(20):
            await asyncio.gather(*(client.is_waited_for.wait() for client in clients))
        status, _, body = await exchange(app, method, path, headers={"host": "test"} | headers)
        assert (status, json.loads(body)["code"]) == OVERLOADED
        status, _, _ = await exchange(app, "GET", "/v1/blobs", headers=TOKEN)
        assert status == 200
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
