"""Expiry: the time at which a blob ends."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from application.clock import utc_now
from domain.blob import Blob
from domain.errors import InvalidExpiry


@dataclass(frozen=True, slots=True)
class Expiry:
    """A blob ends `at` a time in UTC, or so long `after` it was published, by the database's clock; or never."""

    at: datetime | None = None
    after: timedelta | None = None

    def __post_init__(self) -> None:
        if self.at is not None and (self.after is not None or self.at.tzinfo is not UTC):
            raise ValueError(f"a time in UTC, or a duration: {self.at!r}, {self.after!r}")

    def require_future(self, now: Callable[[], datetime] = utc_now) -> None:
        """Raise INVALID_EXPIRY if the blob would end before it begins."""
        if (self.at is not None and self.at <= now()) or (self.after is not None and self.after <= timedelta(0)):
            raise InvalidExpiry


def require_unexpired(published: Blob) -> None:
    """Raise INVALID_EXPIRY if a version has ended before it was published, by the database's clock.

    Its time may have passed while its bytes arrived. Call this in the unit that publishes it: nobody would see this
    version, and the one before it would be gone.
    """
    if published.expires_at is not None and published.expires_at <= published.current_since:
        raise InvalidExpiry


NEVER = Expiry()
