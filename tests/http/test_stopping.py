"""How a server stops: it says so, takes nothing new, fails nobody, and does not wait without end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.http.balanced import Balanced
from tests.http.server import DRIVEBAY, PATIENCE, Server
from tests.http.wire import AUTH, TOKEN, answer, ask_once, get, request

SLOW = request("PUT /v1/blobs/slow", f"{AUTH}Content-Length: 5\r\nExpect: 100-continue\r\n")


def begin_slowly(server: Server) -> socket.socket:
    """A connection whose request is under way, and lacks five bytes."""
    connection = server.connect()
    connection.sendall(SLOW)
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    return connection


def takes_connections(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("workers", ["1", "4"])
async def test_a_restart_fails_no_request(tmp_path: Path, workers: str) -> None:
    with Server(tmp_path, WORKERS=workers) as one, Server(tmp_path, WORKERS=workers) as two:
        for server in (one, two):
            server.wait_until_all_serve()
        load = Balanced([one.port, two.port])

        def restart() -> None:
            for server in (one, two):
                server.wait_until(load.goes_on())
                assert server.stop() == 0
                server.__enter__()
                server.wait_until_all_serve()

        await load.load(16, restart)
    assert load.failed == []
    assert set(load.answers) == {200, 201}


def test_who_waits_to_be_accepted_is_served(tmp_path: Path) -> None:
    with Server(tmp_path, MAX_CONNECTIONS="1") as server:
        with begin_slowly(server) as slow, server.connect() as waiting:
            waiting.sendall(get("/health/live"))
            server.process.send_signal(signal.SIGTERM)
            server.wait_until(lambda: not takes_connections(server))
            slow.sendall(b"hello")
            with slow.makefile("rb") as stream:
                assert answer(stream).status == 201
            with waiting.makefile("rb") as stream:
                assert answer(stream).status == 200
        assert server.process.wait(PATIENCE) == 0


def test_who_has_just_connected_may_be_slow_to_ask(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.connect() as connected:
        server.process.send_signal(signal.SIGTERM)
        server.wait_until(lambda: not takes_connections(server))
        time.sleep(0.4)  # as a client that gets no processor time
        assert ask_once(connected, get("/health/live")).status == 200
        assert server.process.wait(PATIENCE) == 0


def test_who_has_just_asked_may_be_slow_to_ask_again(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.connect() as kept:
        assert "connection" not in ask_once(kept, get("/health/live")).headers
        server.process.send_signal(signal.SIGTERM)
        server.wait_until(lambda: not takes_connections(server))
        time.sleep(0.4)  # as a client that is far away
        assert ask_once(kept, get("/health/live")).headers["connection"] == "close"
        assert server.process.wait(PATIENCE) == 0


def test_while_it_drains_it_serves_and_is_not_ready(tmp_path: Path) -> None:
    with Server(tmp_path, DRAIN_TIME="600") as server, server.connect() as kept:
        assert "connection" not in ask_once(kept, get("/health/ready")).headers
        server.process.send_signal(signal.SIGTERM)
        server.wait_until(lambda: not is_ready(server))
        with server.client() as client:
            for path in ("/health/live", "/v1/blobs", "/docs"):
                found = client.get(path)
                assert (found.status_code, found.headers["connection"]) == (200, "close")
            refusal = client.put("/v1/blobs/a", content=b"x", headers={"Authorization": "Bearer other"})
            assert (refusal.status_code, refusal.headers.get_list("connection")) == (401, ["close"])
            assert client.put("/v1/blobs/a", content=b"x").status_code == 201
            ready = client.get("/health/ready").json()
        assert (ready["code"], ready["detail"]) == ("not_ready", "Not ready: it is about to stop. Ask another server.")
        assert ask_once(kept, get("/v1/blobs/a")).headers["connection"] == "close"
        assert server.process.poll() is None
        assert {line["level"] for line in server.log()} == {"info"}
        server.process.send_signal(signal.SIGINT)  # which ends it now
        assert server.process.wait(PATIENCE) == 0


def test_it_drains_for_a_time(tmp_path: Path) -> None:
    with Server(tmp_path, DRAIN_TIME="0.5") as server:
        assert server.stop() == 0
        assert {line["level"] for line in server.log()} == {"info"}


def is_ready(server: Server) -> bool:
    with server.connect() as connection:
        return ask_once(connection, get("/health/ready")).status == 200


def test_what_does_not_end_in_time_is_cut_off_and_cleaned_up(tmp_path: Path) -> None:
    with Server(tmp_path, STOP_TIMEOUT="0.5", CLIENT_TIMEOUT="60") as server:
        with begin_slowly(server) as connection:
            assert server.stop() == 0
            assert connection.recv(100) == b""
        assert server.left() | {"garbage": 0} == {"files": 0, "blobs": 0, "uploads": 0, "garbage": 0}
        assert "requests that did not end in time are aborted" in {line["event"] for line in server.log()}
        assert "did not stop in time" not in server.errors()


def test_a_second_ctrl_c_stops_it_now(tmp_path: Path) -> None:
    with Server(tmp_path, STOP_TIMEOUT="600", CLIENT_TIMEOUT="600") as server, begin_slowly(server):
        server.process.send_signal(signal.SIGINT)
        server.wait_until(lambda: not takes_connections(server))
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0


def test_a_second_sigterm_changes_nothing(tmp_path: Path) -> None:
    with Server(tmp_path) as server, begin_slowly(server) as slow:
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
            server.wait_until(lambda: not takes_connections(server))
        slow.sendall(b"hello")
        assert slow.recv(100).startswith(b"HTTP/1.1 201")
        assert server.process.wait(PATIENCE) == 0


def test_a_worker_that_hangs_is_killed(tmp_path: Path) -> None:
    with Server(tmp_path, STOP_TIMEOUT="0") as server:
        [worker] = server.workers()
        os.kill(worker, signal.SIGSTOP)
        assert server.stop() == 0
        assert "did not stop in time" in server.errors()


def test_a_worker_that_waits_for_its_storage_ends_at_once(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        away = (tmp_path / "data" / "blobs").rename(tmp_path / "away")
        (tmp_path / "data" / "blobs").touch()
        [worker] = server.workers()
        os.kill(worker, signal.SIGKILL)
        server.wait_until(lambda: "the start waits" in server.errors())
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 10
        assert away.exists()
        assert "Traceback" not in server.errors()
        assert json.loads(server.errors().splitlines()[-1])["level"] == "warning"


IT_IS_BORN_SLOWLY = "os.register_at_fork(after_in_child=lambda: time.sleep(1))"
SLOWLY_BORN = [
    *(sys.executable, "-c"),
    f"import os, time; {IT_IS_BORN_SLOWLY}; from entrypoints.cli.main import main; main()",
]
SLOW_TO_SEE_AN_END = """
import os, time
from entrypoints.cli.main import main

def waitpid(*of, wait=os.waitpid):
    found = wait(*of)
    if found[0]:
        time.sleep(1)
    return found

os.waitpid = waitpid
main()
"""


def test_a_worker_that_has_ended_is_not_taken_for_one_that_hangs(tmp_path: Path) -> None:
    """Of two threads that wait for it, the second takes it for alive until the first has noted its end."""
    with Server(tmp_path, command=[sys.executable, "-c", SLOW_TO_SEE_AN_END, "serve"]) as server:
        assert server.stop() == 0
        assert "did not stop in time" not in server.errors()


@pytest.mark.parametrize("moment", ["is born", "is there", "listens"])
def test_a_worker_is_stopped_however_young_it_is(tmp_path: Path, moment: str) -> None:
    server = Server(tmp_path)
    command = SLOWLY_BORN if moment == "is born" else [DRIVEBAY]
    environment = {"PATH": os.environ["PATH"], "AUTH_BEARER_TOKEN": TOKEN, "PORT": str(server.port)}
    with subprocess.Popen([*command, "serve"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        server.process = process
        deadline = time.monotonic() + PATIENCE
        while not (server.listeners() if moment == "listens" else server.workers()):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.terminate()
        errors = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0
    assert b"did not stop in time" not in errors
