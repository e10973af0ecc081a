"""Storages registered in a SQL database, by their markers."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.database import Run
from adapters.sql.dialects import insert_or_ignore
from adapters.sql.tables import MICROSECOND, STORAGES, DatabaseNow
from application.ports.metadata import KnownStorage, StorageRepository
from domain.blob import ObjectKey


class SqlStorages(StorageRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def add(self, known: KnownStorage) -> bool:
        return await self._run(_insert_storage, known)

    async def replace(self, known: KnownStorage, new: KnownStorage) -> bool:
        return await self._run(_update_storage, known, new, False)

    async def replace_if_due(self, known: KnownStorage, new: KnownStorage) -> bool:
        return await self._run(_update_storage, known, new, True)


def known_storage(connection: Connection, backend: str) -> KnownStorage | None:
    row = connection.execute(sa.select(STORAGES).where(STORAGES.c.backend == backend)).one_or_none()
    if row is None:
        return None
    interval = row.interval * MICROSECOND
    return KnownStorage(
        backend, ObjectKey(row.identity), ObjectKey(row.epoch), interval, _key(row.next_epoch), _key(row.former)
    )


def _key(value: str | None) -> ObjectKey | None:
    return None if value is None else ObjectKey(value)


def _insert_storage(connection: Connection, known: KnownStorage) -> bool:
    row = {"backend": known.backend, "advanced_at": connection.scalar(sa.select(DatabaseNow()))}
    return insert_or_ignore(connection, STORAGES, row | _values(known))


def _update_storage(connection: Connection, known: KnownStorage, new: KnownStorage, if_due: bool) -> bool:
    markers = {name: value for name, value in _values(known).items() if name != "interval"}
    same = [STORAGES.c[name].is_not_distinct_from(value) for name, value in markers.items()]
    change = sa.update(STORAGES).where(STORAGES.c.backend == known.backend, *same)
    values = _values(new)
    if if_due:
        passed = DatabaseNow() - STORAGES.c.advanced_at
        change = change.where(sa.or_(passed >= STORAGES.c.interval, passed < 0))
        values["advanced_at"] = DatabaseNow()
    return connection.execute(change.values(values)).rowcount == 1


def _values(known: KnownStorage) -> dict[str, Any]:
    return {
        "identity": known.identity.value,
        "epoch": known.epoch.value,
        "next_epoch": known.next.value if known.next else None,
        "former": known.former.value if known.former else None,
        "interval": known.interval // MICROSECOND,
    }
