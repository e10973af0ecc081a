"""Buckets and their names."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain.buckets import RESERVED, Bucket, check_bucket_name
from domain.errors import BlobError, Kind

AT = datetime(2023, 10, 27, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        *("abc", "a" * 63, "000", "1a2", "my-bucket", "a--b", "a.b", "a.b.c", "docs1", "metrics.x"),
        # Numbers that are no address.
        *("1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.x", "192-168-5-4"),
        *("xn-a", "sthree", "s3alias", "v1v", "health-live"),
    ],
)
def test_names_that_s3_allows(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "a", "ab", "a" * 64, "v1", "s"),
        *("Abc", "aBc", "a_b", "a b", "a/b", "é" * 3, "abc\n", "a\x00b", "٣٣٣", "a%b"),
        *("-ab", "ab-", ".ab", "ab.", "a..b", "a.-b", "a-.b"),
        *("192.168.5.4", "10.0.0.1", "255.255.255.255"),
    ],
)
def test_other_names(name: str) -> None:
    with pytest.raises(BlobError, match="3 to 63 lower-case letters") as caught:
        check_bucket_name(name)
    assert caught.value.kind is Kind.INVALID_BUCKET_NAME


@pytest.mark.parametrize(
    "name",
    [
        *sorted(RESERVED),
        *("xn--a", "sthree-a", "sthree-configurator", "amzn-s3-demo-a"),
        *("a-s3alias", "a--ol-s3", "a.mrap", "a--x-s3"),
    ],
)
def test_reserved_names(name: str) -> None:
    with pytest.raises(BlobError, match=f"The name {name} is reserved") as caught:
        check_bucket_name(name)
    assert caught.value.kind is Kind.INVALID_BUCKET_NAME


def test_the_time_is_in_utc() -> None:
    assert Bucket("films", "films/", "", AT).created_at == AT
    with pytest.raises(ValueError, match="is in UTC"):
        Bucket("films", "films/", "", AT.astimezone(timezone(timedelta(hours=1))))
