"""One log line per request, and the id that all lines of a request share."""

import itertools
import secrets
import string
import time
from http import HTTPStatus

from litestar.types import HTTPScope

from entrypoints.http.middleware.base.exchange import Exchange, Header
from entrypoints.http.middleware.base.stack import Middleware
from entrypoints.http.middleware.routes.failures import UNAUTHENTICATED
from entrypoints.telemetry.logs import log_request
from entrypoints.telemetry.request_lines import REQUEST_ID, RequestLine
from entrypoints.telemetry.requests import Requests, labels_of

IN_REQUEST_IDS = f"{string.ascii_letters}{string.digits}_.:+/=-".encode()
MAX_REQUEST_ID = 128  # bytes


class AccessLogMiddleware(Middleware):
    """Logs method, route, status, duration (milliseconds), bytes in and out, and request id.

    Neither headers nor query strings nor blob ids are logged. The request id is the client's X-Request-ID, if that is
    harmless, or a new one; the response has it.
    """

    def __init__(self, requests: Requests | None = None) -> None:
        self._requests = requests
        # No other worker yields the same ids. A random number for each id would take a system call.
        self._worker = secrets.token_hex(4)
        self._numbers = itertools.count()

    def on_request(self, exchange: Exchange) -> None:
        exchange.started = time.perf_counter()
        sent = _harmless_id(exchange.scope) if b"x-request-id" in exchange.headers else ""
        exchange.request_id = sent or f"{self._worker}{next(self._numbers):08x}"
        exchange.token = REQUEST_ID.set(exchange.request_id)
        if self._requests is not None:
            self._requests.began()

    def on_response(self, exchange: Exchange, headers: list[Header]) -> None:
        headers.append((b"x-request-id", exchange.request_id.encode()))

    def on_end(self, exchange: Exchange) -> None:
        seconds = time.perf_counter() - exchange.started
        method, route = labels_of(exchange.scope)
        status, bytes_in, bytes_out = exchange.status, exchange.bytes_in, exchange.bytes_out
        if self._requests is not None:
            self._requests.answered(method, route, status, seconds, bytes_in, bytes_out)
            if status == HTTPStatus.UNAUTHORIZED or UNAUTHENTICATED in exchange.scope:
                self._requests.refused(method, route)
        log_request(RequestLine(method, route, status, round(seconds * 1000, 1), bytes_in, bytes_out))
        REQUEST_ID.reset(exchange.token)


def _harmless_id(scope: HTTPScope) -> str:
    """Return the id that the client has sent, if it is harmless; otherwise an empty string."""
    sent = (value for name, value in scope["headers"] if name == b"x-request-id" and _is_harmless(value))
    return next(sent, b"").decode()


def _is_harmless(request_id: bytes) -> bool:
    return 1 <= len(request_id) <= MAX_REQUEST_ID and not request_id.translate(None, delete=IN_REQUEST_IDS)
