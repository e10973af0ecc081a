"""Dates in headers, against the standard library."""

from datetime import UTC, datetime
from email.utils import format_datetime

from hypothesis import example, given
from hypothesis import strategies as st

from entrypoints.http.protocol.fields.header_values import format_date, http_date

dates = st.datetimes(timezones=st.just(UTC), allow_imaginary=False)


@given(dates)
@example(datetime(1, 1, 1, tzinfo=UTC))
@example(datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC))
def test_a_date_is_written_as_the_standard_library_does_and_can_be_read(date: datetime) -> None:
    assert format_date(date) == format_datetime(date, usegmt=True)
    if date.year >= 1000:
        assert http_date(format_date(date)) == date.replace(microsecond=0)
