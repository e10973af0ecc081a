"""The parent of the workers: what it does about those that die and freeze, and what they do when it dies."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.crash.service import lives
from tests.http.server import Server
from tests.http.test_stopping import begin_slowly
from tests.http.wire import get

FROZEN = [sys.executable, "-m", "tests.http.frozen", "serve"]


def pauses(server: Server) -> list[float]:
    """How long each worker that has died was not replaced."""
    return [line["pause"] for line in server.log() if line["event"] == "a worker has ended unexpectedly"]


def replace(server: Server, *workers: int) -> None:
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    server.wait_until(lambda: not set(workers) & set(server.workers()) and len(server.workers()) == 2)


def test_a_worker_that_dies_again_and_again_is_replaced_and_the_other_serves_on(tmp_path: Path) -> None:
    with Server(tmp_path, WORKERS="2") as server:
        server.wait_until_all_serve()
        other = server.workers()[1]
        for _ in range(3):
            [worker] = set(server.workers()) - {other}
            replace(server, worker)
        server.wait_until_all_serve()
        assert other in server.workers()
        assert pauses(server) == [0.5, 1, 2]


def test_all_workers_that_die_at_once_are_replaced_each_time(tmp_path: Path) -> None:
    with Server(tmp_path, WORKERS="2") as server:
        for _ in range(2):
            server.wait_until_all_serve()
            replace(server, *server.workers())
        server.wait_until_it_answers()
        assert sorted(pauses(server)) == [0.5, 0.5, 1, 1]


@pytest.mark.parametrize("how", ["its event loop", "the whole process"])
def test_a_worker_that_freezes_is_replaced_and_the_other_serves_on(tmp_path: Path, how: str) -> None:
    with Server(tmp_path, command=FROZEN, WORKERS="2") as server:
        server.wait_until_all_serve()
        both = set(server.workers())
        if how == "its event loop":
            with server.connect() as connection:
                connection.sendall(get("/freeze"))
                server.wait_until(lambda: set(server.workers()) != both)
        else:
            os.kill(min(both), signal.SIGSTOP)
            server.wait_until(lambda: min(both) not in server.workers())
        assert len(both & set(server.workers())) == 1
        server.wait_until_all_serve()
        [frozen] = [line for line in server.log() if "has stalled" in line["event"]]
        assert frozen["pid"] in both - set(server.workers())


def test_workers_stop_gracefully_when_their_parent_is_killed_and_it_starts_again_at_once(tmp_path: Path) -> None:
    with Server(tmp_path, WORKERS="2") as server:
        server.wait_until_all_serve()
        orphans = server.workers()
        with begin_slowly(server) as slow:
            kill_the_parent(server)
            server.__enter__()
            server.wait_until(lambda: len(server.workers()) == server.listeners() == 2)
            slow.sendall(b"hello")
            assert slow.recv(100).startswith(b"HTTP/1.1 201")
        server.wait_until(lambda: not any(map(lives, orphans)))
        server.wait_until_left(blobs=1)


def test_a_worker_that_hangs_ends_as_well_when_its_parent_is_killed(tmp_path: Path) -> None:
    with Server(tmp_path, command=FROZEN, STOP_TIMEOUT="0") as server, server.connect() as connection:
        [worker] = server.workers()
        connection.sendall(get("/freeze"))
        server.wait_until(lambda: is_frozen(server))
        kill_the_parent(server)
        server.wait_until(lambda: not lives(worker))


def is_frozen(server: Server) -> bool:
    with server.connect() as connection:
        connection.settimeout(1)
        connection.sendall(get("/health/live"))
        try:
            return not connection.recv(1)
        except TimeoutError:
            return True


def kill_the_parent(server: Server) -> None:
    server.process.kill()
    server.process.wait()
