"""Buckets in memory."""

from collections.abc import Sequence
from dataclasses import replace

from adapters.metadata.memory.changes import Clock
from adapters.metadata.memory.rows import Tables
from application.ports.buckets import BucketRepository
from domain.buckets import Bucket


class MemoryBuckets(BucketRepository):
    def __init__(self, tables: Tables, now: Clock) -> None:
        self._rows = tables.buckets
        self._now = now

    async def find(self, name: str) -> Bucket | None:
        return self._rows.get(name)

    async def list(self, after: str, limit: int) -> Sequence[Bucket]:
        found = [bucket for bucket in self._rows.values() if bucket.name > after]
        return sorted(found, key=lambda bucket: bucket.name)[:limit]

    async def add(self, bucket: Bucket) -> Bucket | None:
        if self._rows.get(bucket.name) is not None:
            return None
        added = replace(bucket, created_at=self._now())
        self._rows.set(bucket.name, added)
        return added

    async def lock(self, name: str) -> Bucket | None:
        return await self.find(name)  # units take turns

    async def replace(self, bucket: Bucket) -> bool:
        current = self._rows.get(bucket.name)
        if current is None:
            return False
        self._rows.set(bucket.name, replace(current, settings=bucket.settings))
        return True

    async def remove(self, name: str) -> bool:
        is_there = self._rows.get(name) is not None
        self._rows.set(name, None)
        return is_there
