"""Refusals before the body was read: the response comes at once, and the rest of the body is discarded, in bounds."""

import itertools
import json
import secrets
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from entrypoints.http.middleware.base.lingering_close import LingerLimits
from tests.contracts.blob_store import MIB
from tests.http.server import Server
from tests.http.wire import AUTH, JSON, Answer, answer, request

GIB = 1024 * MIB
LONG = f"Content-Length: {GIB}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
PUT = "PUT /v1/blobs/refused"
REFUSED = {
    "no token": (401, PUT, LONG),
    "no token, in chunks": (401, PUT, CHUNKED),
    "no token, and JSON": (401, "POST /v1/blobs", JSON + LONG),
    "a wrong token": (401, PUT, f"{LONG}Authorization: Bearer wrong\r\n"),
    "no length": (411, PUT, AUTH),
    "no length, and JSON": (411, "POST /v1/blobs", AUTH + JSON),
    "too large": (413, PUT, f"{AUTH}Content-Length: {6 * GIB}\r\n"),
    "too large, and JSON": (413, "POST /v1/blobs", f"{AUTH}{JSON}Content-Length: {60 * GIB}\r\n"),
    "no JSON": (415, "POST /v1/blobs", AUTH + LONG),
    "no JSON, in chunks": (415, "POST /v1/blobs", AUTH + CHUNKED),
    "another coding": (501, PUT, f"{AUTH}Transfer-Encoding: gzip, chunked\r\n"),
    "another coding, and JSON": (501, "POST /v1/blobs", f"{AUTH}{JSON}Transfer-Encoding: gzip, chunked\r\n"),
    "no id": (400, "PUT /v1/blobs/%00", AUTH + LONG),
    "no media type": (400, PUT, f"{AUTH}{LONG}Content-Type: film\r\n"),
    "a part": (400, PUT, f"{AUTH}{LONG}Content-Range: bytes 5-9/10\r\n"),
    "another version": (412, PUT, f"{AUTH}{LONG}If-Match: *\r\n"),
    "no route": (404, "PUT /nowhere", AUTH + LONG),
    "no method": (405, "PUT /v1/blobs", AUTH + LONG),
    "no method, and no token asked for": (405, "POST /health/live", LONG),
}
each = pytest.mark.parametrize(("status", "line", "headers"), REFUSED.values(), ids=REFUSED)


def all_of(server: Server, message: bytes) -> Answer:
    """The response, which must be the only one. The connection must end after it."""
    with server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(message)
        refusal = answer(stream)
        connection.shutdown(socket.SHUT_WR)
        assert stream.read() == b""
    return refusal


@each
def test_the_answer_does_not_wait_for_the_body(server: Server, status: int, line: str, headers: str) -> None:
    refusal = all_of(server, request(line, headers))
    assert (refusal.status, refusal.headers["connection"]) == (status, "close")
    assert refusal.headers["content-type"] == "application/problem+json"


@each
def test_nobody_may_go_on(server: Server, status: int, line: str, headers: str) -> None:
    assert all_of(server, request(line, f"{headers}Expect: 100-continue\r\n")).status == status


@pytest.mark.parametrize(("line", "status"), [("POST /v1/blobs", 411), (PUT, 411)])
def test_what_no_length_announces_is_no_request(server: Server, line: str, status: int) -> None:
    """It may be what HTTP/1.0 once took for a body, and must not be taken for the next request."""
    for version in ("HTTP/1.1", "HTTP/1.0"):
        message = request(line, AUTH + JSON, request("DELETE /v1/blobs/refused")).replace(
            b"HTTP/1.1", version.encode(), 1
        )
        assert all_of(server, message).status == status


@pytest.mark.parametrize("name", ["no token", "too large", "no JSON", "no media type", "another version"])
def test_a_long_body_is_not_read_to_completion(server: Server, name: str) -> None:
    status, line, headers = REFUSED[name]
    request_id = secrets.token_hex(8)
    with server.connect() as connection:
        connection.sendall(request(line, f"{headers}X-Request-ID: {request_id}\r\n"))
        sent = 0
        with pytest.raises(ConnectionError):  # noqa: PT012 - it comes when it comes
            for _ in itertools.repeat(None, 1024):
                connection.sendall(b"x" * MIB)
                sent += MIB
    # The buffers between both ends hold less than 64 MiB on any machine.
    assert sent < LingerLimits().size + 64 * MIB
    logged = server.logged(request_id)
    assert (logged["status"], logged["bytes_in"]) == (status, 0)


UPLOAD = 32 * MIB
JSON_UPLOAD = b'{"id":"in use","data":"' + b"A" * (UPLOAD - 25) + b'"}'
SENT_ENTIRELY = {
    "no token": (401, request(PUT, f"Content-Length: {UPLOAD}\r\n", b"x" * UPLOAD)),
    "no token, in chunks": (401, request(PUT, CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (UPLOAD, b"x" * UPLOAD))),
    "an id in use": (
        409,
        request("POST /v1/blobs", f"{AUTH}{JSON}Content-Length: {len(JSON_UPLOAD)}\r\n", JSON_UPLOAD),
    ),
    "another version": (412, request(PUT, f"{AUTH}If-Match: *\r\nContent-Length: {UPLOAD}\r\n", b"x" * UPLOAD)),
}


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("refusing")) as server, server.client() as client:
        client.post("/v1/blobs", json={"id": "in use", "data": ""})
        yield server


class TestClientsThatSendEverythingBeforeTheyRead:
    @pytest.mark.parametrize(("status", "message"), SENT_ENTIRELY.values(), ids=SENT_ENTIRELY)
    def test_each_receives_the_whole_refusal(self, refusing: Server, status: int, message: bytes) -> None:
        with ThreadPoolExecutor(5) as clients:
            seen = Counter(clients.map(lambda _: self.outcome(refusing, message), range(10)))
        assert seen == {str(status): 10}

    @staticmethod
    def outcome(server: Server, message: bytes) -> str:
        """The status in the body of the response, which was received to its last byte; or the error."""
        try:
            with server.connect() as connection, connection.makefile("rb") as stream:
                connection.sendall(message)
                body = answer(stream).body
                assert stream.read() == b""
                return str(json.loads(body)["status"])
        except (OSError, ValueError) as error:
            return repr(error)


class TestTheLimitsOfDiscarding:
    def test_a_client_that_stalls(self, tmp_path: Path) -> None:
        with Server(tmp_path, CLIENT_TIMEOUT="0.5") as server, server.connect() as connection:
            connection.sendall(request(PUT, LONG, b"x" * MIB))
            with connection.makefile("rb") as stream:
                assert answer(stream).status == 401
                server.wait_until(lambda: server.connections() == 0)
            assert "error" not in {line["level"] for line in server.log()}

    def test_a_client_that_sends_without_end(self, tmp_path: Path) -> None:
        with Server(tmp_path, CLIENT_TIMEOUT="1") as server, server.connect() as connection:
            connection.sendall(request(PUT, LONG))
            connection.settimeout(0.05)
            for _ in itertools.repeat(None, 400):  # 20 s: it must end much earlier
                try:
                    connection.sendall(b"x")
                    if not connection.recv(65_536):
                        break
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
            else:
                raise AssertionError("a byte now and then was enough")
            server.wait_until(lambda: server.connections() == 0)

    def test_many_clients_that_stall_hold_no_request_slot_and_half_of_the_connections(self, tmp_path: Path) -> None:
        with Server(tmp_path, MAX_REQUESTS="1", MAX_CONNECTIONS="6") as server:
            stalled = [server.connect() for _ in range(3)]
            for connection in stalled:
                connection.sendall(request(PUT, LONG))
                with connection.makefile("rb") as stream:
                    assert answer(stream).status == 401
            with server.client() as client:
                assert client.put("/v1/blobs/other", content=b"x").status_code == 201
            with server.connect() as connection, connection.makefile("rb") as stream:
                connection.sendall(request(PUT, LONG))
                assert answer(stream).status == 401
                assert stream.read() == b""  # closed, though it stalls too
            for connection in stalled:
                connection.close()


def test_a_body_that_was_read_leaves_the_connection_open(server: Server) -> None:
    bodies = [b"{}", b'{"id":"","data":""}', b'{"id":"a","data":"?"}']
    with server.connect() as connection, connection.makefile("rb") as stream:
        for body in bodies:
            connection.sendall(request("POST /v1/blobs", f"{AUTH}{JSON}Content-Length: {len(body)}\r\n", body))
            refusal = answer(stream)
            assert (refusal.status, "connection" in refusal.headers) == (400, False)
        for line in ("GET /v1/blobs/nobody", "DELETE /v1/blobs/nobody", "GET /nowhere"):
            connection.sendall(request(line))
            assert "connection" not in answer(stream).headers


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("limited"), MAX_BLOB_BYTES="1000") as server:
        yield server


def test_the_byte_that_is_one_too_many_ends_the_body(limited: Server) -> None:
    whole = limited_put(b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n")
    with limited.connect() as connection:
        connection.sendall(whole)
        assert connection.recv(12) == b"HTTP/1.1 201"
    refusal = all_of(limited, limited_put(b"3e9\r\n" + b"x" * 1001 + b"\r\n"))
    assert (refusal.status, refusal.code, refusal.headers["connection"]) == (413, "too_large", "close")
    with limited.client() as client:
        assert client.get("/v1/blobs/limited?alt=media").content == b"x" * 1000


def limited_put(chunks: bytes) -> bytes:
    return request("PUT /v1/blobs/limited", AUTH + CHUNKED, chunks)
