"""The schema of a SQL database."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql import migrations
from adapters.sql.database import Database
from adapters.sql.tables import DatabaseNow, time_of
from application.ports.schema import Revisions, Tables


class SqlTables(Tables):
    """The tables of a database, whose SQLAlchemy `dialect` is `sqlite`, `postgresql` or `mariadb`."""

    def __init__(self, database: Database, dialect: str) -> None:
        self._database = database
        self._dialect = dialect

    async def revisions(self) -> Revisions:
        return await self._database.read(migrations.revisions)

    async def now(self) -> datetime:
        return time_of(await self._database.read(_select_now))

    def sql(self, after: str | None) -> str:
        return migrations.sql(self._dialect, after)


def _select_now(connection: Connection) -> int:
    return connection.scalars(sa.select(DatabaseNow())).one()
