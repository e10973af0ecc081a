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

    def test_it_may_not_go_on(self, server: Server, path: str) -> None:
        headers = "Expect: 100-continue\r\nContent-Length: 5\r\n"
        assert stored(server, path, headers, b"hello", b"HTTP/1.0").status == 200

    def test_a_connection_that_is_kept(self, server: Server, path: str) -> None:
        message = request(f"GET {path}?alt=media", f"{AUTH}Connection: keep-alive\r\n")
        with server.connect() as connection:
            for _ in range(3):
                result = ask_once(connection, message.replace(b"HTTP/1.1", b"HTTP/1.0"))
                assert (result.status, result.headers["connection"], result.body) == (200, "keep-alive", b"as it was")


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
        result = [answer(stream, message.split()[0].decode()) for message in asking[:4]]
        assert [each.status for each in result] == [200, 200, 200, 200]
        assert [result[index].body for index in (0, 1, 3)] == [b"as it was", b"", b"hello"]
    with server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"".join(asking[4:]))
        result = [answer(stream) for _ in asking[4:]]
        assert [each.status for each in result] == [200, 404, 206]
        assert result[2].body == b"el"


class TestHosts:
    """A proxy and the server could take different ones of two hosts, or of two lines, for the host of a request."""

    @staticmethod
    def asked(server: Server, head: str) -> Answer:
        with server.connect() as connection:
            return ask_once(connection, f"{head}\r\n".encode("latin-1"))

    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    @pytest.mark.parametrize(
        "hosts",
        [
            *("Host: test\r\nHost: test\r\n", "Host: test\r\nX: x\r\nhost: other\r\n", "Host: test\r\nHost:\r\n"),
            *(
                "Host: a b\r\n",
                "Host: a, b\r\n",
                "Host: a/b\r\n",
                "Host: user@a\r\n",
                "Host: a\tb\r\n",
                "Host: \xe9\r\n",
            ),
            *('Host: "a"\r\n', "Host: a\\b\r\n", "Host: a?b\r\n", "Host: a#b\r\n", "Host: <a>\r\n"),
        ],
    )
    @pytest.mark.parametrize("target", ["/health/live", "/v1/blobs/a", "/nowhere"])
    def test_an_ambiguous_or_invalid_host_is_refused(
        self, server: Server, target: str, hosts: str, version: str
    ) -> None:
        refusal = self.asked(server, f"GET {target} HTTP/{version}\r\n{hosts}{AUTH}")
        assert (refusal.status, refusal.code) == (400, "invalid_header")
        assert refusal.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("hosts", ["", "Host:\r\n", "Host: \t\r\n"])
    def test_http_1_1_needs_one(self, server: Server, hosts: str) -> None:
        refusal = self.asked(server, f"GET /health/live HTTP/1.1\r\n{hosts}")
        assert (refusal.status, refusal.code) == (400, "invalid_header")
        for known in (hosts, "Host: test\r\n"):
            assert self.asked(server, f"GET /health/live HTTP/1.0\r\n{known}").status == 200

    @pytest.mark.parametrize("host", ["test", "a.example:8000", "[::1]:8000", "127.0.0.1", "caf%C3%A9.example", "a_b"])
    def test_a_valid_one(self, server: Server, host: str) -> None:
        assert self.asked(server, f"GET /health/live HTTP/1.1\r\nHost: {host}\r\n").status == 200

    def test_the_body_of_a_refused_request_is_not_the_next_request(self, server: Server, path: str) -> None:
        with server.connect() as connection, connection.makefile("rb") as stream:
            body = request(f"DELETE {path}")
            head = f"PUT {path} HTTP/1.1\r\nHost: a\r\nHost: b\r\n{AUTH}Content-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            assert answer(stream).status == 400
            assert stream.read() == b""


class TestLineEnds:
    """A line of a head may end in LF only (RFC 9112, section 2.2 allows it).

    The HTTP server's parser has no setting against it, and the application sees no line ends. So what matters is that
    LF always ends a line, and is never part of a value or of a chunk's framing.
    """

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_lf_ends_a_line_of_a_head(self, server: Server, path: str, end: str) -> None:
        lines = [f"PUT {path} HTTP/1.1", "Host: test", AUTH.strip(), "X: a", "Content-Length: 5", "", ""]
        stored = asked(server, end.join(lines).encode() + b"hello")
        assert stored.status == 200
        assert content(server, path) == b"hello"

    @pytest.mark.parametrize("hidden", ["Host: other", "Transfer-Encoding: chunked", "Content-Length: 3"])
    def test_a_line_behind_lf_counts(self, server: Server, path: str, hidden: str) -> None:
        """As it would after CRLF: it can't be smuggled past a check."""
        headers = f"{AUTH}X: a\n{hidden}\r\nContent-Length: 5\r\n"
        found = asked(server, request(f"PUT {path}", headers, b"5\r\nhello\r\n0\r\n\r\n"))
        assert found.status == (200 if "chunked" in hidden else 400)

    @pytest.mark.parametrize("end", ["\r", "\r\r\n", "\r\n ", "\n "])
    def test_nothing_else_does(self, server: Server, path: str, end: str) -> None:
        headers = f"{AUTH}X: a{end}Y: b\r\nContent-Length: 5\r\n"
        assert asked(server, request(f"PUT {path}", headers, b"hello")).status == 400
