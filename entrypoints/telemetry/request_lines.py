"""Log lines of requests. They are written together a moment later: a write for each costs as much as a small read."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from select import PIPE_BUF
from typing import TextIO

import msgspec

DELAY = 0.02  # seconds
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
TRACE_ID: ContextVar[str | msgspec.UnsetType] = ContextVar("trace_id", default=msgspec.UNSET)


class RequestLine(msgspec.Struct):
    """A request that ends now. `milliseconds`: its duration. `bytes_in` and `bytes_out`: the sizes of the bodies."""

    method: str
    route: str
    status: int
    milliseconds: float
    bytes_in: int
    bytes_out: int
    event: str = "request"
    request_id: str = msgspec.field(default_factory=REQUEST_ID.get)
    trace_id: str | msgspec.UnsetType = msgspec.field(default_factory=TRACE_ID.get)
    level: str = "info"
    timestamp: datetime = msgspec.field(default_factory=partial(datetime.now, UTC))


def pieces(text: bytes, most: int = PIPE_BUF) -> Iterator[bytes]:
    """Yield whole lines, as many together as a pipe takes in one piece, or one that is longer.

    What is longer may get lines of other processes in between, when the pipe is full: write(2), pipe(7).
    """
    start = 0
    while start < len(text):
        end = text.rfind(b"\n", start, start + most) + 1 or text.find(b"\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


class RequestLines:
    """The lines that are not written yet. Without a `stream`, none are taken. Lines that can't be written are lost.

    Any thread may write them, before a line of its own.
    """

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self._encoder = msgspec.json.Encoder()
        self._lines: list[RequestLine] = []
        # An object that is collected within may log too.
        self._lock = threading.RLock()
        self._writing = threading.RLock()

    def add(self, line: RequestLine) -> None:
        """Write a line within DELAY."""
        with self._lock:
            if not self._lines:
                asyncio.get_running_loop().call_later(DELAY, self.write)
            self._lines.append(line)

    def write(self) -> None:
        """Write the lines now."""
        with self._writing:  # so that lines are in their order; requests that end do not wait for it
            with self._lock:
                lines, self._lines = self._lines, []
            if lines and self.stream is not None:
                with suppress(OSError, ValueError):
                    for lines_together in pieces(self._encoder.encode_lines(lines)):
                        self.stream.write(lines_together.decode())
                        self.stream.flush()
