"""Answers of a server that is about to stop."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.middleware.early_response import CLOSE
from entrypoints.http.protocol.headers import is_http_1
from entrypoints.server.shutdown import GracefulShutdown


class DrainingMiddleware:
    """ASGI middleware that tells each client, once a stop has begun, to ask nothing more on its connection.

    So the connections that are in use are closed by their clients, or with an answer, and not between two requests.
    """

    def __init__(self, app: ASGIApp, stopping: GracefulShutdown) -> None:
        self._app = app
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start" and self._stopping.has_begun:
                message["headers"] = [header for header in message.get("headers", []) if header != CLOSE] + [CLOSE]
            await send(message)

        is_last = scope["type"] == ScopeType.HTTP and is_http_1(scope)
        await self._app(scope, receive, answering if is_last else send)
