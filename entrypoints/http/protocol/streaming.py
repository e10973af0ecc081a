"""Blobs as responses, in any representation."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from http import HTTPStatus
from typing import Protocol

import structlog
from litestar.types import HTTPResponseBodyEvent, Receive, Scope, Send

from application.blobs.fetch import Choose, OpenBlob
from domain.blob import Blob, ByteRange
from entrypoints.http.protocol.client_pace import ClientTooSlow, Meter, Pace
from entrypoints.http.protocol.fields.conditional import NotModified
from entrypoints.http.protocol.fields.headers import fields
from entrypoints.http.protocol.large_responses import LargeResponses
from entrypoints.server.sockets import cut

LOG = structlog.get_logger()
OK, PARTIAL = HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT  # to look up a member of an enumeration takes time
IN_ONE_PIECE = 64 * 1024  # bytes; the server keeps that much of a response anyway, and waits for no client
Headers = Sequence[tuple[bytes, bytes]]
VARY = (b"vary", b"Accept")  # of each response with a blob
# Anybody may have stored a blob, and it is served from the origin of an interface that takes commands. Also with 304:
# browsers then replace the header that they have kept.
SANDBOX = (b"content-security-policy", b"sandbox; default-src 'none'")
Fetched = AbstractAsyncContextManager[OpenBlob]
LARGE = LargeResponses()


class Representation(Protocol):
    """One form in which blobs are sent (RFC 9110, section 3.2)."""

    @abstractmethod
    def part(self, headers: Mapping[str, str], blob: Blob) -> ByteRange | None:
        """Return the part that a GET with these headers asks for; None is the whole.

        Raises PRECONDITION_FAILED, NotModified, and HttpProblem 400 and 416.
        """

    @abstractmethod
    def headers(self, blob: Blob, part: ByteRange | None = None) -> Headers:
        """Return the headers of a response to GET or HEAD."""

    @abstractmethod
    def validators(self, blob: Blob) -> Headers:
        """Return the headers of a response that says that the blob has not changed (RFC 9110, section 15.4.5).

        A cache replaces its stored headers by these, so Cache-Control and Expires are among them.
        """

    @abstractmethod
    def chunks(self, opened: OpenBlob) -> AsyncIterator[bytes]:
        """Return the body, as many bytes as `headers` announces."""

    @abstractmethod
    def whole(self, blob: Blob, part: ByteRange | None, data: bytes) -> tuple[Headers, bytes]:
        """Return the headers and the body for `data`, all the bytes of a small blob or of a part of it."""


class BlobResponse:
    """An ASGI response of known length. It opens the blob, sends it while it is read, and closes it.

    Errors of the opening and of the first chunk are raised before anything is sent, so that they get a response of
    their own. The reading ends when the client leaves.

    A file is not left to the server to send (`http.response.pathsend`): granian opens it later on, by its name, and has
    no deadline for the client. One that stops reading would keep the file open for as long as it likes.
    """

    def __init__(self, fetch: Callable[[Choose], Fetched], representation: Representation, pace: Pace) -> None:
        self._fetch = fetch
        self._representation = representation
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._fetch(partial(self._representation.part, fields(scope))) as opened:
                if opened.size > IN_ONE_PIECE:
                    chunks = self._representation.chunks(opened)
                    head = partial(self._representation.headers, opened.blob, opened.byte_range)
                    status = PARTIAL if opened.byte_range else OK
                    await send_chunks(chunks, status, head, Meter(self._pace), receive, send)
                    return
                headers, body = self._representation.whole(opened.blob, opened.byte_range, await opened.read())
                await _send_whole(send, PARTIAL if opened.byte_range else OK, headers, body)
        except NotModified as known:
            await not_modified(self._representation, known.blob)(scope, receive, send)
        except ClientTooSlow:
            cut_off(scope)


async def send_chunks(
    chunks: AsyncIterator[bytes],
    status: int,
    headers: Callable[[], Headers],
    meter: Meter,
    receive: Receive,
    send: Send,
) -> None:
    """Send a large response. It begins once the first chunk is there, and ends early when the client leaves.

    Raises ClientTooSlow.
    """
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        with LARGE:
            chunk: bytes | None = await anext(chunks, b"")  # may fail: the status waits for it
            await send({"type": "http.response.start", "status": status, "headers": headers()})
            held = b""  # the message that may be the last
            while chunk is not None:  # an empty one is not the end: base64 text may wait for more bytes
                for message in LARGE.messages(chunk):
                    if held:
                        await meter.send(send, _body(held, more=True), len(held))
                    if gone.done():
                        return
                    held = message
                chunk = b""  # frees it while the next one is read
                chunk = await anext(chunks, None)
            await meter.send(send, _body(held, more=False), len(held))
    finally:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)


class ShortResponse:
    """An ASGI response in one piece, by default without a body."""

    def __init__(self, headers: Headers, status: int = OK, body: bytes = b"") -> None:
        self._headers = headers
        self._status = status
        self._content = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _send_whole(send, self._status, self._headers, self._content)


def not_modified(representation: Representation, blob: Blob) -> ShortResponse:
    """Return the response to a client that has this version of the blob already."""
    return ShortResponse(representation.validators(blob), HTTPStatus.NOT_MODIFIED)


async def _send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _body(chunk: bytes, *, more: bool) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


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
