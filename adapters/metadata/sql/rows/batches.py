"""Lists of values for statements, which take only so many."""

from collections.abc import Iterator, Sequence

# SQLite before 3.32 takes 999 variables, and MariaDB a statement of 4 MiB, in which each byte of an id may take two.
MAX_VALUES = 500


def batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Return lists of up to MAX_VALUES values, in their order."""
    for start in range(0, len(values), MAX_VALUES):
        yield values[start : start + MAX_VALUES]
