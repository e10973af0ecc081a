"""The scanner of the JSON form, against the standard library's JSON and base64, cut into chunks in every way."""

import base64
import binascii
import json
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.blob import BlobId
from domain.errors import BlobError
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.json_form.scanner import LONGEST, MAX_FRAME, Scanner, least_size, scan_whole
from tests.ids import valid_ids

WHOLE = b'{"id":"k5","data":"SGVsbG8gV29ybGQh"}'
T = TypeVar("T")
Blob = tuple[BlobId, bytes]
Refusal = tuple[str, str]  # code and detail


def scan(chunks: list[bytes]) -> Blob:
    scanner = Scanner()
    data = b"".join([scanner.feed(chunk) for chunk in chunks])
    return scanner.end(), data


def outcome(*chunks: bytes) -> Blob | Refusal:
    """The blob, or the error; for a body in one chunk, also by the shorter way for whole bodies."""
    found = outcome_of(scan, [*chunks])
    if len(chunks) == 1:
        assert outcome_of(scan_whole, chunks[0]) == found
    return found


def outcome_of(scan: Callable[[T], Blob], body: T) -> Blob | Refusal:
    try:
        return scan(body)
    except HttpProblem as problem:
        return problem.code, problem.detail
    except BlobError as error:
        return error.kind.value, error.detail


def refusal(body: bytes) -> Refusal:
    code, detail = outcome(body)
    assert isinstance(code, str)
    assert isinstance(detail, str)
    return code, detail


def cut(body: bytes, places: list[int]) -> list[bytes]:
    return [body[start:stop] for start, stop in pairwise(sorted({0, *places, len(body)}))]


def plainly(body: bytes) -> Blob | None:
    """The blob in a body, by the standard library alone, which has all of it; None for what is to be refused."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    try:
        found = json.loads(body.decode(), object_pairs_hook=members)
        assert isinstance(found, dict)
        assert sorted(found) == ["data", "id"]
        assert isinstance(found["id"], str)
        assert isinstance(found["data"], str)
        data = base64.b64decode(found["data"].encode("ascii"), validate=True)
        assert base64.b64encode(data).decode() == found["data"]
        return BlobId(found["id"]), data
    except (AssertionError, ValueError, binascii.Error, BlobError, RecursionError):
        return None


# ------------------------------------------------------------------- bodies, right ones and wrong ones


def spelt(text: str, random: random.Random) -> str:
    """A JSON string for `text`, in one of its many spellings."""
    short = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\n": "\\n"}
    spellings = []
    for character in text:
        ways = [json.dumps(character)[1:-1], short.get(character, json.dumps(character, ensure_ascii=False)[1:-1])]
        if character < "\x80":
            ways.append(f"\\u{ord(character):04{random.choice('xX')}}")
        spellings.append(random.choice(ways) if random.random() < 0.3 else ways[1])
    return '"' + "".join(spellings) + '"'


FAULTY_DATA = [
    "QR==",
    "QQ",
    "QUJDR",
    "QQ=",
    "QUJD=",
    "QQ==QUJD",
    "=",
    "QU JD",
    "QUJD\n",
    "QU-_",
    "QUJé",
    "QUJ☺",
    'QQ"',
    "\\",
]
base64_texts = st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode())
data_texts = base64_texts | st.sampled_from(FAULTY_DATA) | st.text(alphabet="QRSTgw+/-_= \n\\é", max_size=12)
spaces = st.text(alphabet=" \t\n\r", max_size=2)
other_values = st.sampled_from(
    ["1", "null", "true", "[]", '["",{}]', '{"id":"a"}', "1x", "-", '"\\ud800"', '"\\x"', "[" * 200]
)
keys = st.sampled_from(["id", "data", "size", "ID", "", "d\u00e4ta"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Bodies of one object: mostly right ones, and those with one thing or another wrong in the shape."""
    random = draw(st.randoms(use_true_random=False))
    members = [("id", spelt(draw(valid_ids | st.sampled_from(["", "\n", "a\x7f"])), random))]
    members.append(("data", spelt(draw(data_texts), random)))
    if draw(st.booleans()):
        members.reverse()
    if draw(st.integers(0, 4)) == 0:
        place = draw(st.integers(0, 2))
        members.insert(place, (draw(keys), draw(other_values | data_texts.map(lambda text: spelt(text, random)))))
    if draw(st.integers(0, 9)) == 0:
        del members[draw(st.integers(0, len(members) - 1))]
    space = [draw(spaces) for _ in range(6)]
    separated = f"{space[0]},{space[1]}".join(
        f"{spelt(key, random)}{space[2]}:{space[3]}{value}" for key, value in members
    )
    return f"{space[4]}{{{separated}}}{space[5]}".encode()


@st.composite
def damaged_bodies(draw: st.DrawFn) -> bytes:
    """Bodies with bytes taken out, put in, or put over others."""
    body = draw(bodies())
    start, stop = sorted(draw(st.tuples(*[st.integers(0, len(body))] * 2)))
    rubbish = st.sampled_from(
        [b"", b'"', b"\\", b"{", b"}", b",", b":", b"\xef\xbb\xbf", b"\xff", b"\x00", b"\n", b"null"]
    )
    return body[:start] + draw(rubbish) + body[draw(st.sampled_from([start, stop])) :]


@settings(max_examples=400)
@given(bodies() | damaged_bodies(), st.data())
@example(rb'{"data":"\\/AA","id":"a"}', None)
@example(b'{"data":"AA\\u003', None)
def test_takes_what_the_standard_library_takes_however_it_is_cut(body: bytes, more: st.DataObject | None) -> None:
    found = outcome(body)
    plain = plainly(body)
    if plain is None:
        assert isinstance(found[0], str)
    else:
        assert found == plain
    assert outcome(*(body[place : place + 1] for place in range(len(body)))) == found
    for place in range(len(body)):
        assert outcome(body[:place], b"", body[place:]) == found
    if more is not None:
        assert outcome(*cut(body, more.draw(st.lists(st.integers(0, len(body)))))) == found


@given(valid_ids, st.binary(max_size=100), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_takes_what_any_client_may_send(blob_id: str, data: bytes, ascii_only: bool, indent: object) -> None:
    members = {"id": blob_id, "data": base64.b64encode(data).decode()}
    for ordered in (members, dict(reversed(members.items()))):
        body = json.dumps(ordered, ensure_ascii=ascii_only, indent=indent)  # type: ignore[arg-type]  # None, a number or text
        assert scan([body.encode()]) == (BlobId(blob_id), data)


def test_takes_escapes_in_data() -> None:
    body = rb'{"d\u0061ta": "\u0051QU\/\u002Fw==", "id": "\u263a\ud83d\ude00"}'
    assert scan([body]) == (BlobId("☺😀"), base64.b64decode("QQU//w=="))


def test_the_id_is_known_before_the_data_where_it_stands_there() -> None:
    scanner = Scanner()
    scanner.feed(b'{"id":"k5","data"')
    assert not scanner.is_in_data
    scanner.feed(b':"')
    assert (scanner.is_in_data, scanner.id) == (True, BlobId("k5"))
    scanner = Scanner()
    scanner.feed(b'{"data":"AAAA","id":"k5"')
    assert (scanner.is_in_data, scanner.id) == (True, None)


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (b'{"id":1,"data":"', "invalid_body"),
        (b'{"id":null,"data":"', "invalid_body"),
        (b'{"id":"a","id":"a","data":"', "invalid_body"),
        (b'{"size":"1","data":"', "invalid_body"),
        (b'{"id":"","data":"', "invalid_id"),
        (b'{"id":"\xff","data":"', "invalid_json"),
        (b',"data":"', "invalid_json"),
        (b'{"id":"a"{"data":"', "invalid_json"),
        (b'{"id":"a","data":"QUJD-AAAA', "invalid_base64"),
        (b'{"id":"a","data":"\\x', "invalid_json"),
        (b'{"id":"a","data":"\\u00"', "invalid_json"),
        (b'{"id":"' + b"a" * MAX_FRAME, "invalid_id"),
        (b'{"data":"AAAA","id":"' + b"a" * MAX_FRAME, "invalid_id"),
        (b'{"i\\u0064":"' + b"\\u0061" * MAX_FRAME, "invalid_id"),
        (b'{"size":"' + b"a" * MAX_FRAME, "invalid_body"),
        (b'{"' + b"a" * MAX_FRAME, "invalid_body"),
        (b" " * (MAX_FRAME + 1), "invalid_body"),
        (WHOLE + b" " * MAX_FRAME, "invalid_body"),
        (b'{"data":"AAAA","data":"' + b"A" * MAX_FRAME, "invalid_body"),
        (b'{"data":"AAAA","id":"a",' + b" " * MAX_FRAME, "invalid_body"),
        (b"PK\x03\x04" + b"a" * MAX_FRAME, "invalid_json"),
    ],
)
def test_what_is_wrong_is_reported_without_the_rest(start: bytes, code: str) -> None:
    body = start + b"A" * MAX_FRAME
    found = refused_within(body)
    assert found[0] == code
    assert refused_within(*(body[place : place + 7] for place in range(0, len(body), 7))) == found


def refused_within(*chunks: bytes) -> Refusal:
    """How a body is refused while it comes: its end never comes."""
    scanner = Scanner()
    try:
        for chunk in chunks:
            scanner.feed(chunk)
    except (HttpProblem, BlobError) as error:
        return (error.kind.value if isinstance(error, BlobError) else error.code), error.detail
    pytest.fail("it was not refused")


def test_what_data_holds_is_not_kept() -> None:
    scanner = Scanner()
    scanner.feed(b'{"data":"')
    for _ in range(100):
        assert len(scanner.feed(b"A" * 1024)) >= 765
        assert sum(len(kept) for kept in vars(scanner).values() if isinstance(kept, bytes)) < 20


def test_a_large_frame_is_taken_as_long_as_it_keeps_to_its_limit() -> None:
    blob_id = "\x20" * 1024
    spelling = "\\u0020" * 1024
    body = f'{{"data":"AAAA","id":"{spelling}"'.encode()
    full = body.ljust(MAX_FRAME - 1 + len("AAAA")) + b"}"
    assert scan([full]) == scan([body, b"}"]) == (BlobId(blob_id), b"\0\0\0")
    assert refusal(full + b" ")[0] == "invalid_body"
    plain = WHOLE.ljust(MAX_FRAME + 16)
    assert outcome(plain) == scan([WHOLE])
    assert refusal(plain + b" ")[0] == "invalid_body"


@given(st.binary(max_size=300), st.integers(0, 3))
def test_the_least_size_is_never_more_than_there_is(data: bytes, spaces: int) -> None:
    for text in (base64.b64encode(data).decode(), ""):
        escaped = "".join(f"\\u{ord(character):04x}" for character in text)
        frame = b'{"id":"a","data":"' + escaped.encode()
        # With all that a frame may have, as if it were all data: and with less, too.
        for length in (MAX_FRAME + len(escaped), len(frame) + spaces):
            assert least_size(length) <= (len(data) if text else 0)
    assert least_size(MAX_FRAME + 4 * LONGEST * 1000) == 2998


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_refuses_a_body_that_breaks_off_anywhere(size: int) -> None:
    assert refusal(WHOLE[:size])[0] == "invalid_json"


@pytest.mark.parametrize("behind", [b"x", b"\n{}", b',"id":"\\x', b"\0"])
def test_a_position_is_one_in_the_body(behind: bytes) -> None:
    for body in (rb'{"id":"a","data":"AAAA\/BBB"' + behind, b'{"id":"a"' + behind + b'"data":""}'):
        with pytest.raises(msgspec.DecodeError) as caught:
            msgspec.json.decode(body)
        found = refusal(body)
        assert str(caught.value) in found[1]
        assert {outcome(body[:place], body[place:]) for place in range(len(body))} == {found}


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (b"", "invalid_json", "truncated"),
        (b"nonsense", "invalid_json", "invalid character"),
        (b'{"id":"a","data":""} x', "invalid_json", "trailing characters"),
        (b'{"id":"a","data":""}{}', "invalid_json", "trailing characters"),
        (b'\xef\xbb\xbf{"id":"a","data":""}', "invalid_json", "byte 0"),
        ('{"id":"a","data":""}'.encode("utf-16"), "invalid_json", "byte 0"),
        (b'{"id":"\xff","data":""}', "invalid_json", "utf-8"),
        (b'{"id":"a\nb","data":""}', "invalid_json", "byte 8"),
        (b'{"id":"a","data":"",}', "invalid_json", ""),
        (b"{'id':'a','data':''}", "invalid_json", ""),
        (b"[" * 100_000, "invalid_body", "got `array`"),
        (b'{"a":' * 100_000, "invalid_body", "unknown field `a`"),
        (b"9" * 10_000, "invalid_body", "Number out of range"),
        (b"[]", "invalid_body", "Expected `object`, got `array`"),
        (b"null", "invalid_body", "Expected `object`, got `null`"),
        (b'"id"', "invalid_body", "Expected `object`, got `str`"),
        (b"{}", "invalid_body", "missing required field `id`"),
        (b'{"id":"a"}', "invalid_body", "missing required field `data`"),
        (b'{"data":""}', "invalid_body", "missing required field `id`"),
        (b'{"id":1,"data":""}', "invalid_body", "Expected `str`, got `int` - at `$.id`"),
        (b'{"id":"a","data":null}', "invalid_body", "Expected `str`, got `null` - at `$.data`"),
        (b'{"id":"a","data":["",""]}', "invalid_body", "Expected `str`, got `array` - at `$.data`"),
        (b'{"id":"a","data":1,"data":2}', "invalid_body", "Expected `str`, got `int` - at `$.data`"),
        (b'{"id":"a","data":[1,"QUJD"]}', "invalid_body", "Expected `str`, got `array` - at `$.data`"),
        (b'{"id":"a","data":"","size":1}', "invalid_body", "unknown field `size`"),
        (b'{"ID":"a","data":""}', "invalid_body", "unknown field `ID`"),
        (b'{"id":"a","data":"","data":""}', "invalid_body", "more than once"),
        (b'{"id":"a","id":"a","data":""}', "invalid_body", "more than once"),
        (b'{"id":"a","data":"","d\\u0061ta":""}', "invalid_body", "more than once"),
        (b'{"id":"","data":""}', "invalid_id", "0 bytes"),
        (b'{"id":"a\x7f","data":""}', "invalid_id", "U+007F"),
        (b'{"id":"\\ud800","data":""}', "invalid_json", "surrogate"),
        (b'{"id":"a\\u0000","data":""}', "invalid_id", "U+0000"),
        (b'{"id":"a","data":"QR=="}', "invalid_base64", "at offset 1"),
        (b'{"id":"a","data":"QUJD\\/-AA"}', "invalid_base64", "at offset 5: it is base64url"),
        (b'{"id":"a","data":"QUJD\\nQUJD"}', "invalid_base64", "at offset 4: it has line breaks"),
        (b'{"id":"a","data":"QUJD\nQUJD"}', "invalid_base64", "at offset 4: it has line breaks"),
        ('{"id":"a","data":"QUJDé"}'.encode(), "invalid_base64", "at offset 4: the byte 0xC3"),
        (b'{"id":"a","data":"QUJ', "invalid_json", "truncated"),
    ],
)
def test_says_what_is_wrong(body: bytes, code: str, detail: str) -> None:
    found = refusal(body)
    assert found[0] == code
    assert detail in found[1]


@pytest.mark.parametrize(
    ("data", "offset", "cause"),
    [
        (rb"QUJD\nQUJD", 4, "it has line breaks"),
        (rb"QUJD\r\nQUJD", 4, "it has line breaks"),
        (rb"QUJD\u000aQUJD", 4, "it has line breaks"),
        (b"QUJD\nQUJD", 4, "it has line breaks"),
        (rb"QUJD\n", 4, "it ends with a line break"),
        (rb"QQ==\r\n", 4, "it ends with a line break"),
        (rb"QUJD\tQUJD", 4, "it has white space"),
        (b"data:image/png;base64,QUJD", 4, "it is a data: URL"),
        (rb"data:image\/png;base64,QUJD", 4, "it is a data: URL"),
        (b"QU-_", 2, "it is base64url"),
        (rb"QU\\D", 2, r"'\\' is not in the standard alphabet"),
        (rb"QU\"D", 2, "'\"' is not in the standard alphabet"),
        (rb"QU\u00e9", 2, "the byte 0xC3 is not in the standard alphabet"),
        (rb"QU\u0000", 2, r"'\x00' is not in the standard alphabet"),
        (rb"QU\ud800", 2, "the byte 0xED is not in the standard alphabet"),
    ],
)
def test_the_cause_that_tools_put_into_data_is_named(data: bytes, offset: int, cause: str) -> None:
    body = b'{"id":"a","data":"' + data + b'"}'
    code, detail = refusal(body)
    assert code == "invalid_base64"
    assert f"at offset {offset}: {cause}" in detail
    assert {outcome(body[:place], body[place:]) for place in range(len(body))} == {(code, detail)}
