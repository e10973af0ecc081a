"""Messages without the keys that ASGI lets a server and an application leave out: `body`, `more_body`, `headers`."""

import ast
from pathlib import Path
from typing import Any

import pytest

from entrypoints.config.settings import Settings
from entrypoints.config.values import hashed
from entrypoints.http.app import create_asgi
from tests.asgi import serving

SOURCES = sorted((Path(__file__).parents[2] / "entrypoints" / "http").rglob("*.py"))
OPTIONAL = {"body", "more_body"}


async def receive() -> Any:
    """An empty body, and its end."""
    return {"type": "http.request"}


def scope(method: str, path: bytes, **headers: str) -> Any:
    given = {"host": "test", "authorization": "Bearer token", "content-length": "5", **headers}
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.decode(),
        "raw_path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()]
        + [(name.encode(), value.encode()) for name, value in given.items() if name not in headers],
    }


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("PUT", b"/v1/blobs/a", {"content-length": "0"}, 201),
        ("PUT", b"/v1/blobs/a", {"authorization": ""}, 401),
        ("POST", b"/v1/blobs", {"content-type": "application/json"}, 400),
        ("GET", b"/v1/blobs", {}, 200),
    ],
)
async def test_requests_without_a_body(method: str, path: bytes, headers: dict[str, str], status: int) -> None:
    app = create_asgi(Settings(storage="memory", tokens=(hashed("token"),)))
    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async with serving(app):
        await app(scope(method, path, **headers), receive, send)
    assert statuses == [status]


async def test_responses_without_a_body() -> None:
    """Each of our middleware passes on a response that an application leaves as bare as it may."""
    sent: list[Any] = []

    async def bare(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def keep(message: Any) -> None:
        sent.append(message)

    app: Any = create_asgi(Settings(storage="memory"))
    app._router = lambda exchange: bare(exchange.scope, exchange.receive, exchange.send)
    await app(scope("PUT", b"/v1/blobs/a"), receive, keep)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


def test_no_module_requires_them() -> None:
    required = {
        (path.name, node.slice.value)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Load)
        and isinstance(node.slice, ast.Constant)
        and node.slice.value in OPTIONAL
    }
    assert required == set()
