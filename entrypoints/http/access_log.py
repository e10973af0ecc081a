"""One log line a request, and the id that ties a request to its lines."""

import re
import secrets
import time
from collections.abc import Iterable
from typing import cast

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send

LOG = structlog.get_logger()
REQUEST_ID = re.compile(rb"[\w.:+/=-]{1,128}")


class AccessLog:
    """ASGI middleware: logs method, route, status, duration (milliseconds), bytes in and out, and request id.

    Neither headers nor query strings nor blob ids are logged. The request id is the client's X-Request-ID, if that is
    harmless, or a new one; the answer carries it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope["headers"])
        status, received, sent = 0, 0, 0

        async def receive_counted() -> HTTPReceiveMessage:
            nonlocal received
            message = cast("HTTPReceiveMessage", await receive())
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
            return message

        async def send_counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            elif message["type"] == "http.response.body":
                sent += len(message["body"])
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive_counted, send_counted)
            except Exception as fault:
                if not status:
                    raise
                # It is too late for another answer. The server cuts the connection of one that is not whole, and the
                # client, which knows its length, sees that.
                LOG.error("an answer broke off", exc_info=fault)
            finally:
                LOG.info(
                    "request",
                    method=scope["method"],
                    route=scope.get("path_template", "unknown"),
                    status=status,
                    milliseconds=round((time.perf_counter() - started) * 1000, 1),
                    bytes_in=received,
                    bytes_out=sent,
                )


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return value.decode()
    return secrets.token_hex(8)
