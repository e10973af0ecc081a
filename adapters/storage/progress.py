"""Deadlines that measure progress: they are put off while bytes move, however long all of them take.

Bytes have moved once the other side's system has acknowledged them. What this process has written tells little:
megabytes may wait in the buffers of its own system, and on a slow uplink for minutes.
"""

import asyncio
import fcntl
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

LOOKS = 8  # in the time of a deadline
IS_MEASURED = sys.platform == "linux"
"""Whether the system tells what was acknowledged. Where it does not, bytes count once they are written."""
SIOCOUTQ = 0x5411  # bytes in the send queue that are not acknowledged: man 7 tcp
BYTES_ACKED = struct.Struct("120xQ")  # tcpi_bytes_acked in the struct tcp_info of linux/tcp.h, since Linux 4.1

_report: ContextVar[Callable[[float], None]] = ContextVar("report", default=lambda _: None)


@asynccontextmanager
async def progress_deadline(seconds: float, moved: Callable[[], object]) -> AsyncIterator[None]:
    """Raise TimeoutError once `moved` has returned the same value for `seconds`, or up to an eighth longer.

    Each change is also reported to those who wait outside: see `reporting_to`.
    """
    async with asyncio.timeout(seconds) as deadline:
        looks = _Looks(deadline, seconds, moved)
        try:
            yield
        finally:
            looks.end()


class _Looks:
    """Looks at what has moved, LOOKS times in the time of a deadline."""

    def __init__(self, deadline: asyncio.Timeout, seconds: float, moved: Callable[[], object]) -> None:
        self._deadline = deadline
        self._seconds = seconds
        self._moved = moved
        self._seen = moved()
        self._wait()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds / LOOKS, self._look)

    def _look(self) -> None:
        seen, self._seen = self._seen, self._moved()
        if self._seen != seen:
            put_off(self._deadline, self._seconds)
            report_progress()
        self._wait()

    def end(self) -> None:
        self._timer.cancel()


@asynccontextmanager
async def silent_deadline(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after `seconds` in which the other side works and no byte moves.

    Deadlines outside, which wait for bytes to move, are put off for as long: see `reporting_to`.
    """
    _report.get()(seconds)
    try:
        async with asyncio.timeout(seconds):
            yield
    finally:
        report_progress()


def report_progress() -> None:
    """Put off the deadlines outside: see `reporting_to`."""
    _report.get()(0)


@contextmanager
def reporting_to(report: Callable[[float], None]) -> Iterator[None]:
    """Call `report` each time that something inside, or in a task that is made inside, sees progress.

    Its argument is for how many more seconds no progress can be seen.
    """
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def put_off(deadline: asyncio.Timeout, seconds: float, silence: float = 0) -> None:
    """Let a deadline pass `seconds` after a `silence` from now, unless it has passed, or stands still."""
    if deadline.when() is not None and not deadline.expired():
        deadline.reschedule(asyncio.get_running_loop().time() + seconds + silence)


def acknowledged(transport: asyncio.BaseTransport | None) -> int:
    """How many bytes the other side has acknowledged, or something that only changes with it; 0 if unknown."""
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
    """How many bytes this system holds that the other side has not acknowledged; 0 if unknown."""
    connection = _socket(transport)
    if connection is None or not IS_MEASURED:
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(connection.fileno(), SIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def _socket(transport: asyncio.BaseTransport | None) -> socket.socket | None:
    """The socket below a connection, unless it is being closed: its number may be another's soon."""
    if transport is None or transport.is_closing():
        return None
    found: socket.socket | None = transport.get_extra_info("socket")
    return found
