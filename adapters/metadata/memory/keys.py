"""Keys in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapters.metadata.memory.rows import Tables
from application.ports.keys import KeyRepository
from domain.access import AccessKey


class MemoryKeys(KeyRepository):
    def __init__(self, tables: Tables) -> None:
        self._rows = tables.keys

    async def find(self, key_id: str) -> AccessKey | None:
        return self._rows.get(key_id)

    async def after(self, key_id: str, limit: int) -> Sequence[AccessKey]:
        found = [key for key in self._rows.values() if key.id > key_id]
        return sorted(found, key=lambda key: key.id)[:limit]

    async def add(self, key: AccessKey) -> None:
        self._rows.set(key.id, key)

    async def replace(self, former: AccessKey, new: AccessKey) -> bool:
        current = self._rows.get(former.id)
        if current is None or current.generation != former.generation:
            return False
        self._rows.set(former.id, replace(new, used_at=current.used_at, stored_bytes=current.stored_bytes))
        return True

    async def remove(self, key_id: str) -> bool:
        is_there = self._rows.get(key_id) is not None
        self._rows.set(key_id, None)
        return is_there

    async def charge(self, key_id: str, size: int) -> bool:
        key = self._rows.get(key_id)
        if key is None or key.stored_bytes + size > (key.limits.quota_bytes or 0):
            return False
        self._rows.set(key_id, replace(key, stored_bytes=key.stored_bytes + size))
        return True

    async def record_use(self, key_ids: Sequence[str], used_at: datetime) -> None:
        for key_id in key_ids:
            key = self._rows.get(key_id)
            if key is not None and (key.used_at is None or key.used_at < used_at):
                self._rows.set(key_id, replace(key, used_at=used_at))
