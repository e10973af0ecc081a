"""Bodies in the JSON form that are longer than what is read at once, on sockets written by hand."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.http.server import Server
from tests.http.test_protocol import ask, post
from tests.http.wire import AUTH, JSON


@pytest.fixture
def connection(server: Server) -> Iterator[socket.socket]:
    with server.connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("limited"), MAX_BLOB_BYTES="400000") as server:
        yield server


class TestWhatEndsEarly:
    """What is sent of most bodies is only their start, and they are refused, or given up, before more comes."""

    def test_an_id_in_use(self, connection: socket.socket, client: httpx.Client) -> None:
        client.post("/v1/blobs", json={"id": "in use", "data": ""})
        start = b'{"id":"in use","data":"AAAA'
        answer = ask(connection, post(f"{AUTH}{JSON}Content-Length: 9000000\r\n", start))
        assert (answer.status, answer.code) == (409, "already_exists")

    @pytest.mark.parametrize(
        ("start", "code"),
        [
            (b'{"id":1,' + b" " * 30_000, "invalid_body"),
            (b'{"id":"","data":"', "invalid_id"),
            (b'{"data":"AAAA' + b"A" * 1_000_000 + b"-AAAA", "invalid_base64"),
            (b'{"data":"AAAA","id":"a"}}' + b" " * 30_000, "invalid_json"),
        ],
    )
    def test_what_is_wrong_already(self, connection: socket.socket, start: bytes, code: str) -> None:
        answer = ask(connection, post(f"{AUTH}{JSON}Content-Length: 9000000\r\n", start))
        assert (answer.status, answer.code) == (400, code)

    @pytest.mark.parametrize(
        "body",
        [
            b'{"id":"whole","data":"' + b"AAAA" * 100_000 + b'"} x',
            b'{"data":"' + b"AAAA" * 100_000 + b'","id":"whole"',
            b'{"data":"' + b"AAAA" * 100_000 + b'","id":"whole\n"}',
            b'{"data":"' + b"AAAA" * 100_000 + b'"}',
            b'{"data":"' + b"AAAA" * 100_000 + b'QR==","id":"whole"}',
        ],
    )
    def test_nothing_is_stored_of_one_that_is_wrong_at_its_end(self, own_server: Server, body: bytes) -> None:
        for framing, sent in ((f"Content-Length: {len(body)}\r\n", body), ("Transfer-Encoding: chunked\r\n", b"")):
            with own_server.connect() as connection:
                chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
                assert ask(connection, post(f"{AUTH}{JSON}{framing}", sent or chunks)).status == 400
        own_server.wait_until_left(0)

    @pytest.mark.parametrize("start", [b'{"id":"long","data":"', b'{"data":"'])
    def test_a_long_one_that_breaks_off_leaves_nothing_either(self, own_server: Server, start: bytes) -> None:
        part = start + b"AAAA" * 500_000
        chunk = b"%x\r\n%b\r\n" % (len(part), part)
        for framing, sent in (("Content-Length: 9000000\r\n", part), ("Transfer-Encoding: chunked\r\n", chunk)):
            with own_server.connect() as connection:
                connection.sendall(post(f"{AUTH}{JSON}{framing}", sent))
                own_server.wait_until(lambda: own_server.left()["files"] == 1)  # what has come is being stored
        own_server.wait_until_left(0)
        own_server.wait_until(
            lambda: [line["status"] for line in own_server.log() if line.get("method") == "POST"] == [400, 400]
        )
        assert own_server.stop() == 0
        assert {line["level"] for line in own_server.log()} == {"info"}


class TestTheLimit:
    """Of 400,000 bytes, which is 533,336 characters of base64, more than is read at once."""

    DATA = b"AAAA" * 133_333 + b"AA=="

    def test_a_length_that_can_only_be_too_large_is_refused_at_once(self, limited: Server) -> None:
        length = len(self.DATA) * 6 + 24 * 1024 + 24
        with limited.connect() as connection:
            answer = ask(connection, post(f"{AUTH}{JSON}Content-Length: {length}\r\n"))
        assert (answer.status, answer.code) == (413, "too_large")
        assert "400,000 bytes" in answer.body["detail"]

    def test_what_fits_is_taken_whatever_its_length(self, limited: Server) -> None:
        escaped = b"".join(b"\\u%04x" % byte for byte in self.DATA)
        for name, data in ((b"plain", self.DATA), (b"escaped", escaped)):
            for body in (b'{"id":"%b","data":"%b"}' % (name, data), b'{"data":"%b","id":"%b behind"}' % (data, name)):
                body += b" " * 16_000
                with limited.connect() as connection:
                    answer = ask(connection, post(f"{AUTH}{JSON}Content-Length: {len(body)}\r\n", body))
                assert (answer.status, answer.body["size"]) == (201, 400_000)

    @pytest.mark.parametrize("start", [b'{"id":"over","data":"', b'{"data":"'])
    @pytest.mark.parametrize("framing", ["Content-Length: 533400", "Transfer-Encoding: chunked"])
    def test_the_byte_that_is_one_too_many_is_refused_when_it_comes(
        self, limited: Server, start: bytes, framing: str
    ) -> None:
        body = start + self.DATA[:-4] + b"AAA=" + b'"'
        if "chunked" in framing:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        with limited.connect() as connection:
            answer = ask(connection, post(f"{AUTH}{JSON}{framing}\r\n", body))
        assert (answer.status, answer.code) == (413, "too_large")
