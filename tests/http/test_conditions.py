"""Several conditions in one request (RFC 9110, section 13.2.2), and conditions in several lines."""

from collections.abc import Iterator

import httpx
import pytest

from tests.http.dates import strong_date
from tests.http.server import Server
from tests.http.wire import AUTH, Answer, ask_once, put, request

BLOB = "/v1/blobs/conditions"
RAW = f"{BLOB}?alt=media"
OLD, NEW = "Sat, 29 Oct 1994 19:43:31 GMT", "Fri, 29 Oct 2094 19:43:31 GMT"
RANGE = "Range: bytes=0-1\r\n"
OTHER = '"0123"'
MEDIA = {"alt": "media"}
FIRST, SECOND = b"first" * 1000, b"second" * 1000


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


@pytest.mark.parametrize(
    ("condition", "detail"), [({"If-None-Match": "*"}, "exists already"), ({"If-Match": OTHER}, "has changed")]
)
def test_a_refused_change_says_why(client: httpx.Client, tag: str, condition: dict[str, str], detail: str) -> None:
    refused = client.put(BLOB, content=b"other", headers=condition)
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    assert detail in refused.json()["detail"]


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


def test_a_change_heeds_dates(server: Server, client: httpx.Client) -> None:
    path = f"{BLOB}-changed"
    client.put(path, content=b"hello")
    date = strong_date(client, path)
    for status, *conditions in (
        (412, f"If-Unmodified-Since: {OLD}"),
        (412, f"If-Unmodified-Since: {OLD}", "If-None-Match: *"),
        (412, f"If-Unmodified-Since: {date}", "If-None-Match: *"),
        (412, f"If-Unmodified-Since: {date}", f"If-Match: {OTHER}"),
    ):
        headers = "".join(f"{each}\r\n" for each in conditions)
        assert asked(server, put(path, b"lost", headers)).status == status
        assert asked(server, request(f"DELETE {path}", AUTH + headers)).status == status
        assert client.get(path, params=MEDIA).content == b"hello"
    assert asked(server, put(path, b"second", f"If-Unmodified-Since: {date}\r\n")).status == 200
    assert asked(server, put(path, b"lost", f"If-Unmodified-Since: {date}\r\n")).status == 412
    assert asked(server, request(f"DELETE {path}", f"{AUTH}If-Unmodified-Since: {date}\r\n")).status == 412
    assert client.get(path, params=MEDIA).content == b"second"
    assert asked(server, request(f"DELETE {path}", f"{AUTH}If-Unmodified-Since: {NEW}\r\n")).status == 204


@pytest.mark.parametrize(
    "ignored",
    [
        ("If-Match: TAG", f"If-Unmodified-Since: {OLD}"),
        ("If-Match: *", f"If-Unmodified-Since: {OLD}"),
        ("If-Unmodified-Since: yesterday",),
        (f"If-Unmodified-Since: {OLD}", f"If-Unmodified-Since: {OLD}"),
        ("If-Unmodified-Since: Sat, 31 Feb 1994 19:43:31 GMT",),
        (f"If-Modified-Since: {NEW}",),
    ],
)
def test_a_change_ignores_dates_that_do_not_count(server: Server, tag: str, ignored: tuple[str, ...]) -> None:
    headers = "".join(f"{each.replace('TAG', tag)}\r\n" for each in ignored)
    assert asked(server, put(BLOB, b"hello", headers)).status == 200
    assert asked(server, request(f"DELETE {BLOB}", AUTH + headers)).status == 204
    assert asked(server, put(BLOB, b"hello")).status == 201


def test_a_blob_that_is_gone_was_changed(server: Server, client: httpx.Client) -> None:
    path = f"{BLOB}-gone"
    since = f"If-Unmodified-Since: {NEW}\r\n"
    assert asked(server, put(path, b"lost", since)).status == 412
    assert asked(server, request(f"DELETE {path}", AUTH + since)).status == 404


@pytest.mark.parametrize("change", ["replaced", "deleted and stored again"])
def test_versions_of_one_second_are_never_taken_for_each_other(client: httpx.Client, change: str) -> None:
    """What a client knows of the first is the date that it was given, and the time at which it was given it."""
    for number in range(5):
        path = f"{BLOB}-{change.partition(' ')[0]}-{number}"
        client.put(path, content=FIRST)
        known = client.get(path, params=MEDIA, headers={"Range": "bytes=0-2499"})
        if change != "replaced":
            client.delete(path)
        client.put(path, content=SECOND)
        for date in {known.headers["last-modified"], known.headers["date"]}:
            resumed = client.get(path, params=MEDIA, headers={"Range": "bytes=2500-", "If-Range": date})
            assert (resumed.status_code, resumed.content) == (200, SECOND), f"joined by {date}"
            for ask in (client.get, client.head):
                assert ask(path, params=MEDIA, headers={"If-Modified-Since": date}).status_code == 200
                assert ask(path, headers={"If-Modified-Since": date}).status_code == 200
                assert ask(path, headers={"If-Unmodified-Since": date}).status_code == 412
            assert client.put(path, content=b"lost", headers={"If-Unmodified-Since": date}).status_code == 412
            assert client.delete(path, headers={"If-Unmodified-Since": date}).status_code == 412
        assert client.get(path, params=MEDIA).content == SECOND


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
