"""Small objects in a SQL database: rows of the storage in adapters/storage/database.py."""

from sqlalchemy import Connection

from adapters.sql.database import Run
from adapters.sql.dialects import insert_or_ignore
from adapters.sql.tables import CHUNKS
from application.ports.metadata import ObjectRepository
from domain.blob import ObjectKey


class SqlObjects(ObjectRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def add(self, key: ObjectKey, data: bytes) -> bool:
        return await self._run(_insert_object, key, data)


def _insert_object(connection: Connection, key: ObjectKey, data: bytes) -> bool:
    """Insert an object of one chunk."""
    return insert_or_ignore(connection, CHUNKS, {"object_key": key.value, "seq": 0, "data": data})
