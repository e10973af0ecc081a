"""Lists of values for statements, which take only so many, and of rows for units, which have only so much time."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

# SQLite before 3.32 takes 999 variables, and MariaDB a statement of 4 MiB, in which each byte of an id may take two.
MAX_VALUES = 500
# Segments that one unit releases, which takes a tenth of a second or a few. SQLite has no other writes meanwhile, and
# on a server a unit that takes too long is rolled back, and would be each time again.
MOST = 10_000


def batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Return lists of up to MAX_VALUES values, in their order."""
    for start in range(0, len(values), MAX_VALUES):
        yield values[start : start + MAX_VALUES]


def few(rows: Sequence[tuple[T, int]]) -> Sequence[T]:
    """Return the first rows, which are given with the numbers of their segments: at least one, and MOST in all."""
    chosen, segments = list[T](), 0
    for row, number in rows:
        segments += number
        if chosen and segments > MOST:
            break
        chosen.append(row)
    return chosen
