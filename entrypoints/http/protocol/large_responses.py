"""The sizes in which large responses are sent, so that many of them at once take little memory.

The HTTP server copies what it is sent, and keeps messages of a response that its client does not take yet. Counted
with granian 2.8: five messages wait for the buffer of the connection, which takes one large message, or about 400 KiB
of smaller ones, but no more than 15. So it keeps 6 of 256 KiB and more, 12 of 64 KiB, and 20 of 8 KiB. The more
responses there are, the smaller the messages.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

LARGEST = 1024 * 1024  # bytes of a message; smaller ones would slow down a single client
SMALLEST = 64 * 1024  # bytes; smaller ones would take more time than they save memory
SHARED = 3 * 1024 * 1024  # bytes of one message of each of several responses


class LargeResponses:
    """The large responses of a process: a context for each. Up to 48 of them take 36 MiB of the HTTP server."""

    def __init__(self) -> None:
        self._count = 0

    def __enter__(self) -> Self:
        self._count += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._count -= 1

    def messages(self, chunk: bytes) -> Iterator[bytes]:
        """Yield a chunk in messages of about the same size, which are as large as they may be now."""
        most = max(min(LARGEST, SHARED // self._count), SMALLEST)
        if len(chunk) <= most:
            yield chunk
            return
        size = -(-len(chunk) // -(-len(chunk) // most))
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]
