"""Clients that are slower than they may be, on real sockets. Time is what this is about."""

import itertools
import socket
import time
from pathlib import Path

from tests.contracts.blob_store import MIB, pattern
from tests.http.server import Server
from tests.http.wire import AUTH, JSON, get, request

LENGTH = "Content-Length: 100000\r\n"
PUT = request("PUT /v1/blobs/slow", AUTH + LENGTH)
POST = request("POST /v1/blobs", AUTH + JSON + LENGTH)
TOLD = "a client took its answer too slowly"


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


def test_a_client_that_stops_reading_is_let_go(tmp_path: Path) -> None:
    with Server(tmp_path, CLIENT_TIMEOUT="0.5") as server, server.client() as client:
        client.put("/v1/blobs/large", content=pattern(30 * MIB))
        with server.connect() as connection:
            connection.sendall(get("/v1/blobs/large?alt=media"))
            assert connection.recv(12) == b"HTTP/1.1 200"
            server.wait_until(
                lambda: any(line["event"] == "a client took its answer too slowly" for line in server.log())
            )
            server.wait_until_closed(tmp_path / "data" / "blobs")
            assert len(rest(connection)) < 30 * MIB
        assert "error" not in {line["level"] for line in server.log()}
