"""The end of a request, for the HTTP server."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send, WebSocketReceiveMessage


class EndedRequestMiddleware:
    """ASGI middleware that gives the server's `receive` and `send` back when the request has ended.

    The HTTP server reads no further request, and closes no connection, as long as anything refers to them. An error
    refers to the frames that it passed, and so to all that they use. If one of these refers to the error in turn, they
    last until the next garbage collection, which comes late on a server with little to do.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        lent = _Lent(receive, send)
        del receive, send
        try:
            await self._app(scope, lent.receive, lent.send)
        finally:
            lent.take_back()


class _Lent:
    """`receive` and `send` of a request, until they are taken back. Nothing comes or goes afterwards."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive: Receive = receive
        self._send: Send = send

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        return await self._receive()

    async def send(self, message: Message) -> None:
        await self._send(message)

    def take_back(self) -> None:
        self._receive = _gone
        self._send = _discard


async def _gone() -> HTTPReceiveMessage:
    return {"type": "http.disconnect"}


async def _discard(_: Message) -> None:
    pass
