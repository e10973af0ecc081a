"""Uploads in a SQL database: objects that are being written."""

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.database import Run
from adapters.sql.tables import UPLOADS, DatabaseNow, from_now
from application.ports.metadata import UploadRepository
from domain.blob import Location, ObjectKey


class SqlUploads(UploadRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def add(self, location: Location, lease: timedelta) -> None:
        await self._run(_insert_upload, location, lease)

    async def renew(self, key: ObjectKey, lease: timedelta) -> bool:
        renewed = sa.update(UPLOADS).where(UPLOADS.c.object_key == key.value).values(expires_at=from_now(lease))
        return await self._run(_changes_a_row, renewed)

    async def remove(self, key: ObjectKey) -> bool:
        return await self._run(_changes_a_row, sa.delete(UPLOADS).where(UPLOADS.c.object_key == key.value))

    async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
        return await self._run(_delete_expired_uploads, backend, limit)


def _insert_upload(connection: Connection, location: Location, lease: timedelta) -> None:
    connection.execute(
        sa.insert(UPLOADS).values(object_key=location.key.value, backend=location.backend, expires_at=from_now(lease))
    )


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


def _changes_a_row(connection: Connection, statement: sa.Update | sa.Delete) -> bool:
    return connection.execute(statement).rowcount == 1
