"""Content-Type on its way in and out, as no client library would send it."""

import itertools

import pytest

from tests.http.s3_client import s3_client
from tests.http.server import Server
from tests.http.wire import Answer, ask_once, get, put

NUMBERS = itertools.count()


@pytest.fixture
def path() -> str:
    return f"/v1/blobs/typed%20{next(NUMBERS)}"


def asked(server: Server, message: bytes) -> Answer:
    with server.connect() as connection:
        return ask_once(connection, message)


def kept(server: Server, path: str, headers: str) -> str:
    """The type of a blob that was stored with these headers."""
    assert asked(server, put(path, b"x", headers)).status == 201
    fetched = asked(server, get(f"{path}?alt=media"))
    assert (fetched.status, fetched.body) == (200, b"x")
    assert "x-injected" not in fetched.headers
    return fetched.headers["content-type"]


@pytest.mark.parametrize(
    "given",
    [
        *("text/plain;charset=utf-8", "text/plain ; charset=UTF-8", "text/plain;\tcharset=utf-8", "TEXT/Plain"),
        *('text/plain; a="b; c"', 'text/plain; a="\\""', "application/vnd.x+json", "x-!#$%&'*+.^_`|~/0", "a/b;;"),
        *('video/mp4; codecs="avc1.42E01E, mp4a.40.2"', "video/webm;codecs=vp8,opus", "text/plain; charset=utf-8;"),
        f"text/plain; a={'b' * 241}",
    ],
)
def test_it_is_kept(server: Server, path: str, given: str) -> None:
    assert kept(server, path, f"Content-Type: {given}\r\n") == given


@pytest.mark.parametrize("given", ["", "Content-Type:\r\n", "Content-Type:  \t \r\n"])
def test_without_one(server: Server, path: str, given: str) -> None:
    assert kept(server, path, given) == "application/octet-stream"


@pytest.mark.parametrize("given", ["text/plain;x, text/html", "image/png;,image/svg+xml", "audio/x, text/html"])
def test_a_list_of_types_that_s3_keeps_is_not_shown(server: Server, given: str) -> None:
    """Browsers take the last one of a list."""
    s3, bucket = s3_client(server), f"typed-{next(NUMBERS)}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ContentType=given, ContentDisposition="inline")
    fetched = asked(server, get(f"/v1/blobs/{bucket}%2Fa?alt=media"))
    assert (fetched.headers["content-type"], fetched.headers["content-disposition"]) == (given, "attachment")


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_what_stands_on_the_next_line_is_no_part_of_it(server: Server, path: str, line_end: str) -> None:
    """Nor of any answer. That a line may end in LF alone, RFC 9112 allows (section 2.2)."""
    assert kept(server, path, f"Content-Type: text/plain{line_end}X-Injected: yes\r\n") == "text/plain"


@pytest.mark.parametrize(
    "given",
    [
        *("text/plain\rX-Injected: yes", "text/plain\r", "text/plain\x00", "text/plain; a=\x01", "text/plain; a=\x7f"),
        *("text/plain\r\n folded: yes", "text/plain; a=\xe9", "text/plain; a=☺".encode().decode("latin-1")),
        *("text/plain, text/html", "text/plain\r\nContent-Type: text/html", "text/plain text/html", "text/plain,"),
        *(
            "text/plain;x, text/html",
            "text/plain; charset=utf-8\r\nContent-Type: text/html",
            "image/png;,image/svg+xml",
        ),
        *('text/plain; a="\\", text/html', 'text/plain; a="b, text/html'),
        *("text/plain/x", "text /plain", "/", ";", "text/plain<x>", '"text/plain"', "text\\plain", "text/(plain)"),
        *(f"text/plain; a={'b' * 242}", f"text/{'x' * 100_000}"),
    ],
)
def test_what_is_none_is_refused(server: Server, path: str, given: str) -> None:
    assert asked(server, put(path, b"x", f"Content-Type: {given}\r\n")).status == 400
    assert asked(server, get(path)).status == 404
