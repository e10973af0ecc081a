"""Uploads in a SQL database: objects that are being written."""

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.database import Transaction
from adapters.sql.statement import Statement
from adapters.sql.tables import MICROSECOND, UPLOADS, DatabaseNow
from application.ports.metadata import UploadRepository
from domain.blob import Location, ObjectKey


class SqlUploads(UploadRepository):
    def __init__(self, transaction: Transaction) -> None:
        self._run = transaction.run
        self._defer = transaction.defer

    async def add(self, location: Location, lease: timedelta) -> None:
        values = {"object_key": location.key.value, "backend": location.backend, "lease": lease // MICROSECOND}
        await self._defer(_INSERT, values)

    async def renew(self, key: ObjectKey, lease: timedelta) -> bool:
        return await self._run(_RENEW.count, {"key": key.value, "lease": lease // MICROSECOND}) == 1

    async def remove(self, key: ObjectKey) -> bool:
        return await self._run(_DELETE.count, {"key": key.value}) == 1

    async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
        return await self._run(_delete_expired_uploads, backend, limit)


_EXPIRY = {UPLOADS.c.expires_at: DatabaseNow() + sa.bindparam("lease", type_=sa.BigInteger)}
_OF_KEY = UPLOADS.c.object_key == sa.bindparam("key")
_INSERT = Statement(sa.insert(UPLOADS).values(_EXPIRY))
_RENEW = Statement(sa.update(UPLOADS).where(_OF_KEY).values(_EXPIRY))
_DELETE = Statement(sa.delete(UPLOADS).where(_OF_KEY))


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
