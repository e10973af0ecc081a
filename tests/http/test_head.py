"""HEAD beside GET, in every state: the same status and headers, and no body."""

from collections.abc import Iterator

import httpx
import pytest

from tests.http.dates import strong_date
from tests.http.server import Server
from tests.http.wire import AUTH, Answer, answer, ask_once, put, request

BLOB = "/v1/blobs/head"
RAW = f"{BLOB}?alt=media"
OLD = "Sat, 29 Oct 1994 19:43:31 GMT"
CONDITIONS = {"If-None-Match: *": 304, 'If-Match: "x"': 412, "If-Match: *": 200}
VARYING = {"date", "x-request-id"}


@pytest.fixture(scope="module")
def stored(server: Server, client: httpx.Client) -> Iterator[Answer]:
    with server.connect() as connection:
        result = ask_once(connection, put(BLOB, b"hello", "Content-Type: text/plain\r\n"))
        strong_date(client, BLOB)
        yield result
        ask_once(connection, request(f"DELETE {BLOB}"))


def both(server: Server, target: str, headers: str) -> tuple[Answer, Answer]:
    """How GET and HEAD are answered, on one connection, which shows that nothing stands between the answers."""
    answers = []
    with server.connect() as connection, connection.makefile("rb") as stream:
        for method in ("HEAD", "GET", "HEAD"):
            connection.sendall(request(f"{method} {target}", headers))
            answers.append(answer(stream, method))
        connection.sendall(request("GET /nowhere", "Connection: close\r\n"))
        assert answer(stream).status == 404
        assert stream.read() == b""
    return answers[1], answers[2]


def lasting(result: Answer) -> dict[str, str]:
    return {name: value for name, value in result.headers.items() if name not in VARYING}


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        *((BLOB, AUTH, 200), (RAW, AUTH, 200), (RAW, f"{AUTH}Accept: image/png\r\n", 200)),
        *((f"{BLOB}s", AUTH, 404), (f"{BLOB}s?alt=media", AUTH, 404), ("/nowhere", AUTH, 404), ("/v1", AUTH, 404)),
        *((f"{BLOB}%00", AUTH, 400), (f"{BLOB}?alt=xml", AUTH, 400), (RAW, f"{AUTH}If-Match: none\r\n", 400)),
        *((BLOB, "", 401), (RAW, "", 401), (f"{BLOB}s", "", 401), ("/v1/blobs", "", 401)),
        *((BLOB, f"{AUTH}If-None-Match: *\r\n", 304), (RAW, f"{AUTH}If-None-Match: *\r\n", 304)),
        *((BLOB, f'{AUTH}If-Match: "x"\r\n', 412), (RAW, f"{AUTH}If-Unmodified-Since: {OLD}\r\n", 412)),
        *((BLOB, f"{AUTH}Range: bytes=0-1\r\n", 200), (RAW, f"{AUTH}Range: bytes=0-1,3-4\r\n", 200)),
        *(("/v1/blobs?prefix=head", AUTH, 200), ("/v1/blobs?limit=0", AUTH, 400)),
        *(("/v1/blobs?prefix=head", f"{AUTH}{condition}\r\n", status) for condition, status in CONDITIONS.items()),
        *(("/health/live", "", 200), ("/health/ready", "", 200), ("/docs", "", 200), ("/docs/files/docs.js", "", 200)),
    ],
)
def test_it_is_answered_as_get_is(server: Server, stored: Answer, target: str, headers: str, status: int) -> None:
    got, known = both(server, target, headers)
    assert (got.status, known.status) == (status, status)
    assert lasting(known) == lasting(got)
    assert known.body == b""


@pytest.mark.parametrize("asked", ["0-1", "-1", "5-", "9-"])
def test_a_range_is_for_get_alone(server: Server, stored: Answer, asked: str) -> None:
    """RFC 9110, section 14.2."""
    got, known = both(server, RAW, f"{AUTH}Range: bytes={asked}\r\n")
    assert got.status in (206, 416)
    assert (known.status, known.headers["content-length"], known.headers["etag"]) == (200, "5", stored.headers["etag"])


def test_it_is_logged_as_what_it_is(server: Server) -> None:
    for target, route in (("/health/live", "/health/live"), ("/v1/blobs", "/v1/blobs"), (BLOB, "/v1/blobs/{id}")):
        with server.connect() as connection:
            request_id = ask_once(connection, request(f"HEAD {target}")).headers["x-request-id"]
        line = server.logged(request_id)
        assert (line["method"], line["route"]) == ("HEAD", route)
