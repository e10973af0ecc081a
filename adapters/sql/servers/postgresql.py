"""PostgreSQL over asyncpg."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from asyncpg.exceptions import ClientConfigurationError
from sqlalchemy import Connection, Dialect, event
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_

from adapters.sql import migrations
from adapters.sql.servers.engine import MIGRATION_DEADLINE, EngineDatabase
from adapters.sql.servers.tls import Tls
from adapters.sql.tables import REFUSED
from application.ports.observer import UNOBSERVED, Observer
from application.ports.schema import Opening
from domain.errors import Kind, Unavailable

# By SQLSTATE, or by its class (PostgreSQL's manual, appendix A). Any other error is a bug in Drivebay.
KINDS = {
    "08": Kind.UNAVAILABLE,  # connection exceptions
    "25006": Kind.UNAVAILABLE,  # a read-only replica
    "28": Kind.UNAVAILABLE,  # the role or its password
    "3D": Kind.UNAVAILABLE,  # no such database
    "3F": Kind.UNAVAILABLE,  # no such schema
    "40": Kind.ROLLED_BACK,
    "40003": Kind.UNAVAILABLE,  # the outcome is unknown, so it must not be repeated as if it were rolled back
    "42501": Kind.UNAVAILABLE,  # the role's rights
    "53": Kind.UNAVAILABLE,  # out of connections or memory
    "53100": Kind.NO_SPACE,
    "55P03": Kind.TIMEOUT,  # a lock
    "57": Kind.UNAVAILABLE,  # an operator stops it, or it is starting up
    "57014": Kind.TIMEOUT,
    "58": Kind.UNAVAILABLE,  # its disk
    REFUSED: Kind.READ_ONLY,  # its rows are moved to another database
}
HINTS = {
    "08P01": "If there is a pooler in between, see its log, and check the user and the password.",
    "28P01": "Check the user and the password.",
    "28000": "Check the user, and whether the server lets it come from here.",
    "3D000": "Create it, or set the name of another.",
    "3F000": "Create a schema that the role finds.",
    "42501": "Grant the role SELECT, INSERT, UPDATE and DELETE on the tables, and, if it is to make them, CREATE.",
    "25006": "Use the server that takes writes.",
    "53300": "Let it have more connections, or use fewer.",
}
# The result is a number of rows: a simple query returns nothing else, and a second message may reach another session of
# a pooler. 1 stands for a read-only server, 2 for another server process than `pid`.
SESSION_FACTS = (
    "SELECT FROM generate_series(1,"
    " current_setting('transaction_read_only')::bool::int + 2 * (pg_backend_pid() <> {pid})::int)"
)
# Clients of a pooler share sessions, so names of prepared statements would collide or be missing.
UNNAMED = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
NOT_DURABLE = "SET LOCAL synchronous_commit = off;"
NO_TLS = "rejected SSL upgrade"  # in asyncpg's error
MIGRATION_LOCK = int.from_bytes(b"drivebay", "big")


@dataclass(frozen=True, slots=True)
class PostgresqlConfig:
    """`url`: postgresql://user:password@host:port/name, with some of libpq's parameters.

    `host`: the folder of a Unix socket, with its `port`. `sslmode`, `sslrootcert`, `sslcert` and `sslkey`: see `Tls`.
    Without `sslrootcert`, `verify-ca` and `verify-full` trust the authorities in ~/.postgresql/root.crt, as libpq does,
    and where that is missing those of this machine. `application_name`, `connect_timeout`; `pgbouncer=true`: a pooler
    passes the connections on, even if it does not look like one.

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
    """A database whose encoding is UTF-8, in the first schema of the role's search path.

    A pooler (PgBouncer) may run each transaction in another session. So sessions have no state: parameters and locks
    belong to transactions, and behind a pooler prepared statements have no names.
    """

    name = "PostgreSQL"
    hints = HINTS
    read_only = frozenset({"25006"})
    errors = (sa.exc.DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError)

    def __init__(self, config: PostgresqlConfig, observer: Observer = UNOBSERVED) -> None:
        url = sa.make_url(config.url).set(drivername="postgresql+asyncpg")
        self._tls = Tls.from_url(url)
        self._is_pooled = url.query.get("pgbouncer") == "true"
        self._command_timeout = config.command_timeout
        engine = create_async_engine(
            url.set(query={name: value for name, value in url.query.items() if name in ("host", "port")}),
            # Each statement sees all earlier commits, whatever the default of the role is. It is a part of BEGIN.
            isolation_level="READ COMMITTED",
            hide_parameters=True,  # in errors, which are logged: blob ids are among them
            pool_size=config.connections,
            max_overflow=0,
            pool_timeout=config.pool_timeout,
            pool_use_lifo=True,
            pool_reset_on_return=None,
            pool_recycle=config.max_age,
            connect_args={
                "async_creator_fn": self._connect,
                "timeout": float(str(url.query.get("connect_timeout", config.connect_timeout))),
                "connection_class": connection_class(config.command_timeout),
                "server_settings": {
                    name: str(value) for name, value in url.query.items() if name == "application_name"
                },
            },
        )
        event.listen(engine.sync_engine, "do_connect", self._connect_for_pooler)
        super().__init__(engine, opening=config.opening, observer=observer)

    def examine(self, connection: Connection) -> None:
        encoding = connection.scalar(sa.text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise Unavailable(f"The database has the encoding {encoding}. Create one with ENCODING 'UTF8'.")

    def upgrade(self, connection: Connection) -> None:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        migrations.upgrade(connection)

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        # The driver sets the limit when it connects.
        usual = self._command_timeout
        self._command_timeout = max(usual, MIGRATION_DEADLINE)
        await self._engine.dispose()
        try:
            yield
        finally:
            self._command_timeout = usual
            await self._engine.dispose()

    def is_open(self, driver: Any) -> bool:
        return not driver.is_closed()

    def switch_autocommit_on(self, adapter: Any) -> None:
        # Safe behind a pooler: asyncpg prepares and executes a statement without a Sync in between, so both reach the
        # same session.
        adapter.autocommit = True

    def begin(self, connection: Connection, durable: bool) -> None:
        driver: Any = connection.connection.driver_connection
        driver.is_durable = durable
        connection.begin()
        adapter: Any = connection.connection.dbapi_connection
        adapter.autocommit = False
        try:
            await_(adapter._start_transaction())
        finally:
            adapter.autocommit = True

    def commit(self, connection: Connection, step: Callable[[], object]) -> None:
        """Commit. An operator (pg_cancel_backend) can end the wait for the synchronous standbys.

        PostgreSQL warns of that, and responds as to any commit.
        """
        driver: Any = connection.connection.driver_connection
        driver.has_warned = False
        step()
        if driver.has_warned:
            raise Unavailable("PostgreSQL warned that the commit may not be on the synchronous standbys.")

    def _connect_for_pooler(self, dialect: Dialect, _: object, arguments: Any, options: dict[str, Any]) -> Any:
        """Connect. If that detects a pooler, connect again without named statements."""
        was_pooled = self._is_pooled
        connection = dialect.connect(*arguments, **options, **(UNNAMED if was_pooled else {}))
        if was_pooled is self._is_pooled:
            return connection
        connection.close()
        return dialect.connect(*arguments, **options, **UNNAMED)

    async def _connect(self, **options: Any) -> asyncpg.Connection:
        try:
            connection = await asyncpg.connect(ssl=self._ssl, command_timeout=self._command_timeout, **options)
        except ClientConfigurationError as error:
            raise Unavailable(f"PostgreSQL can't be used: {error.args[0]}.") from error
        connection.add_log_listener(_note_warning)
        try:
            await self._examine_session(connection, options["timeout"])
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _examine_session(self, connection: asyncpg.Connection, timeout: float) -> None:
        """Reject a standby, and detect a pooler: another server process than that of the session responds."""
        facts = await connection.execute(SESSION_FACTS.format(pid=connection.get_server_pid()), timeout=timeout)
        is_pooled, is_read_only = divmod(int(facts.split()[-1]), 2)
        if is_read_only:
            raise self.refusal()
        self._is_pooled = self._is_pooled or bool(is_pooled)

    @cached_property
    def _ssl(self) -> Any:
        """The argument `ssl` of asyncpg: a context, or a mode that asyncpg handles."""
        tls = self._tls
        if not tls.is_required:
            return tls.mode  # asyncpg falls back to no TLS
        if tls.authority is None and tls.certificate is None and (tls.mode == "require" or _has_own_authority()):
            return tls.mode  # asyncpg reads libpq's files in the home folder
        return replace(tls, authority=tls.authority or ("system" if tls.mode != "require" else None)).context()

    def kind(self, error: BaseException) -> Kind | None:
        if isinstance(error, asyncpg.InterfaceError | AsyncAdapt_asyncpg_dbapi.InterfaceError):
            return Kind.UNAVAILABLE
        state = self.code(error)
        return KINDS.get(state) or KINDS.get(state[:2])

    def code(self, error: BaseException) -> str:
        return getattr(error, "sqlstate", None) or ""

    def hint(self, error: BaseException) -> str:
        if self.code(error) == "28000" and self._tls.mode == "disable":
            return "Take sslmode=disable out of the URL if it demands TLS. Otherwise see who may log in from here."
        return super().hint(error)

    def unreachable(self, error: OSError) -> str:
        if NO_TLS in str(error):
            return "PostgreSQL can't be used: it offers no TLS. Switch that on there, or take sslmode out of the URL."
        return super().unreachable(error)


def connection_class(idle_timeout: float) -> type[asyncpg.Connection]:
    """Return a subclass of asyncpg's connection that works behind a pooler.

    Its commits return before they are durable while `is_durable` is not set. `has_warned`: the server has sent a
    warning. The server ends a transaction that is idle for `idle_timeout` seconds. Otherwise the locks of a client that
    vanished would be held until TCP times out: two hours.
    """
    limit = f"SET LOCAL idle_in_transaction_session_timeout = {idle_timeout * 1000:.0f};"  # milliseconds

    class Connection(asyncpg.Connection):  # type: ignore[misc]
        __slots__ = ("has_warned", "is_durable")

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.is_durable = True
            self.has_warned = False

        async def execute(self, query: str, *args: Any, **options: Any) -> Any:
            # In one message with BEGIN: a pooler rejects it as a startup parameter, and a session parameter would
            # affect other clients.
            if query.startswith("BEGIN"):
                query += limit if self.is_durable else limit + NOT_DURABLE
            return await super().execute(query, *args, **options)

    return Connection


def _note_warning(connection: Any, message: asyncpg.PostgresLogMessage) -> None:
    """Note a warning, before the caller goes on that waits for the response that follows it."""
    connection.has_warned = connection.has_warned or message.severity_en == "WARNING"


def _has_own_authority() -> bool:
    return "PGSSLROOTCERT" in os.environ or Path("~/.postgresql/root.crt").expanduser().exists()
