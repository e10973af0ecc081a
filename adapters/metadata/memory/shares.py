"""Share links in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapters.metadata.memory.rows import Tables
from application.ports.shares import ShareRepository
from domain.access import Share


class MemoryShares(ShareRepository):
    def __init__(self, tables: Tables) -> None:
        self._rows = tables.shares

    async def find(self, share_id: str) -> Share | None:
        return self._rows.get(share_id)

    async def after(self, share_id: str, limit: int) -> Sequence[Share]:
        found = [share for share in self._rows.values() if share.id > share_id]
        return sorted(found, key=lambda share: share.id)[:limit]

    async def of_key(self, key_id: str, share_id: str, limit: int) -> Sequence[Share]:
        found = await self.after(share_id, len(self._rows.values()))
        return [share for share in found if share.key_id == key_id][:limit]

    async def add(self, share: Share) -> None:
        self._rows.set(share.id, share)

    async def use(self, share_id: str) -> bool:
        share = self._rows.get(share_id)
        if share is None or (share.max_uses is not None and share.uses >= share.max_uses):
            return False
        self._rows.set(share_id, replace(share, uses=share.uses + 1))
        return True

    async def remove(self, share_id: str) -> bool:
        is_there = self._rows.get(share_id) is not None
        self._rows.set(share_id, None)
        return is_there

    async def remove_expired(self, now: datetime, limit: int) -> int:
        expired = [share.id for share in self._rows.values() if share.expires_at <= now][:limit]
        for share_id in expired:
            self._rows.set(share_id, None)
        return len(expired)
