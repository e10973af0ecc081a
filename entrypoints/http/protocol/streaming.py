"""A blob as an answer, in whatever form."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus

import structlog
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from application.blobs.fetch import OpenBlob
from entrypoints.http.protocol.client_pace import ClientTooSlow, Meter, Pace
from entrypoints.server.sockets import cut

LOG = structlog.get_logger()
Headers = Sequence[tuple[str, str]]


class BlobResponse:
    """An ASGI answer of known length that is made while it is sent, and lets go of the blob when the client is gone.

    A file is not left to the server to send (`http.response.pathsend`): granian opens it later on, by its name, and has
    no deadline for the client. One that stops reading would keep the file open for as long as it likes.
    """

    def __init__(
        self, opened: OpenBlob, pieces: AsyncIterator[bytes], headers: Headers, pace: Pace, status: int = HTTPStatus.OK
    ) -> None:
        self._opened = opened
        self._pieces = pieces
        self._headers = headers
        self._pace = pace
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        meter = Meter(self._pace)
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            async with self._opened:
                # The status waits for the first bytes, so that one that can't be read is still answered with an error.
                piece = await anext(self._pieces, b"")
                await send(_start(self._status, self._headers))
                async for following in self._pieces:
                    await meter.send(send, _body(piece, more=True), len(piece))
                    piece = following
                    if gone.done():
                        return
                await meter.send(send, _body(piece, more=False), len(piece))
        except ClientTooSlow:
            cut_off(scope)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)


class EmptyResponse:
    """An ASGI answer of headers alone: to HEAD, or that nothing has changed."""

    def __init__(self, headers: Headers, status: int = HTTPStatus.OK) -> None:
        self._headers = headers
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(_start(self._status, self._headers))
        await send(_body(b"", more=False))


def _start(status: int, headers: Headers) -> HTTPResponseStartEvent:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": encoded}


def _body(piece: bytes, *, more: bool) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": piece, "more_body": more}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def cut_off(scope: Scope) -> None:
    """Close the connection of a client that is too slow.

    The HTTP server closes it only when the client has taken everything that the server holds of the response.
    """
    LOG.info("a client took its answer too slowly")
    client, server = scope.get("client"), scope.get("server")
    if client and server:
        cut([client], server[1])
