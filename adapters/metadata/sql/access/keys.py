"""Keys in a SQL database."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.access.balance import Balance
from adapters.metadata.sql.rows.versions import BlobRow
from adapters.sql.database import Run
from adapters.sql.tables import KEYS, microseconds_of, time_of
from application.ports.keys import KeyRepository
from domain.access import UNLIMITED, AccessKey, Action, Limits


class SqlKeys(KeyRepository):
    def __init__(self, run: Run, balance: Balance) -> None:
        self._run = run
        self._balance = balance

    async def find(self, key_id: str) -> AccessKey | None:
        return await self._run(_select, key_id)

    async def after(self, key_id: str, limit: int) -> Sequence[AccessKey]:
        return await self._run(_select_after, key_id, limit)

    async def add(self, key: AccessKey) -> None:
        await self._run(_insert, key)

    async def replace(self, former: AccessKey, new: AccessKey) -> bool:
        return await self._run(_replace, former, new)

    async def remove(self, key_id: str) -> bool:
        return await self._run(_delete, key_id)

    async def charge(self, key_id: str, size: int) -> bool:
        stored = self._balance[key_id] + size
        if not await self._run(_fits, key_id, stored):
            return False
        self._balance[key_id] = stored
        return True

    async def record_use(self, key_ids: Sequence[str], used_at: datetime) -> None:
        await self._run(_record_use, key_ids, used_at)


def _select(connection: Connection, key_id: str) -> AccessKey | None:
    row = connection.execute(sa.select(KEYS).where(KEYS.c.id == key_id)).one_or_none()
    return None if row is None else _key(row)


def _select_after(connection: Connection, key_id: str, limit: int) -> Sequence[AccessKey]:
    found = sa.select(KEYS).where(KEYS.c.id > key_id).order_by(KEYS.c.id).limit(limit)
    return [_key(row) for row in connection.execute(found)]


def _insert(connection: Connection, key: AccessKey) -> None:
    counted = {"used_at": _microseconds(key.used_at), "stored_bytes": key.stored_bytes}
    connection.execute(sa.insert(KEYS).values(_values(key) | counted))


def _replace(connection: Connection, former: AccessKey, new: AccessKey) -> bool:
    replaced = sa.update(KEYS).where(KEYS.c.id == former.id, KEYS.c.generation == former.generation)
    return connection.execute(replaced.values(_values(new))).rowcount == 1


def _delete(connection: Connection, key_id: str) -> bool:
    return connection.execute(sa.delete(KEYS).where(KEYS.c.id == key_id)).rowcount == 1


def _fits(connection: Connection, key_id: str, size: int) -> bool:
    """Return whether so many bytes fit into the quota now. Without a lock, so only the end of the unit decides."""
    fits = sa.select(KEYS.c.id).where(KEYS.c.id == key_id, KEYS.c.stored_bytes + size <= KEYS.c.quota_bytes)
    return connection.execute(fits).one_or_none() is not None


def _record_use(connection: Connection, key_ids: Sequence[str], used_at: datetime) -> None:
    # In one order, so that two units never wait for each other.
    for key_id in sorted(key_ids):
        is_later = sa.or_(KEYS.c.used_at.is_(None), KEYS.c.used_at < microseconds_of(used_at))
        used = sa.update(KEYS).where(KEYS.c.id == key_id, is_later)
        connection.execute(used.values(used_at=microseconds_of(used_at)))


def _values(key: AccessKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "actions": ",".join(action.value for action in Action if action in key.actions),
        "prefixes": json.dumps(key.prefixes),
        "created_at": microseconds_of(key.created_at),
        "expires_at": _microseconds(key.expires_at),
        "generation": key.generation,
        "former_until": _microseconds(key.former_until),
        "master": key.master,
        "requests_per_second": key.limits.requests_per_second,
        "max_blob_bytes": key.limits.max_blob_bytes,
        "quota_bytes": key.limits.quota_bytes,
    }


def _key(row: BlobRow) -> AccessKey:
    return AccessKey(
        row.id,
        row.name,
        frozenset(Action(action) for action in row.actions.split(",")),
        tuple(json.loads(row.prefixes)),
        time_of(row.created_at),
        _time(row.expires_at),
        row.generation,
        _time(row.former_until),
        _time(row.used_at),
        row.master,
        _limits(row),
        row.stored_bytes,
    )


def _limits(row: BlobRow) -> Limits:
    limits = Limits(row.requests_per_second, row.max_blob_bytes, row.quota_bytes)
    return UNLIMITED if limits == UNLIMITED else limits


def _microseconds(time: datetime | None) -> int | None:
    return None if time is None else microseconds_of(time)


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else time_of(microseconds)
