"""Deadlines that measure progress: they are extended while bytes move, however long the transfer takes.

Bytes have moved once the peer has acknowledged them. Written bytes are no progress: the system's send buffer holds
megabytes, on a slow uplink for minutes.
"""

import asyncio
import fcntl
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

CHECKS = 8  # per deadline
IS_MEASURED = sys.platform == "linux"
"""Whether the system reports acknowledged bytes. Elsewhere, bytes count once they are written."""
SIOCOUTQ = 0x5411  # bytes in the send queue that are not acknowledged: man 7 tcp
BYTES_ACKED = struct.Struct("120xQ")  # tcpi_bytes_acked in the struct tcp_info of linux/tcp.h, since Linux 4.1

_report: ContextVar[Callable[[float], None]] = ContextVar("report", default=lambda _: None)


@asynccontextmanager
async def progress_deadline(seconds: float, moved: Callable[[], object]) -> AsyncIterator[None]:
    """Raise TimeoutError once `moved` has returned the same value for `seconds`, or up to an eighth longer.

    Each change also extends the outer deadlines: see `reporting_to`.
    """
    async with asyncio.timeout(seconds) as deadline:
        checks = _Checks(deadline, seconds, moved)
        try:
            yield
        finally:
            checks.end()


class _Checks:
    """Periodic checks of progress, CHECKS times per deadline."""

    def __init__(self, deadline: asyncio.Timeout, seconds: float, moved: Callable[[], object]) -> None:
        self._deadline = deadline
        self._seconds = seconds
        self._moved = moved
        self._seen = moved()
        self._wait()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds / CHECKS, self._check)

    def _check(self) -> None:
        seen, self._seen = self._seen, self._moved()
        if self._seen != seen:
            extend(self._deadline, self._seconds)
            report_progress()
        self._wait()

    def end(self) -> None:
        self._timer.cancel()


@asynccontextmanager
async def silent_deadline(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after `seconds` in which the peer works and no byte moves.

    Outer deadlines, which wait for bytes to move, are extended by as much: see `reporting_to`.
    """
    _report.get()(seconds)
    try:
        async with asyncio.timeout(seconds):
            yield
    finally:
        report_progress()


def report_progress() -> None:
    """Extend the outer deadlines: see `reporting_to`."""
    _report.get()(0)


@contextmanager
def reporting_to(report: Callable[[float], None]) -> Iterator[None]:
    """Call `report` at each progress inside the context, and in tasks created inside.

    Its argument: the seconds for which no further progress is visible.
    """
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def extend(deadline: asyncio.Timeout, seconds: float, silence: float = 0) -> None:
    """Extend a deadline to `seconds` after a `silence` from now, unless it has expired or is suspended."""
    if deadline.when() is not None and not deadline.expired():
        deadline.reschedule(asyncio.get_running_loop().time() + seconds + silence)


def acknowledged(transport: asyncio.BaseTransport | None) -> int:
    """Return the number of bytes acknowledged by the peer, or a value that changes only with it; 0 if unknown."""
    connection = _socket(transport)
    if connection is None:
        return 0
    if not IS_MEASURED:
        return -transport.get_write_buffer_size() if isinstance(transport, asyncio.WriteTransport) else 0
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED.size)
        (count,) = BYTES_ACKED.unpack(info)
    except (OSError, struct.error):
        return 0
    return int(count)


def unacknowledged(transport: asyncio.BaseTransport | None) -> int:
    """Return the number of sent bytes that the peer has not acknowledged; 0 if unknown."""
    connection = _socket(transport)
    if connection is None or not IS_MEASURED:
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(connection.fileno(), SIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def _socket(transport: asyncio.BaseTransport | None) -> socket.socket | None:
    """Return the socket of a connection, unless it is closing: its descriptor may soon be reused."""
    if transport is None or transport.is_closing():
        return None
    found: socket.socket | None = transport.get_extra_info("socket")
    return found
