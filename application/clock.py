"""The clock of this machine, for texts only. Decisions use the database's clock, or monotonic time."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)
