"""Requests and responses of httpx, as both drivers need them."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx

from entrypoints.client.errors import BadRequest, ConnectionFailed, DrivebayError
from entrypoints.client.flows.commands import CHUNK, Call, Reply, Span

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
AGENT = "drivebay-python"
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=None)
"""All connections are kept for the next requests. If httpcore keeps fewer than there are, it may close one that a
thread has just begun to use, and that request fails, or waits for its timeout: encode/httpcore, issue 1110.
"""
_INHERITED: list["OpenStream"] = []
"""Streams of the process before a fork. They are kept, because Python would close them."""


def options(url: str, token: str | None, timeout: float, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a client of httpx. Raises ValueError."""
    if not _is_url(url):
        raise ValueError(f"{url!r} is not the URL of a server. Write it as https://files.example.com.")
    headers = {"accept": "application/json", "user-agent": AGENT}
    if token is not None:
        headers["authorization"] = f"Bearer {_checked(token.strip())}"
    limits = {"timeout": httpx.Timeout(timeout, pool=None), "limits": LIMITS}
    return {"base_url": url.rstrip("/"), "headers": headers, **limits, **more}


def _is_url(url: str) -> bool:
    try:
        return httpx.URL(url).scheme in ("http", "https") and bool(httpx.URL(url).host)
    except httpx.InvalidURL:
        return False


def _checked(token: str) -> str:
    """Return a token. Raises ValueError, whose text does not have the token, for what HTTP can't send."""
    if not token.isascii() or not token.isprintable():
        raise ValueError("The token has characters that a token can't have. Copy it again.")
    return token


def arguments(call: Call, *, is_async: bool) -> dict[str, Any]:
    """Return the arguments of a request."""
    body: Any = call.body
    if isinstance(body, Span):
        body = _async_chunks(body) if is_async else _chunks(body)
    headers = dict(call.headers)
    if "alt=media" in call.path:
        headers.setdefault("accept", "*/*")
    if "alt=media" in call.path or call.method in ("PUT", "PATCH"):
        # A proxy that compresses a response removes its Content-Length, and weakens or removes its ETag.
        headers["accept-encoding"] = "identity"
    timeout = {} if call.timeout is None else {"timeout": call.timeout}
    return {"method": call.method, "url": call.path, "headers": headers, "content": body, **timeout}


def _read(span: Span, offset: int) -> bytes:
    data = span.source.read_at(offset, min(CHUNK, span.stop - offset))
    if not data:
        raise BadRequest("The file became shorter while it was sent. Send it again.", code="source_changed")
    return data


def _chunks(span: Span) -> Iterator[bytes]:
    offset = span.start
    while offset < span.stop:
        data = _read(span, offset)
        yield data
        offset += len(data)
        span.sent(len(data))


async def _async_chunks(span: Span) -> AsyncIterator[bytes]:
    offset = span.start
    while offset < span.stop:
        data = await asyncio.to_thread(_read, span, offset)
        yield data
        offset += len(data)
        span.sent(len(data))


def failed(error: httpx.TransportError | httpx.DecodingError) -> DrivebayError:
    """Return the error of a request that got no response, or not all of one, or that can't be sent."""
    if isinstance(error, httpx.LocalProtocolError):  # its text may quote a header, and so a secret
        detail = "HTTP can't send this request. Are there line breaks or other control characters in its properties?"
        return BadRequest(detail, code="invalid_request")
    text = str(error) or type(error).__name__
    return ConnectionFailed(
        f"The connection failed: {text}",
        was_sent=not isinstance(error, NOT_SENT),
        is_timeout=isinstance(error, httpx.ReadTimeout),
    )


def reply_of(response: httpx.Response, content: bytes = b"", stream: Any = None) -> Reply:
    """Return a response."""
    return Reply(response.status_code, response.headers, content, stream)


class OpenStream:
    """An open response, and the iterator of its bytes as they were stored.

    They are returned in chunks of about `CHUNK`. After a failure the bytes before it are returned first.
    """

    def __init__(self, response: httpx.Response, chunks: Any) -> None:
        self.response, self._chunks = response, chunks
        self._failure: DrivebayError | None = None
        self._process = os.getpid()

    def next(self) -> bytes:
        """Return the next bytes; none at the end. Raises ConnectionFailed."""
        found, size = self._begin()
        try:
            while size < CHUNK and (data := next(self._chunks, b"")):
                found.append(data)
                size += len(data)
        except httpx.TransportError as error:
            self._failed_after(found, error)
        return b"".join(found)

    async def anext(self) -> bytes:
        """Return the next bytes; none at the end. Raises ConnectionFailed."""
        found, size = self._begin()
        try:
            while size < CHUNK and (data := await anext(self._chunks, b"")):
                found.append(data)
                size += len(data)
        except httpx.TransportError as error:
            self._failed_after(found, error)
        return b"".join(found)

    def close(self) -> None:
        """Close the response."""
        if self._process == os.getpid():
            self.response.close()
        else:
            _INHERITED.append(self)

    async def aclose(self) -> None:
        """Close the response."""
        if self._process == os.getpid():
            await self.response.aclose()
        else:
            _INHERITED.append(self)

    def _begin(self) -> tuple[list[bytes], int]:
        if self._process != os.getpid():
            raise ConnectionFailed("The connection is that of the process before the fork.")
        if self._failure is not None:
            raise self._failure
        return [], 0

    def _failed_after(self, found: list[bytes], error: httpx.TransportError) -> None:
        self._failure = failed(error)
        if not found:
            raise self._failure from error
