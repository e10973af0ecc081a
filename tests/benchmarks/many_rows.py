"""The same requests to a server with 10,000,000 blobs and to one with 1,000, in turn. On SQLite."""

import base64
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx

from domain.properties import DEFAULT_CONTENT_TYPE
from tests.backends.run import Backends
from tests.benchmarks.figures import Figures
from tests.benchmarks.peers import servers
from tests.benchmarks.peers.load import LoadGenerators
from tests.benchmarks.peers.rows import RATE, Round, Row, record
from tests.http.server import Server
from tests.http.wire import TOKEN

FEW, MANY = 1000, 10_000_000
SAMPLE = 1000  # blobs that have bytes, in equal distances
ROUNDS = 5
SECONDS = 2  # of a round
DATA = os.urandom(1024)
CACHE = 4 * 1024**2  # KiB, for the inserts
INSERT = """
    INSERT INTO blobs (id, backend, object_key, size, sha256, content_type, created_at, sole)
    VALUES (?, 'fs', ?, 1024, ?, ?, ?, 1)
"""
WORKS = {
    "get": "GET of 1 KiB, 10,000,000 blobs",
    "post": "Durable POST of 1 KiB, 10,000,000 blobs",
    "page": "Page of 100 entries, 10,000,000 blobs",
}
ROWS = [Row(work, RATE, f"many {name}", "1,000 blobs", f"few {name}", 0.9) for name, work in WORKS.items()]


def measure(folder: Path, backends: Backends, figures: Figures) -> None:
    """Record the medians."""
    drivebays = {"few": _filled(folder / "few", FEW), "many": _filled(folder / "many", MANY)}
    with servers.load_generators(backends, folder) as generators, drivebays["few"], drivebays["many"]:
        for name, size in (("few", FEW), ("many", MANY)):
            _store_sample(drivebays[name], size)
        rounds = [_round(generators, drivebays, number) for number in range(ROUNDS + 1)]
    record(ROWS, rounds[1:], figures)


def _round(generators: LoadGenerators, drivebays: dict[str, Server], number: int) -> Round:
    found: Round = {}
    for work in WORKS:
        for name, size in (("few", FEW), ("many", MANY)):
            found[f"{name} {work}"] = _rate(generators, work, drivebays[name].url, size, number)
    return found


def _rate(generators: LoadGenerators, work: str, url: str, size: int, number: int) -> float:
    url, step = f"{url}/v1/blobs", size // SAMPLE
    match work:
        case "get":
            sample = generators.wrk(url, least=len(DATA), seconds=SECONDS, step=step)
        case "post":
            post = (f"-{number}-", base64.b64encode(DATA).decode())
            sample = generators.wrk(url, seconds=SECONDS, post=post, step=step)
        case _:
            cursor = base64.urlsafe_b64encode(_id(size // 2).encode()).decode()
            sample = generators.wrk(f"{url}?limit=100&cursor={cursor}", least=100 * len(_id(0)), seconds=SECONDS)
    return sample.rate


def _filled(folder: Path, size: int) -> Server:
    """Return a server on a database with so many rows, whose blobs have no bytes."""
    server = servers.drivebay(folder)
    with server:
        pass  # it makes the tables, and marks the storage
    with closing(sqlite3.connect(folder / "data" / "drivebay.db")) as connection:
        for pragma in (f"cache_size = -{CACHE}", "journal_mode = MEMORY", "synchronous = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.executemany(INSERT, _rows(size))
        connection.commit()
        os.sync()
    return server


def _rows(size: int) -> Iterator[tuple[str, str, bytes, str, int]]:
    for number in range(size):
        key = hashlib.sha256(b"%d" % number).hexdigest()[:32]  # random, as object keys are
        yield _id(number), key, number.to_bytes(32, "big"), DEFAULT_CONTENT_TYPE, number


def _id(number: int) -> str:
    return f"{number:08}"


def _store_sample(server: Server, size: int) -> None:
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
        for number in range(0, size, size // SAMPLE):
            client.put(f"/v1/blobs/{_id(number)}", content=DATA).raise_for_status()
