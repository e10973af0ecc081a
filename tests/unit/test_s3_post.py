"""Forms of browsers: cut anywhere, damaged anywhere, and hostile ones."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.objects.post import MAX_FIELDS, Form, redirection

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
KEY, FILE = ("key", b"folder/${filename}"), ("file", b"Hello\r\n--World!", 'filename="a b.txt"')
Part = tuple[str, bytes] | tuple[str, bytes, str]
# Contents that begin, end or look like a delimiter.
almost = st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"\r\n--", b"--" + BOUNDARY.encode(), b"\r\n------WebKit"])
contents = st.lists(almost | st.binary(max_size=5), max_size=8).map(b"".join)


def part(name: str, content: bytes, more: str = "") -> bytes:
    """Return a part. `more`: further parameters of its Content-Disposition, and further headers."""
    return f'Content-Disposition: form-data; name="{name}"{more and f"; {more}"}\r\n\r\n'.encode() + content


def encoded(*parts: Part, boundary: str = BOUNDARY, end: bytes = b"\r\n") -> bytes:
    delimiter = f"--{boundary}".encode()
    return b"".join(delimiter + b"\r\n" + part(*each) + b"\r\n" for each in parts) + delimiter + b"--" + end


async def chunks_of(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def read(pieces: Iterable[bytes], boundary: str = BOUNDARY) -> tuple[dict[str, str], bytes]:
    """Return the fields and the file of a form."""

    async def reading() -> tuple[dict[str, str], bytes]:
        form = Form(boundary, chunks_of(pieces))
        await form.read_fields()
        return dict(form.fields), b"".join([chunk async for chunk in form.file()])

    return asyncio.run(reading())


def outcome(pieces: Iterable[bytes]) -> object:
    try:
        return read(pieces)
    except S3Error as error:
        return error.code, error.message


def refusal(*parts: Part, **options: Any) -> S3Error:
    with pytest.raises(S3Error) as caught:
        read([encoded(*parts, **options)])
    return caught.value


def test_the_fields_come_before_the_file() -> None:
    fields, file = read([encoded(KEY, ("Content-TYPE", b"text/plain"), FILE, ("key", b"other"), ("late", b"x"))])
    assert fields == {"key": "folder/a b.txt", "content-type": "text/plain"}
    assert file == FILE[1]
    assert read([encoded(FILE, KEY)]) == ({}, FILE[1])


@given(st.lists(st.tuples(st.sampled_from(["key", "a", "File", "b"]), contents), max_size=4), st.data())
def test_the_outcome_does_not_depend_on_the_cuts(parts: list[tuple[str, bytes]], data: st.DataObject) -> None:
    body = encoded(*parts)
    found = outcome([body])
    assert outcome(body[place : place + 1] for place in range(len(body))) == found
    places = data.draw(st.lists(st.integers(0, len(body))))
    assert outcome(body[start:stop] for start, stop in pairwise(sorted({0, *places, len(body)}))) == found


def test_it_takes_what_a_library_writes() -> None:
    files = {"file": ("ü.png", b"bytes", "image/png")}
    request = httpx.Request("POST", "http://test", data={"key": "a/${filename}"}, files=files)
    boundary = request.headers["content-type"].partition("boundary=")[2]
    assert read([request.read()], boundary) == ({"key": "a/ü.png"}, b"bytes")


def test_a_form_that_ends_anywhere_has_no_file() -> None:
    body = encoded(KEY, FILE, ("late", b"x"), end=b"")
    for size in range(len(body)):
        for cut in (size, size // 2):
            found = outcome([body[:cut], body[cut:size]])
            assert found[0] == "MalformedPOSTRequest", size  # type: ignore[index]
    assert outcome([body]) == ({"key": "folder/a b.txt"}, FILE[1])


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([], "IncorrectNumberOfFilesInPostRequest"),
        ([KEY], "IncorrectNumberOfFilesInPostRequest"),
        ([KEY, FILE, FILE], "IncorrectNumberOfFilesInPostRequest"),
        ([KEY, FILE, ("FILE", b"")], "IncorrectNumberOfFilesInPostRequest"),
        ([KEY, KEY, FILE], "InvalidArgument"),
        ([KEY, ("KEY", b"other"), FILE], "InvalidArgument"),
        ([("key", b"\xff"), FILE], "InvalidArgument"),
        ([KEY, ("file", b"", 'filename="a"; filename="b"')], "MalformedPOSTRequest"),
        ([KEY, ("file", b"Yg==", 'x="y"\r\nContent-Transfer-Encoding: base64')], "MalformedPOSTRequest"),
        ([KEY, ("file", b"", 'x="y"\r\nno header')], "MalformedPOSTRequest"),
        ([KEY, FILE, ("late", b"", 'x="y"\r\nno header')], "MalformedPOSTRequest"),
    ],
)
def test_malformed_forms_are_refused(parts: list[Part], code: str) -> None:
    error = refusal(*parts)
    assert (error.code, error.status) == (code, 400)


@pytest.mark.parametrize("boundary", ["", "x", BOUNDARY + "W", "ü", "x" * 300])
def test_another_boundary_than_that_of_the_header_is_refused(boundary: str) -> None:
    with pytest.raises(S3Error) as caught:
        read([encoded(KEY, FILE)], boundary)
    assert caught.value.code == "MalformedPOSTRequest"


def test_what_follows_the_last_boundary_is_refused() -> None:
    assert refusal(KEY, FILE, end=b"\r\nmore").code == "MalformedPOSTRequest"


def fields_of(size: int) -> list[Part]:
    return [("a", bytes(size)), KEY, FILE]


def test_the_fields_have_a_limit_in_all() -> None:
    assert read([encoded(*fields_of(MAX_FIELDS - 1024))])[1] == FILE[1]
    for parts in (
        fields_of(MAX_FIELDS),
        fields_of(100 * MAX_FIELDS),
        [*((f"a{number}", b"") for number in range(1000)), KEY, FILE],
        [*((f"a{number}", b"", f'x="{"y" * 8000}"') for number in range(3)), KEY, FILE],
        # The file's name counts wherever it is put.
        [("key", b"${filename}" * 1000), ("file", b"", f'filename="{"y" * 4000}"')],
    ):
        error = refusal(*parts)
        assert (error.code, error.status) == ("MaxPostPreDataLengthExceededError", 400)


def test_the_fields_after_the_file_have_a_limit_too() -> None:
    assert read([encoded(KEY, FILE, ("a", bytes(MAX_FIELDS - 1024)))])[1] == FILE[1]
    for late in ([("a", bytes(MAX_FIELDS))], [("a", b"")] * 1000):
        assert refusal(KEY, FILE, *late).code == "MaxMessageLengthExceeded"


def endless(beginning: bytes) -> Iterator[bytes]:
    yield beginning
    for _ in range(1000):
        yield bytes(64 * 1024)
    raise AssertionError("read on and on")


@pytest.mark.parametrize(
    ("parts", "end"), [([], "a"), ([KEY], "a"), ([KEY, FILE], "a")], ids=["first", "second", "after the file"]
)
def test_no_field_is_read_on_and_on(parts: list[Part], end: str) -> None:
    closed = encoded(*parts, end=b"").removesuffix(b"--")
    with pytest.raises(S3Error, match="too large"):
        read(endless(closed + b"\r\n" + part(end, b"")))


def test_a_file_takes_constant_memory() -> None:
    chunk = bytes(256 * 1024)
    beginning, end = encoded(KEY, ("file", b"|")).split(b"|")

    def pieces() -> Iterator[bytes]:
        yield beginning
        for _ in range(200):
            yield bytes(chunk)
        yield end

    async def measure() -> int:
        form = Form(BOUNDARY, chunks_of(pieces()))
        await form.read_fields()
        return sum([len(piece) async for piece in form.file()])

    tracemalloc.start()
    try:
        assert asyncio.run(measure()) == 200 * len(chunk)
        assert tracemalloc.get_traced_memory()[1] < 16 * len(chunk)
    finally:
        tracemalloc.stop()


ADDED = {"bucket": "films", "key": "a/b c&d", "etag": '"e"'}
QUERY = "bucket=films&key=a%2Fb%20c%26d&etag=%22e%22"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.com", f"http://example.com?{QUERY}"),
        ("https://example.com/a?b=c", f"https://example.com/a?b=c&{QUERY}"),
        ("https://[::1]:8000/a%20b#end", f"https://[::1]:8000/a%20b?{QUERY}#end"),
        ("HTTP://example.com/ü d\\", f"http://example.com/%C3%BC%20d%5C?{QUERY}"),
        *(
            (url, None)
            for url in ("", "/a", "//example.com", "example.com", "javascript:alert(1)", "ftp://example.com")
        ),
        *((url, None) for url in ("http:", "http:///a", "http:\\\\example.com", "https://[", "data:text/html,x")),
        *((f"http://example.com/{odd}a", None) for odd in ("\r\nSet-Cookie: a=b", "\n", "\t", "\0", "\x7f", "\x85")),
        *((url, None) for url in (" http://example.com", "\nhttp://example.com", "http://example.com\n")),
    ],
)
def test_the_browser_is_sent_to_urls_of_http_only(url: str, expected: str | None) -> None:
    assert redirection(url, ADDED) == expected


@given(st.text())
def test_no_redirection_breaks_a_header(text: str) -> None:
    for url in (text, f"http://{text}", f"https://example.com/{text}", f"https://example.com/?{text}#{text}"):
        found = redirection(url, ADDED)
        assert found is None or (found.isascii() and found.isprintable() and " " not in found)
