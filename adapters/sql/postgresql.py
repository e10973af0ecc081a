"""PostgreSQL over asyncpg."""

from dataclasses import dataclass

import asyncpg
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.sql import migrations
from adapters.sql.engine import EngineDatabase
from application.ports.observer import UNOBSERVED, Observer
from domain.errors import DriveError, Kind

# By SQLSTATE, and by its class where all of a class are alike (PostgreSQL's manual, appendix A).
# What is not here is a fault of our own.
KINDS = {
    "08": Kind.UNAVAILABLE,  # connection exceptions
    "25006": Kind.UNAVAILABLE,  # a read-only replica
    "28": Kind.UNAVAILABLE,  # the role or its password
    "3D": Kind.UNAVAILABLE,  # no such database
    "3F": Kind.UNAVAILABLE,  # no such schema
    "40": Kind.UNAVAILABLE,  # rolled back for the sake of another transaction
    "42501": Kind.UNAVAILABLE,  # the role's rights
    "53": Kind.UNAVAILABLE,  # out of connections or memory
    "53100": Kind.NO_SPACE,
    "55P03": Kind.TIMEOUT,  # a lock
    "57": Kind.UNAVAILABLE,  # an operator stops it, or it is starting up
    "57014": Kind.TIMEOUT,
    "58": Kind.UNAVAILABLE,  # its disk
}
MIGRATION_LOCK = int.from_bytes(b"drivebay", "big")


@dataclass(frozen=True, slots=True)
class PostgresqlConfig:
    """`url` as libpq takes it, `sslmode` included.

    Times are in seconds: to connect, to get a free connection, to get an answer.
    """

    url: str
    connections: int = 10
    connect_timeout: float = 5
    pool_timeout: float = 10
    command_timeout: float = 30


class PostgresqlDatabase(EngineDatabase):
    """A database whose encoding is UTF-8, in the first schema of the role's search path."""

    name = "PostgreSQL"
    errors = (sa.exc.DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError)

    def __init__(self, config: PostgresqlConfig, observer: Observer = UNOBSERVED) -> None:
        url = sa.make_url(config.url).set(drivername="postgresql+asyncpg")
        ssl = {"ssl": url.query["sslmode"]} if "sslmode" in url.query else {}
        engine = create_async_engine(
            url.difference_update_query(["sslmode"]),
            pool_size=config.connections,
            max_overflow=0,
            pool_timeout=config.pool_timeout,
            pool_pre_ping=True,
            connect_args={
                "timeout": config.connect_timeout,
                "command_timeout": config.command_timeout,
                # Else the locks of a client that vanished without a word are held until TCP gives it up: two hours.
                "server_settings": {
                    "idle_in_transaction_session_timeout": f"{config.command_timeout * 1000:.0f}",  # milliseconds
                },
                **ssl,
            },
        )
        super().__init__(engine, readers=engine.execution_options(isolation_level="AUTOCOMMIT"), observer=observer)

    def prepare(self, connection: Connection) -> None:
        encoding = connection.scalar(sa.text("SHOW server_encoding"))
        if encoding != "UTF8":
            detail = f"The database has the encoding {encoding}. Create one with ENCODING 'UTF8'."
            raise DriveError(Kind.UNAVAILABLE, detail, backend="postgresql")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        migrations.upgrade(connection)

    def kind(self, error: BaseException) -> Kind | None:
        if isinstance(error, asyncpg.InterfaceError | AsyncAdapt_asyncpg_dbapi.InterfaceError):
            return Kind.UNAVAILABLE
        state = getattr(error, "sqlstate", None) or ""
        return KINDS.get(state) or KINDS.get(state[:2])
