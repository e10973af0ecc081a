"""16 busy connections beside 500 idle ones and 60 slow ones, on one worker, SQLite and files.

The busy ones are to be nearly as fast as without the crowd, by turns. And the slow ones are let go, while those that
are idle go on: these come half of the time later, for it is as long as they are waited for too.
"""

import base64
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median

import uvloop

from tests.benchmarks import serving
from tests.benchmarks.crowd import HEADS, IDLE, READERS, SENDERS
from tests.benchmarks.figures import Figures
from tests.http.server import Server
from tests.http.wire import get, post

MIB = 1024 * 1024
ALL = IDLE + SENDERS + READERS + HEADS
TIMEOUT = 30  # seconds: several times what a round with the crowd takes
ROUNDS = 11
ALLOWED = 0.8
ALLOWED_LATE = 1.3  # of the timeout; the slow are looked for each second
DATA = base64.b64encode(bytes(1024)).decode()


def measure(folder: Path, figures: Figures) -> None:
    """Print the medians, what part each is of that without the crowd, and how the crowd fared."""
    with Server(folder, CLIENT_TIMEOUT=f"{TIMEOUT}") as server, _crowd(server) as tell:
        with server.client() as client:
            for blob_id, size in (("0", 1024), ("1 MiB", MIB), ("large", 32 * MIB)):
                client.put(f"/v1/blobs/{blob_id}", content=os.urandom(size))
        _compare(server, tell, figures)
        _let_go(server, tell, figures)
        _check_that_nothing_is_left(server)


@contextmanager
def _crowd(server: Server) -> Iterator[Callable[[str, str], None]]:
    """Return a function that sends the crowd a command, and checks its answer."""
    command = [sys.executable, "-m", "tests.benchmarks.crowd", f"{server.port}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        commands, answers = process.stdin, process.stdout
        assert commands is not None
        assert answers is not None

        def tell(line: str, wanted: str) -> None:
            print(line, file=commands, flush=True)
            answer = answers.readline().strip()
            assert answer == wanted, f"{line}: {answer}"

        yield tell


def _compare(server: Server, tell: Callable[[str, str], None], figures: Figures) -> None:
    ids = count(1)
    kinds: dict[str, Callable[[], bytes]] = {
        "GET of 1 KiB": lambda: get("/v1/blobs/0"),
        "POST of 1 KiB": lambda: post({"id": f"{next(ids)}", "data": DATA}),
        "GET of 1 MiB": lambda: get("/v1/blobs/1%20MiB?alt=media"),
    }
    alone: dict[str, list[float]] = {kind: [] for kind in kinds}
    beside: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):  # by turns, so that a noisy moment is shared
        for kind, make in kinds.items():
            alone[kind].append(uvloop.run(serving.rate(server.port, make)))
            tell("come_slow", "here")
            tell("come_idle", f"200x{IDLE // 2}")
            beside[kind].append(uvloop.run(serving.rate(server.port, make)))
            server.wait_until(lambda: server.connections() == ALL)  # none of them was let go too early
            tell("go", "gone")
            server.wait_until(lambda: server.connections() == 0)
    for kind in kinds:
        with_them, without = median(beside[kind]), median(alone[kind])
        what = f"{kind} beside a crowd: {with_them:,.0f} requests per second, without it {without:,.0f}, ratio"
        figures.at_least(what, with_them / without, ALLOWED)


def _let_go(server: Server, tell: Callable[[str, str], None], figures: Figures) -> None:
    started = time.monotonic()
    tell("come_slow", "here")
    time.sleep(TIMEOUT / 2)
    tell("come_idle", f"200x{IDLE // 2}")
    while server.connections() > IDLE and time.monotonic() < started + 2 * TIMEOUT:
        time.sleep(0.1)
    figures.at_most(
        f"slow clients are let go after {TIMEOUT} s, that", (time.monotonic() - started) / TIMEOUT, ALLOWED_LATE
    )
    tell("ask", f"200x{IDLE}")
    tell("answers", f"408x{SENDERS} closedx{HEADS}")
    tell("go", "gone")


def _check_that_nothing_is_left(server: Server) -> None:
    server.wait_until_left(server.left()["blobs"])
    with server.client() as client:
        assert client.get("/v1/blobs", params={"prefix": "slow"}).json()["blobs"] == []
    assert {line["level"] for line in server.log()} == {"info"}
