"""The clock of this machine, for what people read. Decisions rest on the database's clock, and on monotonic time."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)
