"""Uploads in a SQL database: objects that are being written."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.database import Run
from adapters.sql.tables import MICROSECOND, UPLOADS, DatabaseNow
from application.ports.metadata import UploadRepository
from domain.blob import Location, ObjectKey


class SqlUploads(UploadRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def add(self, location: Location, lease: timedelta) -> None:
        await self._run(_insert_upload, location, lease)

    async def renew(self, key: ObjectKey, lease: timedelta) -> bool:
        return await self._run(_changes_a_row, _RENEW, {"key": key.value, "lease": lease // MICROSECOND})

    async def remove(self, key: ObjectKey) -> bool:
        return await self._run(_changes_a_row, _REMOVE, {"key": key.value})

    async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
        return await self._run(_delete_expired_uploads, backend, limit)


# Built once, because building a statement costs more than its execution.
_KEY = UPLOADS.c.object_key == sa.bindparam("key")
_EXPIRES_AT = DatabaseNow() + sa.bindparam("lease", type_=sa.BigInteger)
_ADD = sa.insert(UPLOADS).values(
    object_key=sa.bindparam("key"), expires_at=_EXPIRES_AT, backend=sa.bindparam("backend")
)
_RENEW = sa.update(UPLOADS).where(_KEY).values(expires_at=_EXPIRES_AT)
_REMOVE = sa.delete(UPLOADS).where(_KEY)


def _insert_upload(connection: Connection, location: Location, lease: timedelta) -> None:
    values = {"key": location.key.value, "backend": location.backend, "lease": lease // MICROSECOND}
    connection.execute(_ADD, values)


def _delete_expired_uploads(connection: Connection, backend: str, limit: int) -> Sequence[Location]:
    expired = (
        sa.select(UPLOADS.c.backend, UPLOADS.c.object_key)
        .where(UPLOADS.c.backend == backend, UPLOADS.c.expires_at <= DatabaseNow())
        .order_by(UPLOADS.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [Location(row.backend, ObjectKey(row.object_key)) for row in connection.execute(expired)]
    keys = [location.key.value for location in found]
    connection.execute(sa.delete(UPLOADS).where(UPLOADS.c.object_key.in_(keys)))
    return found


def _changes_a_row(connection: Connection, statement: sa.Update | sa.Delete, values: dict[str, Any]) -> bool:
    return connection.execute(statement, values).rowcount == 1
