"""The times of files as texts in metadata, in the form of rclone: seconds since 1970, with decimals."""

import re
from datetime import UTC, datetime, timedelta

MODIFIED_AT = "mtime"
"""The name of the metadata with the time of the last write of a file."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TEXT = re.compile(r"(-?+)(\d{1,12}+)(?:\.(\d{1,9}+))?+", re.ASCII)


def time_as_text(time: datetime) -> str:
    """Return a time as it is kept, with six decimals."""
    count = (time - EPOCH) // MICROSECOND
    seconds, rest = divmod(abs(count), 1_000_000)
    return f"{'-' if count < 0 else ''}{seconds}.{rest:06d}"


def time_in_text(text: str) -> datetime | None:
    """Return the time in a text; None if there is none, or if it is out of range."""
    found = TEXT.fullmatch(text)
    if found is None:
        return None
    count = int(found[2]) * 1_000_000 + int((found[3] or "").ljust(6, "0")[:6])
    try:
        return EPOCH + (-count if found[1] else count) * MICROSECOND
    except OverflowError:
        return None
