"""Uploads by tus of 1 GiB, in one request and in requests of 8 MiB, next to a PUT and to the server of tus in Node.

All are measured by turns in one run, over one connection each, with a client that only copies a file into it.
"""

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import urlsplit

from tests.benchmarks.figures import Figures
from tests.benchmarks.large import Measured
from tests.benchmarks.peers import rows, servers
from tests.benchmarks.peers.rows import SPEED, Round, Row
from tests.benchmarks.peers.servers import running
from tests.benchmarks.transfers import MIB, pieces_of
from tests.conformance.environments import node_modules
from tests.http.server import free_port
from tests.http.wire import TOKEN
from tests.resumable import Tus

SCRIPT = Path(__file__).with_name("tus_server.mjs")
PATIENCE = 300  # seconds
CHUNK = 8 * MIB
WORKS = 5
BLOB = "/v1/blobs/bench"
DURABILITY = "Drivebay flushes to the disk what it acknowledges, and computes SHA-256. The server in Node does neither."


@dataclass(frozen=True)
class Amounts:
    """The size of the file in MiB, and the rounds."""

    large: int = 1024
    rounds: int = 5


USUAL = Amounts()
QUICK = Amounts(64, 1)
WARM_UP = Amounts(64, 2)


class Client:
    """One connection, which stays open. Raises RuntimeError for a response that is no success."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], file: BinaryIO | None = None, size: int = 0
    ) -> Mapping[str, str]:
        """Send the next `size` bytes of a file. Return the headers of the response."""
        given = {"Host": "127.0.0.1", "Authorization": f"Bearer {TOKEN}", **headers, "Content-Length": str(size)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self._socket.sendall(f"{method} {urlsplit(url).path} HTTP/1.1\r\n{lines}\r\n".encode())
        if file is not None and size:
            self._socket.sendfile(file, file.tell(), size)
        response = HTTPResponse(self._socket, method=method)
        response.begin()
        body = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {url} got {response.status}: {body[:500]!r}")
        return {name.lower(): value for name, value in response.getheaders()}

    def put(self, path: Path) -> str:
        """Store a file in one request, which is not resumable. Return its URL."""
        with path.open("rb") as file:
            self.ask("PUT", BLOB, {}, file, path.stat().st_size)
        return BLOB

    def upload(self, path: Path, chunk: int) -> str:
        """Upload a file by tus, in requests of up to `chunk` bytes. Return the URL of the upload."""
        size, offset, protocol = path.stat().st_size, 0, Tus()
        url = self.ask(*protocol.creation("bench", size))["location"]
        with path.open("rb") as file:
            while offset < size:
                count = min(chunk, size - offset)
                head = protocol.append(url, offset, is_last=offset + count == size)
                offset = int(self.ask(*head, file, count)["upload-offset"])
        return url


def measure(folder: Path, figures: Figures, amounts: Amounts) -> None:
    """Record the medians of the rounds, and print what a large request takes of memory."""
    print(DURABILITY, flush=True)
    file = folder / "file"
    with servers.drivebay(folder / "drivebay", TRASH_RETENTION="0") as drivebay, _node(folder / "node") as node:
        _make(file, WARM_UP.large)
        for _ in range(WARM_UP.rounds):
            _round(file, drivebay.port, node)
        _make(file, amounts.large)
        rounds = [_round(file, drivebay.port, node, number % WORKS) for number in range(amounts.rounds)]
        rows.record(ROWS, rounds, figures)
    with servers.drivebay(folder / "memory") as drivebay, Client(drivebay.port) as client:
        measured = Measured(drivebay, "tus", figures)
        with measured.rise("one PATCH", file.stat().st_size):
            client.upload(file, file.stat().st_size)
        client.ask("DELETE", BLOB, {})
        with measured.rise("PATCHes of 8 MiB", file.stat().st_size):
            client.upload(file, CHUNK)


def _round(file: Path, drivebay: int, node: int, first: int = 0) -> Round:
    """Measure each once, in MiB per second, beginning with the work of number `first`.

    What was stored is removed in between, and each begins when the disk has nothing left to write. The disk is slower
    after much was written, so each work has to be the first one as often as the others.
    """
    size, found = file.stat().st_size, Round()
    works: list[tuple[str, int, int]] = [
        ("put", drivebay, 0),
        ("one", drivebay, size),
        ("many", drivebay, CHUNK),
        ("node one", node, size),
        ("node many", node, CHUNK),
    ]
    for name, port, chunk in [*works[first:], *works[:first]]:
        os.sync()
        with Client(port) as client:
            began = time.perf_counter()
            url = client.upload(file, chunk) if chunk else client.put(file)
            found[name] = size / MIB / (time.perf_counter() - began)
            if port == node:
                client.ask("DELETE", url, {"Tus-Resumable": "1.0.0"})
            else:
                client.ask("DELETE", BLOB, {})
    return found


def _make(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.writelines(pieces_of(size * MIB))


@contextmanager
def _node(folder: Path) -> Iterator[int]:
    """The server of tus in Node, with files in a new folder. Its port."""
    folder.mkdir()
    port = free_port()
    with running(["node", f"{SCRIPT}", f"{node_modules('tus_server')}", f"{folder}", f"{port}"], port):
        yield port


NODE = "@tus/server with @tus/file-store"
ROWS = [
    Row("tus, 1 GiB in one PATCH", SPEED, "one", "a PUT of 1 GiB", "put", 0.9),
    Row("tus, 1 GiB in PATCHes of 8 MiB", SPEED, "many", "a PUT of 1 GiB", "put", 0.8),
    Row("tus, 1 GiB in one PATCH", SPEED, "one", NODE, "node one", 1),
    Row("tus, 1 GiB in PATCHes of 8 MiB", SPEED, "many", NODE, "node many", 1),
]
