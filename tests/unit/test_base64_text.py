"""Strict base64, against the standard library's decoder and encoder."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.http.base64_text import Base64Error, decode, encoded_size


@given(st.binary(max_size=200))
def test_takes_what_the_standard_library_encodes(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert decode(text) == data
    assert encoded_size(len(data)) == len(text)


@given(st.text(alphabet="QRSTgw+/-_= \n", max_size=12))
def test_takes_nothing_else(text: str) -> None:
    if any(base64.b64encode(data).decode() == text for data in decoded_leniently(text)):
        decode(text)
    else:
        with pytest.raises(Base64Error) as caught:
            decode(text)
        assert 0 <= caught.value.offset <= len(text)


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
        ("QQ=", 2, "padding is wrong"),
        ("QUJD=", 4, "padding is wrong"),
        ("QUJD====", 4, "padding is wrong"),
        ("QQ===", 2, "padding is wrong"),
        ("Q===", 1, "padding is wrong"),
        ("====", 0, "padding is wrong"),
        ("QQ==QUJD", 2, "only at the end"),
        ("QQ=Q", 2, "only at the end"),
        ("QU JD", 2, "not in the standard alphabet"),
        ("QUJD\n", 4, "not in the standard alphabet"),
        ("QUJD QUJD", 4, "not in the standard alphabet"),
        ("QU-_", 2, "not in the standard alphabet"),
        ("QUJé", 3, "not in the standard alphabet"),
        ("QUJ\x00", 3, "not in the standard alphabet"),
    ],
)
def test_a_fault_is_named_with_its_offset(text: str, offset: int, why: str) -> None:
    with pytest.raises(Base64Error, match=why) as caught:
        decode(text)
    assert caught.value.offset == offset
