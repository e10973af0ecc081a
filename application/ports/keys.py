"""The port to the rows of keys."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.access import AccessKey


class KeyReader(Protocol):
    """Reads keys outside any unit of work. Each call sees everything committed before it."""

    @abstractmethod
    async def find(self, key_id: str) -> AccessKey | None:
        """Return a key, or None."""

    @abstractmethod
    async def after(self, key_id: str, limit: int) -> Sequence[AccessKey]:
        """Return up to `limit` keys with ids after `key_id`, in the order of their ids."""


class KeyRepository(KeyReader, Protocol):
    """All keys that are not revoked, also expired ones."""

    @abstractmethod
    async def add(self, key: AccessKey) -> None:
        """Add a key. Its id is random, and was never used."""

    @abstractmethod
    async def replace(self, former: AccessKey, new: AccessKey) -> bool:
        """Replace a key by its next generation. Return False if it has another generation by now, or is revoked.

        The bytes stored and the time of the last use stay as they are. Of several concurrent units that replace one
        generation, one succeeds.
        """

    @abstractmethod
    async def remove(self, key_id: str) -> bool:
        """Remove a key. Return False if there is none."""

    @abstractmethod
    async def charge(self, key_id: str, size: int) -> bool:
        """Count `size` bytes more against the quota of a key. Return False if they do not fit, or the key is revoked.

        The commit decides: it raises QUOTA_EXCEEDED if concurrent units have used up the quota. Versions that go to
        the trash are no longer counted (see `TrashRepository`), in this unit from then on.
        """

    @abstractmethod
    async def record_use(self, key_ids: Sequence[str], used_at: datetime) -> None:
        """Record that keys were used. Ids of revoked keys are ignored, and no recorded time becomes earlier."""
