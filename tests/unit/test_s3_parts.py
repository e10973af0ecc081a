"""The sizes of the parts of uploads to S3, at the limits of S3."""

import pytest

from adapters.storage.s3.part_sizes import LARGEST_OBJECT, PART, PARTS, PartSizes
from domain.errors import BlobError, Kind

GIB = 1024**3
EQUAL = PARTS * PART  # bytes that equal parts hold


def sizes(parts: PartSizes) -> list[int]:
    found: list[int] = []
    with pytest.raises(BlobError) as caught:
        found.extend(iter(parts))
    assert caught.value.kind is Kind.TOO_LARGE
    return found


@pytest.mark.parametrize("total", [1, PART, 5 * GIB, EQUAL, EQUAL + 1, 53_000_000_000, 1024 * GIB, LARGEST_OBJECT])
def test_the_parts_hold_the_largest_blob_within_the_limits_of_s3(total: int) -> None:
    found = sizes(PartSizes(total))
    assert len(found) == PARTS
    assert sum(found) >= total
    assert found == sorted(found)
    assert found[0] == PART
    assert found[-1] <= 5 * GIB


def test_parts_are_equal_where_that_is_enough() -> None:
    assert set(sizes(PartSizes(EQUAL))) == {PART}


@pytest.mark.parametrize("total", [1, EQUAL, EQUAL + 1, 1024 * GIB, LARGEST_OBJECT])
def test_equal_parts_hold_the_largest_blob_too(total: int) -> None:
    [size] = set(sizes(PartSizes(total).in_equal_parts))
    assert max(total, EQUAL) <= PARTS * size < max(total, EQUAL) + PARTS


def test_the_first_parts_are_small_whatever_the_limit() -> None:
    assert set(sizes(PartSizes(LARGEST_OBJECT))[:1000]) == {PART}


@pytest.mark.parametrize(
    ("total", "position", "most"),
    [
        (100 * GIB, 100 * GIB, 17),
        (1024 * GIB, 1024 * GIB, 227),
        (LARGEST_OBJECT, LARGEST_OBJECT, 1159),
        (LARGEST_OBJECT, 5000 * 1024**2, 5),
        (LARGEST_OBJECT, 53_000_000_000, 109),
    ],
)
def test_the_memory_of_an_upload_is_bounded(total: int, position: int, most: int) -> None:
    """The part in which a position is, in MiB."""
    end = 0
    for size in sizes(PartSizes(total)):
        end += size
        if end >= position:
            break
    assert size <= most * 1024**2
