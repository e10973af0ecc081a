"""The log lines of requests: written together, in their place among the other lines."""

import asyncio
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from entrypoints.telemetry import logs
from entrypoints.telemetry.request_lines import DELAY, REQUEST_ID, TRACE_ID, RequestLine

PATIENCE = 20.0  # seconds


class Stream(io.StringIO):
    """A stream that counts its writes, and may be full."""

    writes = 0
    is_full = False

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError("no space")
        self.writes += 1
        return super().write(text)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def stream() -> Iterator[Stream]:
    stream = Stream()
    logs.configure(stream)
    yield stream
    logs.REQUEST_LINES.write()
    logs.REQUEST_LINES.stream = None
    structlog.reset_defaults()


def line(status: int = 200) -> RequestLine:
    return RequestLine("GET", "/v1/blobs/{id}", status, 1.5, 0, 1024)


async def test_lines_that_come_together_are_written_together(stream: Stream) -> None:
    for status in (200, 304, 404):
        logs.log_request(line(status))
    assert stream.writes == 0
    await asyncio.sleep(2 * DELAY)
    assert stream.writes == 1
    assert [each["status"] for each in stream.lines] == [200, 304, 404]


async def test_a_line_is_as_any_other(stream: Stream) -> None:
    bound, traced = REQUEST_ID.set("r1"), TRACE_ID.set("t1")
    logs.log_request(line())
    structlog.get_logger().info("request", method="GET", route="/v1/blobs/{id}", status=200)
    TRACE_ID.reset(traced)
    logs.log_request(line())
    REQUEST_ID.reset(bound)
    logs.REQUEST_LINES.write()
    ours, other, untraced = stream.lines
    assert ours.keys() - other.keys() == {"milliseconds", "bytes_in", "bytes_out"}
    assert {name: value for name, value in ours.items() if name in other} == other | {"timestamp": ours["timestamp"]}
    assert untraced.keys() == ours.keys() - {"trace_id"}


async def test_lines_are_in_their_order(stream: Stream) -> None:
    logs.log_request(line())
    structlog.get_logger().warning("something else")
    logs.log_request(line(404))
    logs.REQUEST_LINES.write()
    assert [each["event"] for each in stream.lines] == ["request", "something else", "request"]


async def test_a_line_of_a_thread_neither_loses_nor_repeats_one(stream: Stream) -> None:
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            logs.REQUEST_LINES.write()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    writing = asyncio.create_task(asyncio.to_thread(write))
    try:
        await asyncio.sleep(0)
        for status in range(20_000):
            logs.log_request(line(status))
    finally:
        over.set()
        sys.setswitchinterval(interval)
        await writing
    logs.REQUEST_LINES.write()
    assert [each["status"] for each in stream.lines] == [*range(20_000)]


async def test_lines_stay_in_order_while_a_thread_is_slow_to_write_earlier_ones(stream: Stream) -> None:
    has_begun, may_end = threading.Event(), threading.Event()
    write = stream.write

    def write_slowly(text: str) -> int:
        has_begun.set()
        assert may_end.wait(PATIENCE)
        return write(text)

    stream.write = write_slowly  # type: ignore[method-assign]
    logs.log_request(line(200))
    slow = threading.Thread(target=logs.REQUEST_LINES.write)
    slow.start()
    assert has_begun.wait(PATIENCE)
    stream.write = write  # type: ignore[method-assign]
    logs.log_request(line(404))
    other = threading.Thread(target=logs.REQUEST_LINES.write)
    other.start()
    other.join(0.2)  # time to write, for one that would not wait for its turn
    may_end.set()
    for each in (slow, other):
        each.join(PATIENCE)
    assert [each["status"] for each in stream.lines] == [200, 404]


async def test_lines_that_cannot_be_written_are_lost_and_later_ones_are_not(stream: Stream) -> None:
    stream.is_full = True
    logs.log_request(line())
    logs.REQUEST_LINES.write()
    stream.is_full = False
    logs.log_request(line(404))
    logs.REQUEST_LINES.write()
    assert [each["status"] for each in stream.lines] == [404]


# In a process of its own: a logger that was used keeps its configuration.
ON_A_TERMINAL = """
import sys
from entrypoints.telemetry import logs
from entrypoints.telemetry.request_lines import RequestLine

sys.stderr.isatty = lambda: True
logs.configure()
logs.log_request(RequestLine("GET", "/v1/blobs/{id}", 200, 1.5, 0, 1024))
"""


def test_a_terminal_gets_each_line_at_once() -> None:
    ran = subprocess.run([sys.executable, "-c", ON_A_TERMINAL], capture_output=True, text=True, timeout=50, check=True)
    assert "milliseconds" in ran.stderr
    assert "{" not in ran.stderr.replace("/v1/blobs/{id}", "")
