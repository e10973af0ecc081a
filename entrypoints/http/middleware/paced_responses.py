"""Bodies that exist as a whole, sent as slowly as their clients take them."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.protocol.client_pace import ClientTooSlow, Meter, Pace
from entrypoints.http.protocol.streaming import cut_off

CHUNK = 8 * 1024  # bytes; the HTTP server keeps up to 20 of them for each connection
SHORT = 12 * CHUNK  # a body of which the HTTP server would keep all chunks anyway


class PacedResponseMiddleware:
    """ASGI middleware that sends a large body in chunks, and closes the connection of a client that is too slow.

    The HTTP server would copy the whole body for each connection, and keep it until the client has taken it.
    """

    def __init__(self, app: ASGIApp, pace: Pace) -> None:
        self._app = app
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def pacing(message: Message) -> None:
            body = message.get("body", b"") if message["type"] == "http.response.body" else b""
            if len(body) > SHORT and not message.get("more_body", False):
                await self._send(scope, send, body)
            else:
                await send(message)

        has_body = scope["type"] == ScopeType.HTTP and scope["method"] != "HEAD"
        await self._app(scope, receive, pacing if has_body else send)

    async def _send(self, scope: Scope, send: Send, body: bytes) -> None:
        meter = Meter(self._pace)
        try:
            for start in range(0, len(body), CHUNK):
                chunk = body[start : start + CHUNK]
                more = start + CHUNK < len(body)
                await meter.send(send, {"type": "http.response.body", "body": chunk, "more_body": more}, len(chunk))
        except ClientTooSlow:
            cut_off(scope)
