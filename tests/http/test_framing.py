"""How long a body is (RFC 9112, sections 6 and 7), and which version of HTTP it comes by."""

import itertools
from collections.abc import Iterator

import pytest

from tests.http.server import Server
from tests.http.wire import AUTH, Answer, answer, ask_once, get, put, request

NUMBERS = itertools.count()
CHUNKED = "Transfer-Encoding: chunked\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.fixture
def path(server: Server) -> Iterator[str]:
    """Of a blob, which is there at the end as it was, or whole."""
    path = f"/v1/blobs/framed%20{next(NUMBERS)}"
    assert asked(server, put(path, b"as it was")).status == 201
    yield path
    assert content(server, path) in (b"as it was", b"hello")


def asked(server: Server, message: bytes) -> Answer:
    with server.connect() as connection:
        return ask_once(connection, message)


def content(server: Server, path: str) -> bytes:
    return asked(server, get(f"{path}?alt=media")).body


def stored(server: Server, path: str, headers: str, body: bytes, version: bytes = b"HTTP/1.1") -> Answer:
    return asked(server, request(f"PUT {path}", AUTH + headers, body).replace(b"HTTP/1.1", version, 1))


@pytest.mark.parametrize(
    "headers",
    ["Content-Length: 5\r\n", "Content-Length: 005\r\n", "Content-Length:5 \r\n", "Content-Length: 5\r\n" * 2],
)
def test_a_length(server: Server, path: str, headers: str) -> None:
    assert stored(server, path, headers, b"hello").status == 200
    assert content(server, path) == b"hello"


@pytest.mark.parametrize(
    "headers",
    [
        *(f"Content-Length: {length}\r\n" for length in ("-5", "+5", "5,5", "5, 5", "0x5", "5;", "5e0", "", "five")),
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length : 5\r\n",
        "Content-Length: 99999999999999999999\r\n",
    ],
)
def test_no_length(server: Server, path: str, headers: str) -> None:
    refusal = stored(server, path, headers, b"hello")
    assert (refusal.status, refusal.headers["connection"]) == (400, "close")
    assert content(server, path) == b"as it was"


@pytest.mark.parametrize(
    "body",
    [
        HELLO,
        b"1\r\nh\r\n3\r\nell\r\n1\r\no\r\n0\r\n\r\n",
        b"0000005\r\nhello\r\n0000\r\n\r\n",
        b'5;name=value;other="quoted"\r\nhello\r\n0;last\r\n\r\n',
        b"5\r\nhello\r\n0\r\nX-Trailer: a\r\nContent-Length: 9\r\nAuthorization: Bearer wrong\r\n\r\n",
    ],
)
def test_chunks(server: Server, path: str, body: bytes) -> None:
    assert stored(server, path, CHUNKED, body).status == 200
    assert content(server, path) == b"hello"


@pytest.mark.parametrize(
    ("size", "digits"), [(10, b"a"), (10, b"A"), (255, b"fF"), (4096, b"1000"), (70_000, b"11170")]
)
def test_a_size_in_any_spelling(server: Server, size: int, digits: bytes) -> None:
    path = f"/v1/blobs/framed%20{next(NUMBERS)}"
    body = digits + b"\r\n" + b"x" * size + b"\r\n0\r\n\r\n"
    assert stored(server, path, CHUNKED, body).status == 201
    assert content(server, path) == b"x" * size


@pytest.mark.parametrize(
    "body",
    [
        *(size + b"\r\nhello\r\n0\r\n\r\n" for size in (b"g", b"-5", b"+5", b"0x5", b" 5", b"", b"4", b"F" * 17)),
        *(b"5\nhello\n0\n\n", b"5\rhello\r0\r\r", b"5\r\nhello0\r\n\r\n", b"5\r\nhellox\r\n0\r\n\r\n"),
        *(b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n", b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n"),
    ],
)
def test_no_chunks(server: Server, path: str, body: bytes) -> None:
    refusal = stored(server, path, CHUNKED, body)
    assert (refusal.status, refusal.headers["connection"]) == (400, "close")
    assert content(server, path) == b"as it was"


@pytest.mark.parametrize("headers", [f"Content-Length: 50\r\n{CHUNKED}", f"{CHUNKED}Content-Length: 3\r\n"])
def test_chunks_go_before_a_length_and_nothing_after_them(server: Server, path: str, headers: str) -> None:
    """They are what requests are smuggled by, past a proxy that goes by the other one."""
    with server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(request(f"PUT {path}", AUTH + headers, HELLO) + request(f"DELETE {path}"))
        assert answer(stream).status == 200
        assert stream.read() == b""
    assert content(server, path) == b"hello"


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "gzip\r\nTransfer-Encoding: chunked"])
def test_a_coding_that_would_be_left_in_the_blob(server: Server, path: str, coding: str) -> None:
    assert stored(server, path, f"Transfer-Encoding: {coding}\r\n", HELLO).code == "not_implemented"
    assert content(server, path) == b"as it was"


@pytest.mark.parametrize("coding", ["gzip", "identity", "chunked, gzip", "xchunked", "\x0bchunked", "chunked;a=b"])
def test_a_coding_that_does_not_tell_the_end(server: Server, path: str, coding: str) -> None:
    assert stored(server, path, f"Transfer-Encoding: {coding}\r\n", HELLO).status == 400
    assert content(server, path) == b"as it was"


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_no_length_is_not_taken_for_an_empty_blob(server: Server, path: str, version: bytes) -> None:
    assert stored(server, path, "", b"hello", version).code == "length_required"
    assert content(server, path) == b"as it was"


def test_what_exceeds_the_length_is_no_part_of_the_blob(server: Server, path: str) -> None:
    with server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(put(path, b"hello") + b" and more")
        assert answer(stream).status == 200
        connection.sendall(b"\r\n\r\n")
        assert stream.read().startswith(b"HTTP/1.1 400 ")
    assert content(server, path) == b"hello"


class TestHttp10:
    def test_a_body_with_a_length(self, server: Server, path: str) -> None:
        with server.connect() as connection, connection.makefile("rb") as stream:
            connection.sendall(put(path, b"hello").replace(b"HTTP/1.1", b"HTTP/1.0"))
            assert answer(stream).status == 200
            assert stream.read() == b""  # a connection is for one request
        assert content(server, path) == b"hello"

    def test_no_chunks(self, server: Server, path: str) -> None:
        assert stored(server, path, CHUNKED, HELLO, b"HTTP/1.0").status == 400

    def test_it_is_not_told_to_go_on(self, server: Server, path: str) -> None:
        headers = "Expect: 100-continue\r\nContent-Length: 5\r\n"
        assert stored(server, path, headers, b"hello", b"HTTP/1.0").status == 200

    def test_a_connection_that_is_kept(self, server: Server, path: str) -> None:
        message = request(f"GET {path}?alt=media", f"{AUTH}Connection: keep-alive\r\n")
        with server.connect() as connection:
            for _ in range(3):
                told = ask_once(connection, message.replace(b"HTTP/1.1", b"HTTP/1.0"))
                assert (told.status, told.headers["connection"], told.body) == (200, "keep-alive", b"as it was")


def test_requests_that_do_not_wait_for_answers(server: Server, path: str) -> None:
    asking = [
        get(f"{path}?alt=media"),
        request(f"HEAD {path}?alt=media"),
        put(path, b"hello"),
        request(f"GET {path}?alt=media", f"{AUTH}Content-Length: 3\r\n", b"GET"),
        request(f"PUT {path}", AUTH + CHUNKED, HELLO),
        get("/v1/blobs/nobody"),
        request(f"GET {path}?alt=media", f"{AUTH}Range: bytes=1-2\r\n"),
    ]
    with server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"".join(asking[:4]))
        told = [answer(stream, message.split()[0].decode()) for message in asking[:4]]
        assert [each.status for each in told] == [200, 200, 200, 200]
        assert [told[index].body for index in (0, 1, 3)] == [b"as it was", b"", b"hello"]
    with server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"".join(asking[4:]))
        told = [answer(stream) for _ in asking[4:]]
        assert [each.status for each in told] == [200, 404, 206]
        assert told[2].body == b"el"
