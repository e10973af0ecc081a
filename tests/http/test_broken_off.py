"""Clients that go away in the middle: while they send, and while they read."""

import secrets
import socket
import struct
from collections.abc import Callable

import httpx
import pytest

from tests.contracts.blob_store import MIB, pattern
from tests.http.server import Server
from tests.http.wire import AUTH, JSON, get, request

OLD = pattern(100_000)
PART = pattern(3 * MIB)
LONG = "Content-Length: 9000000\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"


def end(connection: socket.socket) -> None:
    """As one who has sent all, and still listens."""
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(MIB):
        pass


def reset(connection: socket.socket) -> None:
    """As one whose program was killed with answers unread."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(connection: socket.socket) -> None:
    pass


@pytest.fixture
def path(client: httpx.Client) -> str:
    path = f"/v1/blobs/broken%20off%20{secrets.token_hex(8)}"
    client.put(path, content=OLD)
    return path


each_way = pytest.mark.parametrize("leave", [end, close, reset])


@each_way
@pytest.mark.parametrize(
    ("framing", "sent"),
    [
        (LONG, b""),
        (LONG, PART),
        (CHUNKED, b"%x\r\n" % len(PART) + PART[:-1]),
        (CHUNKED, b"%x\r\n" % len(PART) + PART + b"\r\n"),
        (CHUNKED, b"%x\r\n" % len(PART) + PART + b"\r\n0\r\n"),
    ],
)
def test_a_replacement_that_breaks_off_changes_nothing(
    server: Server, client: httpx.Client, path: str, leave: Callable[[socket.socket], None], framing: str, sent: bytes
) -> None:
    request_id = secrets.token_hex(8)
    with server.connect() as connection:
        connection.sendall(request(f"PUT {path}", f"{AUTH}X-Request-ID: {request_id}\r\n{framing}", sent))
        leave(connection)
    assert server.logged(request_id)["status"] == 400
    assert client.get(f"{path}?alt=media").content == OLD


@each_way
def test_a_new_one_that_breaks_off_is_not_there(
    server: Server, client: httpx.Client, leave: Callable[[socket.socket], None]
) -> None:
    name, request_id = secrets.token_hex(8), secrets.token_hex(8)
    with server.connect() as connection:
        start = f'{{"id":"{name}","data":"'.encode() + b"AAAA" * 500_000
        connection.sendall(request("POST /v1/blobs", f"{AUTH}{JSON}X-Request-ID: {request_id}\r\n{LONG}", start))
        leave(connection)
    assert server.logged(request_id)["status"] == 400
    assert client.get(f"/v1/blobs/{name}").status_code == 404
    assert client.get("/v1/blobs", params={"prefix": name}).json()["blobs"] == []


@pytest.mark.parametrize("leave", [close, reset])
@pytest.mark.parametrize("target", ["?alt=media", ""])
def test_an_answer_that_is_not_read_is_no_fault(
    server: Server, client: httpx.Client, path: str, leave: Callable[[socket.socket], None], target: str
) -> None:
    large = pattern(20 * MIB)
    client.put(path, content=large)
    request_ids = [secrets.token_hex(8) for _ in range(4)]
    for request_id in request_ids:
        with server.connect() as connection:
            asking = get(path + target).replace(b"\r\n", f"\r\nX-Request-ID: {request_id}\r\n".encode(), 1)
            connection.sendall(asking)
            assert connection.recv(12) == b"HTTP/1.1 200"
            leave(connection)
    for request_id in request_ids:
        assert server.logged(request_id)["status"] == 200
    assert client.get(f"{path}?alt=media").content == large
