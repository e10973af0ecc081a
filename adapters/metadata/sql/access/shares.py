"""Share links in a SQL database."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.rows.versions import BlobRow
from adapters.sql.database import Run
from adapters.sql.tables import SHARES, DatabaseNow, microseconds_of, time_of
from application.ports.shares import ShareRepository
from domain.access import Action, Share


class SqlShares(ShareRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def find(self, share_id: str) -> Share | None:
        return await self._run(_select, share_id)

    async def after(self, share_id: str, limit: int) -> Sequence[Share]:
        return await self._run(_select_after, share_id, limit)

    async def of_key(self, key_id: str, share_id: str, limit: int) -> Sequence[Share]:
        return await self._run(_select_of_key, key_id, share_id, limit)

    async def add(self, share: Share) -> None:
        await self._run(_insert, share)

    async def use(self, share_id: str) -> bool:
        return await self._run(_use, share_id)

    async def remove(self, share_id: str) -> bool:
        return await self._run(_delete, share_id)

    async def remove_expired(self, now: datetime, limit: int) -> int:
        return await self._run(_delete_expired, now, limit)


def _select(connection: Connection, share_id: str) -> Share | None:
    row = connection.execute(sa.select(SHARES).where(SHARES.c.id == share_id)).one_or_none()
    return None if row is None else _share(row)


def _select_after(connection: Connection, share_id: str, limit: int) -> Sequence[Share]:
    found = sa.select(SHARES).where(SHARES.c.id > share_id).order_by(SHARES.c.id).limit(limit)
    return [_share(row) for row in connection.execute(found)]


def _select_of_key(connection: Connection, key_id: str, share_id: str, limit: int) -> Sequence[Share]:
    of_key = sa.select(SHARES).where(SHARES.c.key_id == key_id, SHARES.c.id > share_id)
    return [_share(row) for row in connection.execute(of_key.order_by(SHARES.c.id).limit(limit))]


def _insert(connection: Connection, share: Share) -> None:
    values = {
        "id": share.id,
        "key_id": share.key_id,
        "action": share.action.value,
        "blob_ids": share.ids,
        "created_at": microseconds_of(share.created_at),
        "expires_at": microseconds_of(share.expires_at),
        "password": share.password or None,
        "max_uses": share.max_uses,
        "uses": share.uses,
        "filename": share.filename,
        "max_bytes": share.max_bytes,
    }
    connection.execute(sa.insert(SHARES).values(values))


def _use(connection: Connection, share_id: str) -> bool:
    has_uses = sa.or_(SHARES.c.max_uses.is_(None), SHARES.c.uses < SHARES.c.max_uses)
    used = sa.update(SHARES).where(SHARES.c.id == share_id, has_uses)
    return connection.execute(used.values(uses=SHARES.c.uses + 1)).rowcount == 1


def _delete(connection: Connection, share_id: str) -> bool:
    return connection.execute(sa.delete(SHARES).where(SHARES.c.id == share_id)).rowcount == 1


def _delete_expired(connection: Connection, now: datetime, limit: int) -> int:
    expired = (
        sa.select(SHARES.c.id)
        .where(SHARES.c.expires_at <= microseconds_of(now), SHARES.c.expires_at <= DatabaseNow())
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = connection.scalars(expired).all()
    if ids:
        connection.execute(sa.delete(SHARES).where(SHARES.c.id.in_(ids)))
    return len(ids)


def _share(row: BlobRow) -> Share:
    return Share(
        row.id,
        row.key_id,
        Action(row.action),
        row.blob_ids,
        time_of(row.created_at),
        time_of(row.expires_at),
        row.password or "",
        row.max_uses,
        row.uses,
        row.filename,
        row.max_bytes,
    )
