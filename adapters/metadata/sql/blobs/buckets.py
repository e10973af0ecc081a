"""Buckets in a SQL database."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.rows.versions import BlobRow
from adapters.sql.database import Run
from adapters.sql.dialects import insert_and_return
from adapters.sql.tables import BUCKETS, time_of
from application.ports.buckets import BucketRepository
from domain.buckets import DEFAULTS, Bucket, BucketSettings, CorsRule


class SqlBuckets(BucketRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def find(self, name: str) -> Bucket | None:
        return await self._run(_select, name)

    async def list(self, after: str, limit: int) -> Sequence[Bucket]:
        return await self._run(_select_after, after, limit)

    async def add(self, bucket: Bucket) -> Bucket | None:
        return await self._run(_insert, bucket)

    async def lock(self, name: str) -> Bucket | None:
        return await self._run(_lock, name)

    async def replace(self, bucket: Bucket) -> bool:
        return await self._run(_replace, bucket)

    async def remove(self, name: str) -> bool:
        return await self._run(_delete, name)


def _select(connection: Connection, name: str) -> Bucket | None:
    row = connection.execute(sa.select(BUCKETS).where(BUCKETS.c.name == name)).one_or_none()
    return None if row is None else _bucket(row)


def _select_after(connection: Connection, after: str, limit: int) -> Sequence[Bucket]:
    found = sa.select(BUCKETS).where(BUCKETS.c.name > after).order_by(BUCKETS.c.name).limit(limit)
    return [_bucket(row) for row in connection.execute(found)]


def _insert(connection: Connection, bucket: Bucket) -> Bucket | None:
    values = {
        "name": bucket.name,
        "prefix": bucket.prefix,
        "owner": bucket.owner,
        "settings": settings_text(bucket.settings),
    }
    row = insert_and_return(connection, BUCKETS.c.created_at, values)
    return None if row is None else replace(bucket, created_at=time_of(row.created_at))


def _lock(connection: Connection, name: str) -> Bucket | None:
    row = connection.execute(sa.select(BUCKETS).where(BUCKETS.c.name == name).with_for_update()).one_or_none()
    return None if row is None else _bucket(row)


def _replace(connection: Connection, bucket: Bucket) -> bool:
    replaced = sa.update(BUCKETS).where(BUCKETS.c.name == bucket.name)
    return connection.execute(replaced.values(settings=settings_text(bucket.settings))).rowcount == 1


def _delete(connection: Connection, name: str) -> bool:
    return connection.execute(sa.delete(BUCKETS).where(BUCKETS.c.name == name)).rowcount == 1


def _bucket(row: BlobRow) -> Bucket:
    return Bucket(row.name, row.prefix, row.owner, time_of(row.created_at), settings_of(row.settings))


def settings_text(settings: BucketSettings) -> str | None:
    """Return settings as JSON, without defaults; None if there is nothing else."""
    found: dict[str, Any] = {}
    if settings.tags:
        found["tags"] = dict(settings.tags)
    if settings.cors:
        found["cors"] = [*map(_members, settings.cors)]
    for name in ("acl", "location", "blocked"):
        value = getattr(settings, name)
        if value != getattr(DEFAULTS, name):
            found[name] = value
    return json.dumps(found, ensure_ascii=False) if found else None


def _members(rule: CorsRule) -> dict[str, Any]:
    return {name: value for name, value in asdict(rule).items() if value not in (None, "", ())}


def settings_of(text: str | None) -> BucketSettings:
    """Return the settings in a row."""
    if text is None:
        return DEFAULTS
    found: dict[str, Any] = json.loads(text)
    rules = tuple(CorsRule(**{name: _value(value) for name, value in rule.items()}) for rule in found.pop("cors", ()))
    return BucketSettings(cors=rules, **{name: _value(value) for name, value in found.items()})


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
