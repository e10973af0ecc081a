"""Handlers that are called past the framework: all that a client and an operator see is as it is within it."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from litestar import Litestar, Request, get
from litestar.types import ASGIApp

from entrypoints.config.settings import Settings
from entrypoints.config.values import hashed
from entrypoints.http.app import create_asgi
from entrypoints.http.direct import DIRECT, DirectRoutes
from entrypoints.http.middleware import access_log, connection_close
from entrypoints.http.middleware.base.stack import MiddlewareStack
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.problems import EXCEPTION_HANDLERS
from entrypoints.telemetry.request_lines import RequestLine
from tests.asgi import exchange, scope, serving

HEADERS = {"host": "h", "authorization": "Bearer token", "content-type": "application/json"}


@dataclass(frozen=True)
class Sent:
    """A request. `leaves`: the client does so before the body is complete."""

    method: str
    path: str
    query: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    leaves: bool = False


ETAG = '"74530ba5449cb9264abf0e78151e0c2b"'  # of `data`, without a type
JSON_BODY = b'{"id":"new","data":"QUJD"}'
LARGEST = 300_000  # bytes


class TestDirectCalls:
    """Handlers that are called past the framework respond as they do within it."""

    REQUESTS: ClassVar = [
        *(
            Sent(method, "/v1/blobs/a", query, headers)
            for method in ("GET", "HEAD")
            for query in (b"", b"alt=media", b"alt=media&alt=json", b"alt=other", b"unknown=1", b"a%6Ct=media")
            for headers in (
                *({}, {"range": "bytes=1-2"}, {"range": "bytes=9-"}, {"range": "bytes=1-2", "if-range": '"other"'}),
                *({"if-none-match": each} for each in ("*", ETAG, f"W/{ETAG}", "malformed")),
                *({"if-match": each} for each in ("*", ETAG, '"other"', "malformed")),
                {"if-modified-since": "Sat, 01 Jan 2050 00:00:00 GMT"},
                {"if-unmodified-since": "Sat, 01 Jan 2000 00:00:00 GMT"},
                *({"accept": "application/octet-stream"}, {"x-request-id": "r1"}, {"content-length": "4"}),
                *({"authorization": each} for each in ("Bearer wrong", "Basic token", "Bearer")),
                *({"host": each} for each in ("", "a b")),
            )
        ),
        *(
            Sent(method, path, headers=headers)
            for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS")
            for path in (
                "/v1/blobs/nobody",
                "/v1/blobs/%00",
                "/v1/blobs/%ff",
                "/v1/blobs/",
                f"/v1/blobs/{'x' * 200_000}",
            )
            for headers in ({}, {"content-length": "0"}, {"authorization": "Bearer wrong"})
        ),
        *(
            Sent("PUT", "/v1/blobs/b", headers={"content-length": "4"} | headers, body=b"data", leaves=leaves)
            for leaves in (False, True)
            for headers in (
                *({}, {"if-none-match": "*"}, {"if-match": '"other"'}, {"content-type": "image/png"}),
                *({"content-type": "none"}, {"content-type": "multipart/form-data; boundary=b"}),
                *({"content-length": "5"}, {"content-length": "3"}, {"content-length": str(LARGEST + 1)}),
                *({"content-digest": "sha-256=:wrong:"}, {"content-range": "bytes 0-3/4"}, {"expect": "100-continue"}),
                *({"transfer-encoding": "chunked"}, {"transfer-encoding": "gzip"}, {"authorization": "Bearer wrong"}),
            )
        ),
        Sent("PUT", "/v1/blobs/long", headers={"transfer-encoding": "chunked"}, body=b"x" * (LARGEST + 1)),
        Sent("PUT", "/v1/blobs/long", headers={"content-length": str(LARGEST)}, body=b"x" * LARGEST),
        *(Sent("GET", "/v1/blobs/long", query) for query in (b"", b"alt=media")),
        *(
            Sent("POST", "/v1/blobs", headers={"content-length": length or str(len(body))}, body=body, leaves=leaves)
            for leaves in (False, True)
            for length in ("", "9", str(10 * LARGEST))
            for body in (JSON_BODY, JSON_BODY, b"", JSON_BODY.replace(b"QUJD", b"Q"), JSON_BODY.replace(b"id", b"no"))
        ),
        Sent("POST", "/v1/blobs", headers={"content-type": "text/plain", "content-length": "1"}, body=b"x"),
        Sent("GET", "/v1/blobs"),
    ]

    async def test_responses_do_not_differ(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With one request slot, so that each request has to give it back."""
        async with self.with_a_blob() as direct, self.with_a_blob(within_the_framework) as framework:
            for each in self.REQUESTS:
                ours, theirs = await outcome(direct, each, monkeypatch), await outcome(framework, each, monkeypatch)
                if ours != theirs:  # without the difference that pytest would look for in long bodies
                    pytest.fail(f"{each}:\n{ours}\n{theirs}"[:5000])

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/v1/blobs/a"), ("HEAD", "/v1/blobs/a"), ("PUT", "/v1/blobs/a"), ("POST", "/v1/blobs")],
    )
    async def test_blobs_are_stored_and_read_past_the_framework(
        self, method: str, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with self.with_a_blob() as app:
            monkeypatch.setattr(Litestar, "__call__", never)
            status, _, _ = await exchange(app, method, path, headers=HEADERS | {"content-length": "0"})
            monkeypatch.undo()
        assert status in (200, 400)

    async def test_an_error_within_a_response_is_not_followed_by_another_one(self) -> None:
        async def break_off(_: Any, __: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise LookupError

        @get("/", opt=DIRECT, exception_handlers=EXCEPTION_HANDLERS)
        async def broken(request: Request[Any, Any, Any]) -> ASGIApp:
            return break_off

        router = DirectRoutes(Litestar([broken], openapi_config=None), never)
        status, _, body = await exchange(MiddlewareStack(router, never, [], Pace()), "GET", "/")
        assert (status, body) == (200, b"")

    @staticmethod
    @asynccontextmanager
    async def with_a_blob(change: Callable[[Any], None] = lambda _: None) -> AsyncIterator[Any]:
        app = create_asgi(
            Settings(storage="memory", tokens=(hashed("token"),), max_requests=1, max_blob_bytes=LARGEST),
        )
        change(app)
        async with serving(app):
            await exchange(app, "PUT", "/v1/blobs/a", headers=HEADERS | {"content-length": "4"}, body=b"data")
            yield app


def within_the_framework(app: Any) -> None:
    app._router = lambda exchange: app._other(exchange.scope, exchange.receive, exchange.send)


async def outcome(app: Any, request: Sent, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Any], int]:
    """All that the request leaves: the messages of the response, the log line, and how often the body was read."""
    messages: list[Any] = []
    lines: list[RequestLine] = []
    incoming = [request.body[:10], request.body[10:]]
    reads = 0

    async def receive() -> Any:
        nonlocal reads
        reads += 1
        if not incoming:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": incoming.pop(0), "more_body": bool(incoming) or request.leaves}

    async def send(message: Any) -> None:
        messages.append(message)

    headers = {**HEADERS, **request.headers}
    monkeypatch.setattr(access_log, "log_request", lines.append)
    monkeypatch.setattr(connection_close, "WRITTEN_WITHIN", 0)
    await app(scope(request.method, request.path, request.query, headers), receive, send)
    start, *bodies = messages
    start["headers"] = sorted(without_chance(name, value, request.path) for name, value in start["headers"])
    sizes = [len(each["body"]) for each in bodies]
    body = re.sub(rb'"created_at":"[^"]*"', b"", b"".join(each["body"] for each in bodies))
    [line] = lines
    logged = [line.method, line.route, line.status, line.bytes_in, line.bytes_out, line.request_id == "r1"]
    return (start, sizes, body), logged, reads


async def never(*_: object) -> None:
    raise AssertionError("the framework was called")


def without_chance(name: bytes, value: bytes, path: str) -> tuple[bytes, bytes]:
    """The header, without times and random ids, and with methods in alphabetical order.

    The entity tag of a list is of its body, which has times, and that of the JSON form has the second of one.
    """
    if name in (b"last-modified", b"x-request-id") or (name, path) == (b"etag", "/v1/blobs"):
        value = b""
    if name == b"etag":
        value = re.sub(rb"\.\d+-json", b"-json", value)
    return name, b", ".join(sorted(value.split(b", "))) if name == b"allow" else value
