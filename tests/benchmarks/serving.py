"""Requests per second over HTTP: an empty Litestar handler, a GET and a POST of 1 KiB, beside each other.

All are served by granian with one worker, and asked by as many connections, one request at a time on each.
"""

import asyncio
import base64
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median

import litestar

from tests.benchmarks.figures import Figures
from tests.http.server import Server
from tests.http.wire import Connection, get, post

CONNECTIONS = 16
ROUNDS = 7
SECONDS = 0.7  # a round
EMPTY_HANDLER = [str(Path(sys.executable).parent / "granian"), "--interface", "asgi", "--factory", "--port", "{port}"]
EMPTY_HANDLER += ["--no-ws", "--working-dir", str(Path(__file__).parents[2]), "tests.benchmarks.serving:empty"]
DATA = base64.b64encode(bytes(1024)).decode()


@litestar.get("/health/live")
async def _empty() -> None:
    """Nothing at all."""


def empty() -> litestar.Litestar:
    """An application whose only handler is empty."""
    return litestar.Litestar([_empty])


async def measure(folder: Path, figures: Figures) -> None:
    """Print the medians, and what part each is of the empty handler's."""
    (folder / "empty").mkdir()
    (folder / "drivebay").mkdir()
    with Server(folder / "empty", command=EMPTY_HANDLER) as bare, Server(folder / "drivebay") as drivebay:
        ids = count()
        kinds: dict[str, tuple[int, Callable[[], bytes]]] = {
            "empty handler": (bare.port, lambda: get("/health/live")),
            "GET of 1 KiB": (drivebay.port, lambda: get("/v1/blobs/0")),
            "POST of 1 KiB": (drivebay.port, lambda: post({"id": f"{next(ids)}", "data": DATA})),
        }
        await rate(drivebay.port, kinds["POST of 1 KiB"][1])  # so that there is a blob to get
        rates: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):  # by turns, so that a noisy moment is shared
            for kind, (port, make) in kinds.items():
                rates[kind].append(await rate(port, make))
    whole = median(rates["empty handler"])
    for kind, found in rates.items():
        what = f"{kind}: {median(found):,.0f} requests per second, of the empty handler's"
        figures.at_least(what, median(found) / whole)


async def rate(port: int, make: Callable[[], bytes]) -> float:
    """Requests per second that are answered with success."""
    started = time.perf_counter()
    answered = await asyncio.gather(*(_ask(port, make, started + SECONDS) for _ in range(CONNECTIONS)))
    return sum(answered) / (time.perf_counter() - started)


async def _ask(port: int, make: Callable[[], bytes], deadline: float) -> int:
    answered = 0
    async with Connection(port) as connection:
        while time.perf_counter() < deadline:
            status, body = await connection.ask(make())
            assert status in (200, 201), body
            answered += 1
    return answered
