"""How far the memory of a real server rises above what it has when idle, while one large blob passes, on each backend.

What comes back is checked to the byte.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.backends.run import Backends
from tests.benchmarks.figures import Figures
from tests.benchmarks.transfers import MIB, fetch, in_base64, pieces_of, post, put
from tests.http.combinations import Combination
from tests.http.server import Server

ALLOWED = 64  # MiB


@dataclass(frozen=True)
class Case:
    """Settings of a server, and the sizes of the blobs that it is given in the raw and in the JSON form, in bytes."""

    combination: Combination
    raw: int = 4096 * MIB
    json: int = 1024 * MIB


CASES = [
    Case(Combination("SQLite", "fs")),
    Case(Combination("SQLite", "database")),
    Case(Combination("PostgreSQL", "database")),
    Case(Combination("MariaDB", "database"), 1024 * MIB, 256 * MIB),  # more would take a quarter of an hour
    Case(Combination("SQLite", "s3")),
    Case(Combination("SQLite", "ftp")),
]


def measure(case: Case, backends: Backends, figures: Figures) -> None:
    """Print the rise in each direction, in each form."""
    name = f"{case.combination.database} and {case.combination.storage}"
    # Each form has a server and a storage of its own: its blobs would wait for the end of a grace if they were deleted.
    for form, size in ((_raw, case.raw), (_json, case.json)):
        with (
            case.combination.settings(backends) as settings,
            tempfile.TemporaryDirectory() as folder,
            Server(Path(folder), **settings) as server,
        ):
            form(Measured(server, name, figures), size)


class Measured:
    """A server that has just been started, and its worker's memory."""

    def __init__(self, server: Server, name: str, figures: Figures) -> None:
        self.server = server
        self._name = name
        self._figures = figures
        [self._worker] = server.workers()
        self._idle = self._resident("VmRSS")

    @contextmanager
    def rise(self, what: str, size: int) -> Iterator[None]:
        """Print how far the resident set rises meanwhile above what it was at the start."""
        self._path("clear_refs").write_text("5")  # forget the peak: proc(5)
        started = time.perf_counter()
        yield
        rate = size / MIB / (time.perf_counter() - started)
        what = f"{self._name}, {what} of {size // MIB:,} MiB: {rate:,.0f} MiB/s, memory"
        self._figures.mebibytes(what, self._resident("VmHWM") - self._idle, ALLOWED)

    def _resident(self, which: str) -> float:
        lines = self._path("status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith(f"{which}:")]
        return int(line.split()[1]) / 1024

    def _path(self, name: str) -> Path:
        return Path(f"/proc/{self._worker}/{name}")


def _raw(measured: Measured, size: int) -> None:
    server = measured.server
    with measured.rise("PUT", size):
        stored = put(server, "a", size)
    assert stored["sha256"] == _sha256(pieces_of(size))
    with measured.rise("GET of bytes", size):
        received = _received(server, "/v1/blobs/a?alt=media")
    assert received == stored["sha256"]


def _json(measured: Measured, size: int) -> None:
    server = measured.server
    with measured.rise("POST, id first,", size):
        stored = post(server, b'{"id":"a","data":"', size, b'"}')
    with measured.rise("POST, data first,", size):
        other = post(server, b'{"data":"', size, b'","id":"b"}')
    assert stored["sha256"] == other["sha256"] == _sha256(pieces_of(size))
    with measured.rise("GET of JSON", size):
        received = _received(server, "/v1/blobs/a")
    assert received == _sha256(_expected(stored))


def _expected(stored: dict[str, Any]) -> Iterator[bytes]:
    """The JSON form of a blob of which a POST has said this."""
    yield b'{"id":"a","data":"'
    yield from in_base64(stored["size"])
    yield f'","size":{stored["size"]},"created_at":"{stored["created_at"]}"}}'.encode()


def _sha256(pieces: Iterable[bytes]) -> str:
    sha256 = hashlib.sha256()
    for piece in pieces:
        sha256.update(piece)
    return sha256.hexdigest()


def _received(server: Server, path: str) -> str:
    sha256 = hashlib.sha256()
    fetch(server, path, sha256.update)
    return sha256.hexdigest()
