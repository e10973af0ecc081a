"""Forms as `multipart/form-data`, cut into chunks in every way."""

import random
from itertools import pairwise

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.blob import MAX_ID_BYTES, BlobId
from domain.errors import BlobError
from entrypoints.http.protocol.multipart import MAX_HEAD
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.multipart_form.scanner import FormScanner
from tests.ids import valid_ids

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
Outcome = tuple[object, object]


def scan(chunks: list[bytes], boundary: str = BOUNDARY) -> tuple[BlobId, bytes]:
    scanner = FormScanner(boundary)
    data = b"".join([scanner.feed(chunk) for chunk in chunks])
    return scanner.end(), data


def outcome(*chunks: bytes) -> Outcome:
    """The blob, or the code and the detail of the refusal."""
    try:
        return scan(list(chunks))
    except HttpProblem as problem:
        return problem.code, problem.detail
    except BlobError as error:
        return error.kind.value, error.detail


def refusal(body: bytes) -> tuple[str, str]:
    code, detail = outcome(body)
    assert isinstance(code, str)
    assert isinstance(detail, str)
    return code, detail


def cut(body: bytes, places: list[int]) -> list[bytes]:
    return [body[start:stop] for start, stop in pairwise(sorted({0, *places, len(body)}))]


def part(name: str, content: bytes, *headers: str) -> bytes:
    lines = [f'Content-Disposition: form-data; name="{name}"', *headers]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + content


def form(*parts: bytes, boundary: str = BOUNDARY, end: bytes = b"\r\n") -> bytes:
    return b"".join(f"--{boundary}\r\n".encode() + each + b"\r\n" for each in parts) + f"--{boundary}--".encode() + end


ID, FILE = part("id", b"k5"), part("file", b"Hello World!", "Content-Type: text/plain")
# Contents that begin, end or look like a delimiter.
almost = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", b"\r\n------WebKit", b"--" + BOUNDARY.encode()[:-1]]
)
contents = st.lists(almost | st.binary(max_size=5), max_size=8).map(b"".join)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Forms: mostly right ones, and those with something wrong."""
    parts = [part("id", draw(valid_ids).encode()), part("file", draw(contents), 'X-Other: "a"')]
    if draw(st.booleans()):
        parts.reverse()
    match draw(st.integers(0, 5)):
        case 0:
            parts.insert(draw(st.integers(0, 2)), part(draw(st.sampled_from(["id", "file", "other", ""])), b"x"))
        case 1:
            del parts[draw(st.integers(0, 1))]
    body = form(*parts, end=draw(st.sampled_from([b"", b"\r\n", b"\r", b"\n", b"x"])))
    if draw(st.integers(0, 3)) == 0:
        start, stop = sorted(draw(st.tuples(*[st.integers(0, len(body))] * 2)))
        rubbish = draw(st.sampled_from([b"", b"\r\n", b"\n", b"--", b"\xff", b"\x00", b":", b"\r\n\r\n"]))
        body = body[:start] + rubbish + body[draw(st.sampled_from([start, stop])) :]
    return body


@settings(max_examples=300)
@given(bodies(), st.data())
@example(form(ID, FILE), None)
@example(form(FILE, ID), None)
@example(form(part("id", b"a" * (MAX_ID_BYTES + 1)), FILE), None)
def test_the_outcome_does_not_depend_on_the_cuts(body: bytes, more: st.DataObject | None) -> None:
    found = outcome(body)
    assert outcome(*(body[place : place + 1] for place in range(len(body)))) == found
    for place in range(len(body)):
        assert outcome(body[:place], b"", body[place:]) == found
    if more is not None:
        assert outcome(*cut(body, more.draw(st.lists(st.integers(0, len(body)))))) == found


@given(valid_ids, contents, st.booleans())
def test_takes_each_blob(blob_id: str, content: bytes, reverse: bool) -> None:
    parts = [part("id", blob_id.encode()), part("file", content)]
    assert scan([form(*(reversed(parts) if reverse else parts))]) == (BlobId(blob_id), content)


@given(st.binary(max_size=1000), st.text(max_size=20))
def test_takes_what_a_library_writes(content: bytes, filename: str) -> None:
    files = {"file": (filename or None, content, "image/png")}
    request = httpx.Request("POST", "http://test", data={"id": "a/☺"}, files=files)
    boundary = request.headers["content-type"].partition("boundary=")[2]
    assert scan([request.read()], boundary) == (BlobId("a/☺"), content)


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="id"',
        "form-data; name=id",
        "FORM-DATA;NAME=id ;",
        'form-data;\tname="id"; filename="a;b=c.txt"',
        'form-data; filename="C:\\"; name="id"',
        'form-data; filename="a\\"b"; name="id"',
        'form-data; name="id"; filename="é☺"; filename*=UTF-8\'\'%e2%98%ba',
    ],
)
def test_takes_each_spelling_of_a_name(disposition: str) -> None:
    named = f"content-disposition:{disposition}\r\n\r\nk5".encode()
    assert scan([form(named, FILE)]) == (BlobId("k5"), b"Hello World!")


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (b"", "invalid_form", "it ends before its last boundary. Send it as curl does: -F id="),
        (form(), "invalid_form", "it has no field id"),
        (form(ID), "invalid_form", "it has no field file"),
        (form(FILE), "invalid_form", "it has no field id"),
        (form(ID, part('file"; filename="', b"")), "invalid_form", "no file was chosen"),
        (form(part('file"; filename="', b""), ID), "invalid_form", "no file was chosen"),
        (form(ID, ID, FILE), "invalid_form", "the field id more than once"),
        (form(ID, FILE, FILE), "invalid_form", "the field file more than once"),
        (form(ID, FILE, part("submit", b"")), "invalid_form", "an unknown field, 'submit'"),
        (form(part("x" * 1000, b"")), "invalid_form", f"'{'x' * 50}...'"),
        (form(ID, FILE)[:-5], "invalid_form", "ends before its last boundary"),
        (form(ID, FILE) + b"x", "invalid_form", "goes on after its last boundary"),
        (b"preamble\r\n" + form(ID, FILE), "invalid_form", "does not begin with the boundary"),
        (form(ID, FILE, boundary="other"), "invalid_form", "does not begin with the boundary"),
        (form(ID, FILE).replace(b"0gW\r\n", b"0gW\n"), "invalid_form", "something else than a line break follows"),
        (form(b"\r\nx", FILE), "invalid_form", "a part has no valid header Content-Disposition"),
        (form(part('id"; name="file', b"x")), "invalid_form", "a part has no valid header Content-Disposition"),
        (form(b'Content-Disposition: attachment; name="id"\r\n\r\nx'), "invalid_form", "no valid header"),
        (form(b'Content-Disposition: form-data; name="id\r\n\r\nx'), "invalid_form", "no valid header"),
        (form(part("id", b"x", "A: b", "a: c")), "invalid_form", "malformed or repeated"),
        (form(part("id", b"x", "A: b\nC: d")), "invalid_form", "malformed or repeated"),
        (form(part("id", b"x", "A: b", " folded")), "invalid_form", "malformed or repeated"),
        (form(part("id", b"x", "A")), "invalid_form", "malformed or repeated"),
        (form(part("id", b"x", f"A: {'b' * MAX_HEAD}")), "invalid_form", "more than 8,192 bytes"),
        (form(part("file", b"x", "Content-Transfer-Encoding: base64")), "invalid_form", "Encoding is 'base64'"),
        (form(part("id", b"\xff"), FILE), "invalid_id", "is not UTF-8: byte 0"),
        (form(part("id", b""), FILE), "invalid_id", "0 bytes"),
        (form(part("id", b"a\r\n"), FILE), "invalid_id", "U+000D"),
        (form(part("id", b"x" * (MAX_ID_BYTES + 1)), FILE), "invalid_id", "is too long"),
    ],
)
def test_says_what_is_wrong(body: bytes, code: str, detail: str) -> None:
    found = refusal(body)
    assert found[0] == code
    assert detail in found[1]
    numbers = random.Random(code)  # noqa: S311 - to cut, not to hide
    assert {outcome(*cut(body, numbers.choices(range(len(body) + 1), k=9))) for _ in range(99)} == {found}


@pytest.mark.parametrize(("named", "content"), [("a", b""), ("", b"x")])
def test_an_empty_file_or_one_without_a_name_is_taken(named: str, content: bytes) -> None:
    assert scan([form(ID, part(f'file"; filename="{named}', content))])[1] == content


@pytest.mark.parametrize("boundary", ["", "x" * 201, "a\r\nb", "☺", "a\0b"])
def test_what_is_no_boundary(boundary: str) -> None:
    with pytest.raises(HttpProblem, match="no boundary of 1 to 200 visible characters"):
        FormScanner(boundary)


def test_the_longest_head_and_id() -> None:
    used = len(part("file", b"")) - len("\r\n\r\n") + len("\r\nA: ") - len("\r\n")
    longest = part("file", b"x", f"A: {'b' * (MAX_HEAD - used - 4)}")
    body = form(part("id", b"x" * MAX_ID_BYTES), longest)
    assert scan([body]) == scan(cut(body, list(range(0, len(body), 500)))) == (BlobId("x" * MAX_ID_BYTES), b"x")


def test_the_content_of_the_file_is_not_kept() -> None:
    scanner = FormScanner(BOUNDARY)
    scanner.feed(form(part("file", b"")).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    for _ in range(100):
        assert scanner.feed(b"\r\n--" * 1000)
        assert len(scanner._parser._buffer) < 100
