"""Strict base64, against the standard library's decoder and encoder."""

import base64
from collections.abc import Iterable
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.http.rest.json_form.base64_text import Base64Error, Decoder, Encoder, encoded_size


def decode(text: str, cuts: Iterable[int] = ()) -> bytes:
    decoder, encoded = Decoder(), text.encode()
    pieces = [encoded[start:stop] for start, stop in pairwise(sorted({0, *cuts, len(encoded)}))]
    return b"".join([*map(decoder.feed, pieces), decoder.end()])


def offset_of_fault(text: str, cuts: Iterable[int] = ()) -> int:
    with pytest.raises(Base64Error) as caught:
        decode(text, cuts)
    return caught.value.offset


@given(st.binary(max_size=200))
def test_takes_what_the_standard_library_encodes(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert decode(text) == decode(text, range(len(text))) == data
    assert encoded_size(len(data)) == len(text)


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_encodes_as_the_standard_library_does_however_it_is_cut(pieces: list[bytes]) -> None:
    encoder = Encoder()
    text = b"".join([*map(encoder.feed, pieces), encoder.end()])
    assert text == base64.b64encode(b"".join(pieces))


@given(st.text(alphabet="QRSTgw+/-_= \n", max_size=12))
def test_takes_nothing_else(text: str) -> None:
    if any(base64.b64encode(data).decode() == text for data in decoded_leniently(text)):
        decode(text)
    else:
        offset = offset_of_fault(text)
        assert 0 <= offset <= len(text)
        assert {offset_of_fault(text, [one, other]) for one in range(13) for other in range(one)} == {offset}


def decoded_leniently(text: str) -> list[bytes]:
    try:
        return [base64.b64decode(text)]
    except ValueError:
        return []


@pytest.mark.parametrize(
    ("text", "offset", "why"),
    [
        ("QR==", 1, "bits that the padding cuts off"),
        ("QUJDRF==", 5, "bits that the padding cuts off"),
        ("QUF=", 2, "bits that the padding cuts off"),
        ("QQ", 2, "ends too early"),
        ("QUJDR", 5, "ends too early"),
        ("QQ=", 2, "fill up the last group"),
        ("QUJD=", 4, "fill up the last group"),
        ("QUJD====", 4, "fill up the last group"),
        ("QQ===", 2, "fill up the last group"),
        ("Q===", 1, "fill up the last group"),
        ("====", 0, "fill up the last group"),
        ("QQ==QUJD", 2, "stand only at the end"),
        ("QQ=Q", 2, "stand only at the end"),
        ("QU JD", 2, "has white space"),
        ("QUJD QUJD", 4, "where it was a '\\+'"),
        ("QUJD\tQUJD", 4, "has white space"),
        ("QUJD\n", 4, "ends with a line break"),
        ("QUJD\r\n", 4, "ends with a line break"),
        ("QQ==\n", 4, "ends with a line break"),
        ("QUI=\r\n", 4, "ends with a line break"),
        ("\n", 0, "ends with a line break"),
        ("QR==\n", 1, "bits that the padding cuts off"),
        ("QUJD\nQUJD", 4, "has line breaks. Leave them out: use `base64 -w0`"),
        ("QUJD\r\nQUJD\r\n", 4, "has line breaks"),
        ("QUJD\n\n\n", 4, "has line breaks"),
        ("QU\nJD", 2, "has line breaks"),
        ("QQ==\nQQ==", 4, "has line breaks"),
        ("QU-_", 2, "is base64url"),
        ("QUJD_QUJ", 4, "is base64url"),
        ("data:image/png;base64,QUJD", 4, "is a data: URL"),
        ("DATA:,QUJD", 4, "is a data: URL"),
        ("dat:", 3, "not in the standard alphabet"),
        ("data-", 4, "is base64url"),
        ("QUJé", 3, "not in the standard alphabet"),
        ("QUJ\x00", 3, "not in the standard alphabet"),
    ],
)
def test_a_fault_is_named_with_its_offset(text: str, offset: int, why: str) -> None:
    with pytest.raises(Base64Error, match=why) as caught:
        decode(text)
    assert caught.value.offset == offset
    for cuts in combinations(range(len(text)), 2):
        with pytest.raises(Base64Error) as cut:
            decode(text, cuts)
        assert str(cut.value) == str(caught.value)


@given(st.binary(min_size=58, max_size=300))
def test_what_tools_for_mime_write_has_line_breaks(data: bytes) -> None:
    for text in (base64.encodebytes(data).decode(), base64.encodebytes(data).decode().replace("\n", "\r\n")):
        with pytest.raises(Base64Error, match="has line breaks") as caught:
            decode(text)
        assert caught.value.offset == 76
