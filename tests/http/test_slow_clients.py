"""Clients that are slower than they may be, on real sockets. Time is what this is about."""

import itertools
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from entrypoints.http.operations.docs import MAX_REQUESTS
from tests.contracts.blob_store import MIB, pattern
from tests.http.server import PATIENCE, Server
from tests.http.wire import AUTH, JSON, get, request

ROOT = Path(__file__).parents[2]
LENGTH = "Content-Length: 100000\r\n"
PUT = request("PUT /v1/blobs/slow", AUTH + LENGTH)
POST = request("POST /v1/blobs", AUTH + JSON + LENGTH)
TOO_SLOW = "a client took its answer too slowly"


def connect_with_little_room(server: Server, room: int = 4096) -> socket.socket:
    """A connection whose client takes little more than `room` bytes ahead of reading."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", server.port))
    return connection


def rest(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def test_a_body_that_stands_still_is_given_up(tmp_path: Path) -> None:
    with Server(tmp_path, CLIENT_TIMEOUT="0.5") as server:
        for head in (PUT, POST):
            with server.connect() as connection:
                connection.sendall(head + b'{"id"')
                answer = rest(connection)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b'"code":"request_timeout"' in answer
        server.wait_until_left(0)
        assert {line["level"] for line in server.log()} == {"info"}


def test_no_connection_waits_for_the_garbage_collection(tmp_path: Path) -> None:
    """The HTTP server closes one when nothing refers to the request any more, and errors refer to what they passed."""
    command = [sys.executable, "-m", "tests.http.uncollected", "serve"]
    with ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path, command, CLIENT_TIMEOUT="0.5", PYTHONPATH=str(ROOT)))
        connections = [stack.enter_context(server.connect()) for _ in range(8)]
        for connection, head in zip(connections, itertools.cycle((PUT, POST))):
            connection.sendall(head + b'{"id"')
        assert all(rest(connection).startswith(b"HTTP/1.1 408 ") for connection in connections)


def test_a_body_that_trickles_is_given_up(tmp_path: Path) -> None:
    with Server(tmp_path, CLIENT_TIMEOUT="1", CLIENT_MIN_RATE="1000") as server, server.connect() as connection:
        connection.sendall(PUT)
        connection.settimeout(0.05)
        for _ in itertools.repeat(None, 300):  # 15 s: it is to end much earlier
            try:
                connection.sendall(b"x")
                assert connection.recv(12) == b"HTTP/1.1 408"
                break
            except TimeoutError:
                continue
        else:
            raise AssertionError("a byte now and then was enough")
        server.wait_until_left(0)


def test_a_body_of_the_same_pace_is_taken_where_it_may_be(tmp_path: Path) -> None:
    with Server(tmp_path, CLIENT_TIMEOUT="1", CLIENT_MIN_RATE="0") as server, server.connect() as connection:
        connection.sendall(PUT.replace(b"100000", b"15"))
        for _ in range(15):
            connection.sendall(b"x")
            time.sleep(0.1)
        assert connection.recv(12) == b"HTTP/1.1 201"


@pytest.mark.parametrize("head", [b"", PUT[:20], get("/health/live"), get("/health/live") + PUT[:20]])
def test_a_request_is_not_waited_for_without_end(tmp_path: Path, head: bytes) -> None:
    with Server(tmp_path, CLIENT_TIMEOUT="1") as server, server.connect() as connection:
        connection.sendall(head)
        answer = rest(connection)
        assert answer.startswith(b"HTTP/1.1 200 ") or not answer
        server.wait_until(lambda: server.connections() == 0)
        assert "error" not in {line["level"] for line in server.log()}


def test_a_head_that_trickles_is_given_up(tmp_path: Path) -> None:
    with Server(tmp_path, CLIENT_TIMEOUT="1") as server, server.connect() as connection:
        for byte in itertools.islice(itertools.cycle(b"GET /health/live HTTP/1.1\r\nX: "), 200):  # 20 s
            try:
                connection.sendall(bytes([byte]))
            except ConnectionError:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("a byte now and then was enough")
        assert server.connections() == 0


@pytest.mark.parametrize("size", [4 * MIB, 30 * MIB], ids=["all is given to the server", "more than the server takes"])
@pytest.mark.parametrize("form", ["?alt=media", ""])
def test_the_connection_of_who_does_not_read_is_closed(tmp_path: Path, size: int, form: str) -> None:
    with Server(tmp_path, CLIENT_TIMEOUT="1") as server:
        with server.client() as client:
            client.put("/v1/blobs/large", content=pattern(size))
        with connect_with_little_room(server) as connection:
            connection.sendall(get(f"/v1/blobs/large{form}"))
            assert connection.recv(12) == b"HTTP/1.1 200"
            server.wait_until(lambda: server.connections() == 0)
        assert "error" not in {line["level"] for line in server.log()}


def test_the_connection_of_who_reads_too_slowly_is_closed(tmp_path: Path) -> None:
    """Though it is read from all the time, and what the server has of the answer would last for minutes."""
    with Server(tmp_path, CLIENT_TIMEOUT="1", CLIENT_MIN_RATE="100000000") as server:
        with server.client() as client:
            client.put("/v1/blobs/large", content=pattern(30 * MIB))
        with connect_with_little_room(server, 64 * 1024) as connection:
            connection.sendall(get("/v1/blobs/large?alt=media"))
            for _ in range(200):  # 20 s
                connection.recv(20_000)
                if server.connections() == 0:
                    break
                time.sleep(0.1)
            else:
                raise AssertionError("it is still open")
        assert TOO_SLOW in {line["event"] for line in server.log()}


def test_a_client_that_stops_reading_is_let_go(tmp_path: Path) -> None:
    with Server(tmp_path, CLIENT_TIMEOUT="0.5") as server, server.client() as client:
        client.put("/v1/blobs/large", content=pattern(30 * MIB))
        with server.connect() as connection:
            connection.sendall(get("/v1/blobs/large?alt=media"))
            assert connection.recv(12) == b"HTTP/1.1 200"
            server.wait_until(lambda: TOO_SLOW in {line["event"] for line in server.log()})
            server.wait_until_closed(tmp_path / "data" / "blobs")
            assert len(rest(connection)) < 30 * MIB
        assert "error" not in {line["level"] for line in server.log()}


@pytest.mark.parametrize("storage", ["fs", "database"])
@pytest.mark.parametrize("form", ["?alt=media", ""], ids=["bytes", "json"])
def test_many_clients_that_do_not_read_large_blobs_take_little_memory(tmp_path: Path, storage: str, form: str) -> None:
    crowd, size = 32, 12 * MIB
    with Server(tmp_path, STORAGE=storage, CLIENT_TIMEOUT="300") as server, ExitStack() as stack:
        with server.client() as client:
            client.put("/v1/blobs/large", content=pattern(size))
            client.get(f"/v1/blobs/large{form}")
        [worker] = server.workers()
        before = resident(worker)
        readers = [stack.enter_context(connect_with_little_room(server)) for _ in range(crowd)]
        for reader in readers:
            reader.sendall(get(f"/v1/blobs/large{form}"))
        assert {reader.recv(12) for reader in readers} == {b"HTTP/1.1 200"}
        server.wait_until(lambda: is_constant(lambda: resident(worker)))
        assert resident(worker) - before < crowd * 4 * MIB


class TestTheFilesOfThePage:
    """Anybody may fetch them, without a token."""

    def test_clients_that_do_not_read_take_little_memory(self, tmp_path: Path) -> None:
        crowd, file = 150, get("/docs/files/swagger-ui-bundle.js")
        with Server(tmp_path, CLIENT_TIMEOUT="300") as server, ExitStack() as stack:
            [worker] = server.workers()
            with server.client() as client:
                size = len(client.get("/docs/files/swagger-ui-bundle.js").content)
            before = resident(worker)
            readers = [stack.enter_context(connect_with_little_room(server)) for _ in range(crowd)]
            for reader in readers:
                reader.sendall(file)
            statuses = Counter(reader.recv(12) for reader in readers)
            assert statuses == {b"HTTP/1.1 200": MAX_REQUESTS, b"HTTP/1.1 503": crowd - MAX_REQUESTS}
            assert resident(worker) - before < crowd * size / 8
            with server.client() as client:
                assert client.get("/v1/blobs").status_code == 200

    def test_their_connections_are_closed(self, tmp_path: Path) -> None:
        with Server(tmp_path, CLIENT_TIMEOUT="1") as server, connect_with_little_room(server) as reader:
            reader.sendall(get("/docs/files/swagger-ui-bundle.js"))
            server.wait_until(lambda: TOO_SLOW in {line["event"] for line in server.log()})
            server.wait_until(lambda: server.connections() == 0)
            with server.client() as client:
                assert client.get("/docs/files/swagger-ui-bundle.js").status_code == 200

    def test_a_server_that_comes_late_says_so_too(self, tmp_path: Path) -> None:
        with Server(tmp_path, CLIENT_TIMEOUT="1") as server, connect_with_little_room(server) as reader:
            [worker] = server.workers()
            reader.sendall(get("/docs/files/swagger-ui-bundle.js"))
            assert reader.recv(12) == b"HTTP/1.1 200"
            os.kill(worker, signal.SIGSTOP)
            time.sleep(0.5)
            os.kill(worker, signal.SIGCONT)
            server.wait_until(lambda: TOO_SLOW in {line["event"] for line in server.log()})


def resident(worker: int) -> int:
    """Bytes of a process's memory."""
    [line] = [line for line in Path(f"/proc/{worker}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def is_constant(value: Callable[[], int]) -> bool:
    """Whether a value does not change for half a second."""
    before = value()
    time.sleep(0.5)
    return value() == before
