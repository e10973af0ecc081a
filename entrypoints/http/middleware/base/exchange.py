"""A request and its response, as all middleware sees them."""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import Token
from typing import Any

from litestar.types import HTTPReceiveMessage, HTTPScope, Message, Receive, Send

from application.attempts import Attempt
from entrypoints.http.middleware.base.paced_responses import SHORT, send_in_chunks
from entrypoints.http.protocol.client_pace import Pace

Header = tuple[bytes, bytes]
Responder = Callable[["Exchange"], Awaitable[None]]
Completion = Callable[["Exchange", list[Header]], None]


class Exchange:
    """A request and its response, as far as they have come.

    All middleware shares its `receive` and `send`: wrappers for each would take longer than to read a small blob. The
    handler of a direct route gets it as its request.
    """

    __slots__ = (
        *("_pace", "_receive", "_send", "attempts", "attempts_token", "auth", "bytes_in", "bytes_out"),
        *("completions", "headers", "is_complete"),
        *("is_gone", "is_read", "path", "request_id", "scope", "span", "started", "status", "token"),
    )
    attempts: list[Attempt]  # of the audit trail
    attempts_token: Token[list[Attempt] | None]  # that resets their variable
    request_id: str
    span: Any  # of tracing
    started: float  # by the performance counter
    token: Token[str]  # that resets the request id's variable

    def __init__(
        self, scope: HTTPScope, receive: Receive, send: Send, completions: Sequence[Completion], pace: Pace
    ) -> None:
        self.scope = scope
        self.path = scope["path"]  # as the server decoded it: the router replaces it in the scope
        self.headers = dict(scope["headers"])  # of the request, the last value of each
        self.auth: Any = None  # the grant, for handlers of direct routes
        self.completions = completions  # hooks for the headers of the response
        self.status = 0  # of the response; 0 until it begins; that of an error that is in the body of a 200
        self.bytes_in = 0  # of the bodies
        self.bytes_out = 0
        self.is_read = False  # the request, to completion
        self.is_gone = False  # the client, or it sends what can't be read
        self.is_complete = False  # the response
        self._pace = pace
        self._receive = receive
        self._send = send

    async def receive(self) -> HTTPReceiveMessage:
        """Receive the next part of the body, which is the last one if the body then has its `Content-Length`.

        granian sends the end of a body as another message, for which the event loop waits for another thread.
        """
        message: Any = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_gone = True
        else:
            self.bytes_in += len(message.get("body", b""))
            if message.get("more_body", False) and self._has_its_length():
                message["more_body"] = False
            self.is_read = self.is_read or not message.get("more_body", False)
        return message  # type: ignore[no-any-return]

    def _has_its_length(self) -> bool:
        """Whether all of a body of known length has come. A transfer coding overrides the length (RFC 9112, 6.3)."""
        length = self.headers.get(b"content-length")
        return length == b"%d" % self.bytes_in and b"transfer-encoding" not in self.headers

    async def send(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            if message["type"] == "http.response.start":
                self.status = message["status"]
                headers = [*message.get("headers", ())]
                for complete in self.completions:
                    complete(self, headers)
                message["headers"] = headers
            await self._send(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if len(body) > SHORT and not more and self.scope["method"] != "HEAD":
            await send_in_chunks(self.scope, self.send, body, self._pace)
            return
        self.bytes_out += len(body)
        await self._send(message)
        self.is_complete = not more
