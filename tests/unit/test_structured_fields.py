"""Items of Structured Fields (RFC 9651)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.http.protocol.fields.structured_fields import boolean, natural_number

PARAMETERS = [
    "",
    ";a",
    ";a;b",
    "; a=1",
    ";a=-1.5",
    ";a=tok/en:*",
    ';a="b;c\\"\\\\"',
    ";a=:YQ==:",
    ";a=::",
    ";*a-_.9=?1",
]
MALFORMED = [
    *(";", ";;a", ";A", ";1", ";a=", ";a=;b", ';a="', ';a="\\a"', ';a="é"', ";a=:Y:", ";a=?2", ";a=1.", ";a=1.1234"),
    *(" ;a", ";a ;b", ";a=1 ", ", ?1", ";a=(1)", ";a=@1.5", ";a=1e3"),
]


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_what_is_well_formed(parameters: str) -> None:
    assert (boolean(f"?0{parameters}"), boolean(f" ?1{parameters}")) == (False, True)
    for text, number in (("0", 0), ("007", 7), ("-0", 0), ("9" * 15, 10**15 - 1)):
        assert natural_number(text + parameters) == number


@pytest.mark.parametrize("parameters", [each for each in MALFORMED if not each.endswith(" ")])
def test_what_is_malformed(parameters: str) -> None:
    assert (boolean(f"?1{parameters}"), natural_number(f"1{parameters}")) == (None, None)


@pytest.mark.parametrize("value", [None, "", "?", "?2", "true", "1", "? 1", "?1?1", "\t?1", "?1 x"])
def test_what_is_not_a_boolean(value: str | None) -> None:
    assert boolean(value) is None


@pytest.mark.parametrize("value", [None, "", "-1", "+1", "1.0", "1e3", '"1"', "?1", "9" * 16, "١", "1 1", "0x1", "--0"])
def test_what_is_not_a_natural_number(value: str | None) -> None:
    assert natural_number(value) is None


@given(st.text(alphabet='?01;a=":*@.-\\ Y,', max_size=20))
def test_nothing_is_raised(value: str) -> None:
    assert boolean(value) in (None, False, True)
    number = natural_number(value)
    assert number is None or 0 <= number < 10**15
