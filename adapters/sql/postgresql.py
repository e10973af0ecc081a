"""PostgreSQL over asyncpg."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Self, TypeVar, TypeVarTuple

import asyncpg
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from adapters.cancellation import to_the_end
from adapters.sql import migrations
from adapters.sql.database import Database, Transaction
from domain.errors import DriveError, Kind

T = TypeVar("T")
Args = TypeVarTuple("Args")

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


class PostgresqlDatabase(Database):
    """A database whose encoding is UTF-8, in the first schema of the role's search path."""

    def __init__(self, config: PostgresqlConfig) -> None:
        url = sa.make_url(config.url).set(drivername="postgresql+asyncpg")
        ssl = {"ssl": url.query["sslmode"]} if "sslmode" in url.query else {}
        self._engine = create_async_engine(
            url.difference_update_query(["sslmode"]),
            pool_size=config.connections,
            max_overflow=0,
            pool_timeout=config.pool_timeout,
            pool_pre_ping=True,
            connect_args={
                "timeout": config.connect_timeout,
                "command_timeout": config.command_timeout,
                **ssl,
            },
        )
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def __aenter__(self) -> Self:
        try:
            async with self.transaction() as transaction:
                await transaction.run(_prepare)
                await transaction.commit()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._engine.dispose()

    async def read(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        with _translating():
            async with self._autocommit.connect() as connection:
                return await connection.run_sync(function, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["_Transaction"]:
        connection = self._engine.connect()
        with _translating():
            await connection.start()
        try:
            yield _Transaction(connection)
        finally:
            await to_the_end(connection.close())


class _Transaction(Transaction):
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def run(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        with _translating():
            return await self._connection.run_sync(function, *args)

    async def commit(self) -> None:
        try:
            with _translating():
                await to_the_end(self._connection.commit())
        except DriveError as error:
            if error.kind not in (Kind.UNAVAILABLE, Kind.TIMEOUT):
                raise
            raise DriveError(Kind.COMMIT_UNKNOWN, error.detail, backend=error.backend) from error


def _prepare(connection: Connection) -> None:
    encoding = connection.scalar(sa.text("SHOW server_encoding"))
    if encoding != "UTF8":
        detail = f"The database has the encoding {encoding}. Create one with ENCODING 'UTF8'."
        raise DriveError(Kind.UNAVAILABLE, detail, backend="postgresql")
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    migrations.upgrade(connection)


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (sa.exc.DBAPIError, asyncpg.PostgresError) as error:
        if (kind := _kind(error)) is None:
            raise
        fault = getattr(error, "orig", None) or error
        raise DriveError(kind, f"PostgreSQL can't be used: {fault}", backend="postgresql") from error
    except (sa.exc.TimeoutError, TimeoutError) as error:
        detail = "PostgreSQL did not answer in time. Try again later."
        raise DriveError(Kind.TIMEOUT, detail, backend="postgresql") from error
    except (OSError, asyncpg.InterfaceError) as error:
        detail = f"PostgreSQL can't be reached: {error}. Is it running, and is this its address?"
        raise DriveError(Kind.UNAVAILABLE, detail, backend="postgresql") from error


def _kind(error: Exception) -> Kind | None:
    if isinstance(error, sa.exc.InterfaceError) or getattr(error, "connection_invalidated", False):
        return Kind.UNAVAILABLE
    state = getattr(getattr(error, "orig", None) or error, "sqlstate", None) or ""
    return KINDS.get(state) or KINDS.get(state[:2])
