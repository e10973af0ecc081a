"""The port to the rows of share links."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.access import Share


class ShareReader(Protocol):
    """Reads share links outside any unit of work. Each call sees everything committed before it."""

    @abstractmethod
    async def find(self, share_id: str) -> Share | None:
        """Return a share link, or None. It may have expired."""

    @abstractmethod
    async def after(self, share_id: str, limit: int) -> Sequence[Share]:
        """Return up to `limit` share links with ids after `share_id`, in the order of their ids."""

    @abstractmethod
    async def of_key(self, key_id: str, share_id: str, limit: int) -> Sequence[Share]:
        """Return share links as `after` does, but only those that this key has created.

        The cost depends on `limit`, not on the number of share links.
        """


class ShareRepository(ShareReader, Protocol):
    """All share links that are not revoked."""

    @abstractmethod
    async def add(self, share: Share) -> None:
        """Add a share link. Its id is random, and was never used."""

    @abstractmethod
    async def use(self, share_id: str) -> bool:
        """Count one more use. Return False, and count nothing, if it has no use left, or was revoked.

        Of concurrent units that use one link, each sees the outcome of earlier commits.
        """

    @abstractmethod
    async def remove(self, share_id: str) -> bool:
        """Remove a share link. Return False if there is none."""

    @abstractmethod
    async def remove_expired(self, now: datetime, limit: int) -> int:
        """Remove up to `limit` share links that have expired at `now`, and return their number.

        A database for several replicas also judges by its own clock, because that of the caller may be ahead.
        """
