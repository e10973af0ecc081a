"""One log line per request, and the id that all lines of a request share."""

import itertools
import secrets
import string
import time
from collections.abc import Iterable, Iterator
from typing import cast

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from entrypoints.telemetry.logs import log_request
from entrypoints.telemetry.request_lines import REQUEST_ID, RequestLine
from entrypoints.telemetry.requests import Requests, method_of, route_of

LOG = structlog.get_logger()
IN_REQUEST_IDS = f"{string.ascii_letters}{string.digits}_.:+/=-".encode()
MAX_REQUEST_ID = 128  # bytes


class AccessLogMiddleware:
    """ASGI middleware: logs method, route, status, duration (milliseconds), bytes in and out, and request id.

    Neither headers nor query strings nor blob ids are logged. The request id is the client's X-Request-ID, if that is
    harmless, or a new one; the response has it.
    """

    def __init__(self, app: ASGIApp, requests: Requests | None = None) -> None:
        self._app = app
        self._requests = requests
        self._new_ids = _new_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, _sent_id(scope["headers"]) or next(self._new_ids))
        if self._requests is not None:
            self._requests.began()
        bound = REQUEST_ID.set(exchange.request_id)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if not exchange.status:
                raise
            # It is too late for another response. The server cuts the connection of an incomplete one, and the
            # client, which knows its length, sees that.
            LOG.error("an answer broke off", exc_info=error)
        finally:
            exchange.end(scope, self._requests)
            REQUEST_ID.reset(bound)


class _Exchange:
    """A request and its response, counted as they pass."""

    def __init__(self, receive: Receive, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.status = 0
        self._receive = receive
        self._send = send
        self._received = 0
        self._sent = 0
        self._started = time.perf_counter()

    async def receive(self) -> HTTPReceiveMessage:
        message = cast("HTTPReceiveMessage", await self._receive())
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), (b"x-request-id", self.request_id.encode())]
        elif message["type"] == "http.response.body":
            self._sent += len(message.get("body", b""))
        await self._send(message)

    def end(self, scope: HTTPScope, requests: Requests | None) -> None:
        seconds = time.perf_counter() - self._started
        method, route = method_of(scope), route_of(scope)
        if requests is not None:
            requests.answered(method, route, self.status, seconds, self._received, self._sent)
        log_request(RequestLine(method, route, self.status, round(seconds * 1000, 1), self._received, self._sent))


def _sent_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that the client has sent, if it is harmless; otherwise an empty string."""
    for name, value in headers:
        if name == b"x-request-id" and _is_harmless(value):
            return value.decode()
    return ""


def _new_ids() -> Iterator[str]:
    """Yield ids that no other worker yields. A random number for each would take a system call."""
    worker = secrets.token_hex(4)
    return (f"{worker}{number:08x}" for number in itertools.count())


def _is_harmless(request_id: bytes) -> bool:
    return 1 <= len(request_id) <= MAX_REQUEST_ID and not request_id.translate(None, delete=IN_REQUEST_IDS)
