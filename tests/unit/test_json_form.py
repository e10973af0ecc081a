"""The JSON form's parser, against the standard library's."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.blob import BlobId
from domain.errors import DriveError
from entrypoints.http.json_form import parse
from entrypoints.http.problems import HttpProblem
from tests.ids import valid_ids

WHOLE = b'{"id":"k5","data":"SGVsbG8gV29ybGQh"}'


def refusal(body: bytes) -> tuple[str, str]:
    with pytest.raises((HttpProblem, DriveError)) as caught:
        parse(body)
    error = caught.value
    assert isinstance(error, HttpProblem | DriveError)
    return (error.kind.value if isinstance(error, DriveError) else error.code), error.detail


@given(valid_ids, st.binary(max_size=100), st.booleans(), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_takes_what_any_client_may_send(
    blob_id: str, data: bytes, turned: bool, ascii_only: bool, indent: object
) -> None:
    members = {"id": blob_id, "data": base64.b64encode(data).decode()}
    if turned:
        members = dict(reversed(members.items()))
    body = json.dumps(members, ensure_ascii=ascii_only, indent=indent)  # type: ignore[arg-type]  # None, a number or text
    assert parse(body.encode()) == (BlobId(blob_id), data)


def test_takes_escapes_in_data() -> None:
    body = rb'{"d\u0061ta": "\u0051QU\/\/w==", "id": "\u263a\ud83d\ude00"}'
    assert parse(body) == (BlobId("☺😀"), base64.b64decode("QQU//w=="))


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_refuses_a_body_that_breaks_off_anywhere(size: int) -> None:
    assert refusal(WHOLE[:size])[0] == "invalid_json"


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
        (b'{"id":"a","data":"","size":1}', "invalid_body", "unknown field `size`"),
        (b'{"ID":"a","data":""}', "invalid_body", "unknown field `ID`"),
        (b'{"id":"a","data":"","data":""}', "invalid_body", "more than once"),
        (b'{"id":"a","id":"a","data":""}', "invalid_body", "more than once"),
        (b'{"id":"a","data":"","d\\u0061ta":""}', "invalid_body", "more than once"),
        (b'{"id":"","data":""}', "invalid_id", "0 bytes"),
        (b'{"id":"\\ud800","data":""}', "invalid_json", "surrogate"),
        (b'{"id":"a\\u0000","data":""}', "invalid_id", "U+0000"),
        (b'{"id":"a","data":"QR=="}', "invalid_base64", "at offset 1"),
    ],
)
def test_says_what_is_wrong(body: bytes, code: str, detail: str) -> None:
    found = refusal(body)
    assert found[0] == code
    assert detail in found[1]
