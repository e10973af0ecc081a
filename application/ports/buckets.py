"""The port to the rows of buckets."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from domain.buckets import Bucket


class BucketReader(Protocol):
    """Reads buckets outside any unit of work. Each call sees everything committed before it."""

    @abstractmethod
    async def find(self, name: str) -> Bucket | None:
        """Return a bucket, or None."""

    @abstractmethod
    async def list(self, after: str, limit: int) -> Sequence[Bucket]:
        """Return up to `limit` buckets with names after `after`, in the order of their names' bytes."""


class BucketRepository(BucketReader, Protocol):
    """Buckets, at most one per name."""

    @abstractmethod
    async def add(self, bucket: Bucket) -> Bucket | None:
        """Add a bucket, and return it with its time, which is the database's. Return None if its name is in use.

        Of several concurrent units that add one name, one succeeds, and the others wait for it.
        """

    @abstractmethod
    async def lock(self, name: str) -> Bucket | None:
        """Return a bucket, or None. Until the unit ends, no other one locks, replaces or removes it."""

    @abstractmethod
    async def replace(self, bucket: Bucket) -> bool:
        """Replace the settings of a bucket, and nothing else of it. Return False if there is none.

        The last one wins. To change a part of the settings, call `lock` first and replace what it returned.
        """

    @abstractmethod
    async def remove(self, name: str) -> bool:
        """Remove a bucket. Return False if there is none.

        Of several concurrent units that remove one, one gets True.
        """
