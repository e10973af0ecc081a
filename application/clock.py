"""The clock of this machine, for texts and the expiry of grants. All else uses the database's, or monotonic time."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)
