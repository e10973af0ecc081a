"""Several conditions in one request (RFC 9110, section 13.2.2), and conditions in several lines."""

from collections.abc import Iterator

import httpx
import pytest

from tests.http.server import Server
from tests.http.wire import AUTH, Answer, ask_once, put, request

BLOB = "/v1/blobs/conditions"
RAW = f"{BLOB}?alt=media"
OLD, NEW = "Sat, 29 Oct 1994 19:43:31 GMT", "Fri, 29 Oct 2094 19:43:31 GMT"
RANGE = "Range: bytes=0-1\r\n"
OTHER = '"0123"'


@pytest.fixture
def tag(client: httpx.Client) -> Iterator[str]:
    yield client.put(BLOB, content=b"hello").headers["etag"]
    assert client.get(RAW).content == b"hello"


def asked(server: Server, message: bytes) -> Answer:
    with server.connect() as connection:
        return ask_once(connection, message)


def lines(tag: str, *conditions: str) -> str:
    return AUTH + "".join(f"{condition.replace('TAG', tag)}\r\n" for condition in conditions)


# Each step goes before those that follow it.
ORDER = [
    (412, f"If-Match: {OTHER}", f"If-Unmodified-Since: {NEW}", "If-None-Match: TAG", RANGE.strip()),
    (412, f"If-Unmodified-Since: {OLD}", "If-None-Match: TAG", f"If-Modified-Since: {NEW}"),
    (412, f"If-Unmodified-Since: {OLD}", "If-Match: W/TAG"),
    (304, "If-Match: TAG", f"If-Unmodified-Since: {OLD}", "If-None-Match: TAG"),
    (304, "If-Match: TAG", f"If-Unmodified-Since: {OLD}", f"If-Modified-Since: {NEW}"),
    (304, f"If-Unmodified-Since: {NEW}", "If-None-Match: TAG", f"If-Modified-Since: {OLD}"),
    (304, "If-None-Match: TAG", "Range: bytes=0-1", f"If-Range: {OTHER}"),
    (304, "If-None-Match: TAG", "Range: bytes=9-"),
    (304, f"If-Modified-Since: {NEW}", "Range: bytes=0-1"),
    (206, f"If-None-Match: {OTHER}", f"If-Modified-Since: {NEW}", "Range: bytes=0-1"),
    (206, "If-Match: TAG", f"If-None-Match: {OTHER}", "Range: bytes=0-1", "If-Range: TAG"),
    (200, "If-Match: *", f"If-Unmodified-Since: {OLD}", f"If-None-Match: {OTHER}", f"If-Modified-Since: {NEW}"),
    (200, "If-Match: TAG", "Range: bytes=0-1", f"If-Range: {OTHER}"),
    (200, "Range: bytes=9-", f"If-Range: {OTHER}"),
    (416, "If-Match: TAG", f"If-None-Match: {OTHER}", "Range: bytes=9-"),
]


@pytest.mark.parametrize(("status", "conditions"), [(status, conditions) for status, *conditions in ORDER])
def test_their_order(server: Server, tag: str, status: int, conditions: list[str]) -> None:
    got = asked(server, request(f"GET {RAW}", lines(tag, *conditions)))
    assert got.status == status
    known = asked(server, request(f"HEAD {RAW}", lines(tag, *conditions)))
    assert known.status == (200 if status in (206, 416) else status)
    if status == 304:
        assert got.headers["etag"] == known.headers["etag"] == tag
        assert got.headers.keys() == known.headers.keys()
        assert not {"content-length", "content-type", "content-range"} & got.headers.keys()


@pytest.mark.parametrize(
    ("status", "conditions"),
    [
        (304, (f"If-None-Match: {OTHER}", "If-None-Match: TAG")),
        (200, ("If-Match: TAG", f"If-Match: {OTHER}")),
        (200, (f"If-Match: {OTHER}", "If-Match: TAG")),
        (400, (f"If-None-Match: {OTHER}", "If-None-Match: *")),
        (400, (f"If-Match: {OTHER}", "If-Match: *")),
        # What may stand there once is not guessed at, but ignored.
        (200, ("Range: bytes=0-1", "Range: bytes=2-3")),
        (200, ("Range: bytes=0-1", "If-Range: TAG", f"If-Range: {OTHER}")),
        (200, (f"If-Modified-Since: {NEW}", f"If-Modified-Since: {NEW}")),
        (200, (f"If-Unmodified-Since: {OLD}", f"If-Unmodified-Since: {OLD}")),
    ],
)
def test_several_lines_are_one_list(server: Server, tag: str, status: int, conditions: tuple[str, ...]) -> None:
    assert asked(server, request(f"GET {RAW}", lines(tag, *conditions))).status == status


def test_a_change_heeds_every_line(server: Server, tag: str, client: httpx.Client) -> None:
    for status, *conditions in (
        (400, f"If-None-Match: {OTHER}", "If-None-Match: *"),
        (400, f"If-Match: {OTHER}", "If-Match: *"),
        (412, f"If-None-Match: {OTHER}", "If-None-Match: TAG"),
        (412, "If-Match: TAG", "If-None-Match: TAG"),
        (412, "If-Match: *", "If-None-Match: *"),
        (412, f"If-Match: {OTHER}", f'If-Match: "{OTHER[1:3]}"'),
    ):
        headers = "".join(f"{each.replace('TAG', tag)}\r\n" for each in conditions)
        assert asked(server, put(BLOB, b"lost", headers)).status == status
        assert asked(server, request(f"DELETE {BLOB}", AUTH + headers)).status == status
        assert client.get(RAW).content == b"hello"
    assert asked(server, put(BLOB, b"hello", f"If-Match: {OTHER}\r\nIf-Match: {tag}\r\n")).status == 200


def test_a_digest_in_another_line_is_verified_too(server: Server, tag: str) -> None:
    wrong = f"Content-Digest: sha-512=:AAAA:\r\nContent-Digest: sha-256=:{'A' * 43}=:\r\n"
    assert asked(server, put(BLOB, b"lost", wrong)).code == "digest_mismatch"


@pytest.mark.parametrize(
    ("since", "status"),
    [
        *((OLD, 200), ("Saturday, 29-Oct-94 19:43:31 GMT", 200), ("Sat Oct 29 19:43:31 1994", 200)),
        *((NEW, 304), ("Fri Oct  9 19:43:31 2094", 304)),
        # These are no dates, and are ignored.
        *((f"{NEW}, {NEW}", 200), ("Fri, 29 Oct 2094 19:43:31 +0200", 200), ("Fri, 29 Oct 2094", 200), ("2094", 200)),
        *(
            ("Fri, 31 Feb 2094 19:43:31 GMT", 200),
            ("Fri, 29 Oct 2094 25:43:31 GMT", 200),
            ("2094-10-29T19:43:31Z", 200),
        ),
        *(("", 200), ("4102444800", 200), ("Fri, 29 Oct 0000 19:43:31 GMT", 200)),
    ],
)
def test_dates_in_all_three_forms(server: Server, tag: str, since: str, status: int) -> None:
    assert asked(server, request(f"GET {RAW}", lines(tag, f"If-Modified-Since: {since}"))).status == status
