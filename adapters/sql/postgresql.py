"""PostgreSQL over asyncpg."""

import ssl
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import asyncpg
import sqlalchemy as sa
from asyncpg.exceptions import ClientConfigurationError, TargetServerAttributeNotMatched
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.sql import migrations
from adapters.sql.engine import EngineDatabase
from application.ports.observer import UNOBSERVED, Observer
from application.ports.tables import Opening
from domain.errors import DriveError, Kind

# By SQLSTATE, and by its class where all of a class are alike (PostgreSQL's manual, appendix A).
# What is not here is a fault of our own.
KINDS = {
    "08": Kind.UNAVAILABLE,  # connection exceptions
    "25006": Kind.UNAVAILABLE,  # a read-only replica
    "28": Kind.UNAVAILABLE,  # the role or its password
    "3D": Kind.UNAVAILABLE,  # no such database
    "3F": Kind.UNAVAILABLE,  # no such schema
    "40": Kind.ROLLED_BACK,
    "42501": Kind.UNAVAILABLE,  # the role's rights
    "53": Kind.UNAVAILABLE,  # out of connections or memory
    "53100": Kind.NO_SPACE,
    "55P03": Kind.TIMEOUT,  # a lock
    "57": Kind.UNAVAILABLE,  # an operator stops it, or it is starting up
    "57014": Kind.TIMEOUT,
    "58": Kind.UNAVAILABLE,  # its disk
}
HINTS = {
    "28P01": "Check the user and the password.",
    "28000": "Check the user, and whether the server lets it come from here.",
    "3D000": "Create it, or set the name of another.",
    "3F000": "Create a schema that the role finds.",
    "42501": "Grant the role SELECT, INSERT, UPDATE and DELETE on the tables, and, if it is to make them, CREATE.",
    "25006": "Use the server that takes writes.",
    "53300": "Let it have more connections, or use fewer.",
}
MIGRATION_LOCK = int.from_bytes(b"drivebay", "big")


@dataclass(frozen=True, slots=True)
class PostgresqlConfig:
    """`url` as libpq takes it, with `sslmode` and `sslrootcert`.

    `sslrootcert` is a PEM file with the authorities to trust, or `system` for those of this machine. Without it,
    `verify-ca` and `verify-full` trust those in ~/.postgresql/root.crt, as libpq does.

    Times are in seconds: to connect, to get a free connection, to get an answer, and until a connection is replaced.
    """

    url: str
    connections: int = 10
    connect_timeout: float = 5
    pool_timeout: float = 10
    command_timeout: float = 30
    max_age: int = 300
    opening: Opening = Opening.MIGRATE


class PostgresqlDatabase(EngineDatabase):
    """A database whose encoding is UTF-8, in the first schema of the role's search path."""

    name = "PostgreSQL"
    hints = HINTS
    read_only = frozenset({"25006"})
    errors = (sa.exc.DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError)

    def __init__(self, config: PostgresqlConfig, observer: Observer = UNOBSERVED) -> None:
        url = sa.make_url(config.url).set(drivername="postgresql+asyncpg")
        self._tls_options = url.query
        engine = create_async_engine(
            url.set(query={}),
            hide_parameters=True,  # in errors, which are logged: blob ids are among them
            pool_size=config.connections,
            max_overflow=0,
            pool_timeout=config.pool_timeout,
            pool_pre_ping=True,
            pool_recycle=config.max_age,
            connect_args={
                "async_creator_fn": self._connect,
                "timeout": config.connect_timeout,
                "command_timeout": config.command_timeout,
                # Else the locks of a client that vanished without a word are held until TCP gives it up: two hours.
                "server_settings": {
                    "idle_in_transaction_session_timeout": f"{config.command_timeout * 1000:.0f}",  # milliseconds
                },
            },
        )
        readers = engine.execution_options(isolation_level="AUTOCOMMIT")
        super().__init__(engine, readers=readers, opening=config.opening, observer=observer)

    def examine(self, connection: Connection) -> None:
        encoding = connection.scalar(sa.text("SHOW server_encoding"))
        if encoding != "UTF8":
            detail = f"The database has the encoding {encoding}. Create one with ENCODING 'UTF8'."
            raise DriveError(Kind.UNAVAILABLE, detail, backend="postgresql")

    def upgrade(self, connection: Connection) -> None:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        migrations.upgrade(connection)

    async def _connect(self, **options: Any) -> asyncpg.Connection:
        try:
            # Nothing is asked for it: since version 14 the server says by itself whether it takes writes.
            return await asyncpg.connect(target_session_attrs="read-write", ssl=self._tls, **options)
        except TargetServerAttributeNotMatched:
            raise self.refusal() from None
        except ClientConfigurationError as error:
            detail = f"PostgreSQL can't be used: {error.args[0]}. Set sslrootcert to a PEM file, or to system."
            raise DriveError(Kind.UNAVAILABLE, detail, backend="postgresql") from error

    @cached_property
    def _tls(self) -> Any:
        """The argument `ssl` of asyncpg, which takes a context where it has no name for the authority."""
        mode, authority = (self._tls_options.get(name) for name in ("sslmode", "sslrootcert"))
        if authority is None:
            return mode
        try:
            context = ssl.create_default_context(cafile=None if authority == "system" else str(authority))
        except OSError as error:
            detail = f"The file {authority} that sslrootcert names can't be used: {error}."
            raise DriveError(Kind.UNAVAILABLE, detail, backend="postgresql") from error
        context.check_hostname = mode == "verify-full"
        return context

    def kind(self, error: BaseException) -> Kind | None:
        if isinstance(error, asyncpg.InterfaceError | AsyncAdapt_asyncpg_dbapi.InterfaceError):
            return Kind.UNAVAILABLE
        state = self.code(error)
        return KINDS.get(state) or KINDS.get(state[:2])

    def code(self, error: BaseException) -> str:
        return getattr(error, "sqlstate", None) or ""
