"""A blob of 256 MiB in the JSON form, on files: the time that it takes, and the server's memory."""

import base64
import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.figures import Figures
from tests.http.server import Server
from tests.http.wire import AUTH, JSON, get, request

MIB = 1024 * 1024
BLOCK = base64.b64encode(os.urandom(3 * MIB // 4))  # 1 MiB of text
SIZE = 256  # MiB
BLOCKS = SIZE * 4 // 3
ALLOWED = 64  # MiB


def measure(folder: Path, figures: Figures) -> None:
    """Print the time for a MiB of the blob, and how far the server's resident set rose above what it was when idle."""
    with Server(folder) as server:
        [worker] = server.workers()
        _post(server, b'{"id":"warm","data":"', b'"}', blocks=9)
        _get(server, "warm")
        _reset_peak(worker)
        idle = _peak(worker)
        exchanges: dict[str, Callable[[], None]] = {
            "POST, id first": lambda: _post(server, b'{"id":"a","data":"', b'"}'),
            "POST, data first": lambda: _post(server, b'{"data":"', b'","id":"b"}'),
            "GET": lambda: _get(server, "a"),
        }
        for kind, exchange in exchanges.items():
            _reset_peak(worker)
            started = time.perf_counter()
            exchange()
            each = (time.perf_counter() - started) * 1000 / SIZE
            more = _peak(worker) - idle
            print(f"JSON form of {SIZE} MiB, {kind}: {each:.1f} ms per MiB")
            figures.mebibytes("  memory", more, ALLOWED)


def _post(server: Server, start: bytes, end: bytes, blocks: int = BLOCKS) -> None:
    length = len(start) + blocks * len(BLOCK) + len(end)
    with server.connect() as connection:
        connection.sendall(request("POST /v1/blobs", f"{AUTH}{JSON}Content-Length: {length}\r\n", start))
        for _ in range(blocks):
            connection.sendall(BLOCK)
        connection.sendall(end)
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 201 "), answer


def _get(server: Server, blob_id: str) -> None:
    with server.connect() as connection, connection.makefile("rb") as answer:
        connection.sendall(get(f"/v1/blobs/{blob_id}"))
        length = 0
        while (line := answer.readline().lower()) != b"\r\n":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        room = memoryview(bytearray(MIB))
        while length:
            got = answer.readinto(room[:length])
            assert got, "the answer broke off"
            length -= got


def _reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5)


def _peak(pid: int) -> float:
    """The most memory that a process had since the reset, in MiB."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024
