"""MariaDB over aiomysql."""

import asyncio
import math
import ssl
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import aiomysql
import sqlalchemy as sa
from pymysql.constants import CLIENT
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_

from adapters.sql import migrations
from adapters.sql.servers.engine import EngineDatabase
from adapters.sql.servers.tls import Tls
from application.ports.observer import UNOBSERVED, Observer
from application.ports.schema import Opening
from domain.errors import Kind, TimedOut, Unavailable

# By the server's codes, and from 2000 on the client's (MariaDB's list of error codes). Any other error is a bug in
# Drivebay.
KINDS = {
    1020: Kind.ROLLED_BACK,  # a row has changed since it was read
    1021: Kind.NO_SPACE,  # the disk
    1040: Kind.UNAVAILABLE,  # out of connections
    1041: Kind.UNAVAILABLE,  # out of memory
    1044: Kind.UNAVAILABLE,  # the user's rights: in a database,
    1045: Kind.UNAVAILABLE,  # the user or the password
    1049: Kind.UNAVAILABLE,  # no such database
    1053: Kind.UNAVAILABLE,  # it is being shut down
    1114: Kind.NO_SPACE,  # the table
    1129: Kind.UNAVAILABLE,  # this host, after too many errors
    1130: Kind.UNAVAILABLE,  # this host
    1142: Kind.UNAVAILABLE,  # on a table,
    1143: Kind.UNAVAILABLE,  # on a column,
    1203: Kind.UNAVAILABLE,  # out of this user's connections
    1205: Kind.TIMEOUT,  # a lock
    1206: Kind.UNAVAILABLE,  # out of locks
    1213: Kind.ROLLED_BACK,  # a deadlock
    1226: Kind.UNAVAILABLE,  # beyond what the user may use
    1227: Kind.UNAVAILABLE,  # on the server
    1290: Kind.UNAVAILABLE,  # a read-only server
    1317: Kind.UNAVAILABLE,  # an operator stopped the query
    1419: Kind.UNAVAILABLE,  # triggers, by a user without SUPER
    1644: Kind.READ_ONLY,  # its rows are moved to another database: see rows.py
    1665: Kind.UNAVAILABLE,  # its binary log is by statement
    1698: Kind.UNAVAILABLE,  # the user may not come this way
    1792: Kind.UNAVAILABLE,  # a read-only transaction
    1836: Kind.UNAVAILABLE,  # read-only
    1927: Kind.UNAVAILABLE,  # an operator ended the connection
    1969: Kind.TIMEOUT,
    2003: Kind.UNAVAILABLE,  # not reached
    2006: Kind.UNAVAILABLE,  # gone away
    2013: Kind.UNAVAILABLE,  # lost
    2026: Kind.UNAVAILABLE,  # TLS
    3159: Kind.UNAVAILABLE,  # without TLS
    4031: Kind.UNAVAILABLE,  # ended, as it was idle
}
DENIED = 1045
NO_TLS = 2026
TLS_DEMANDED = 3159
RIGHTS = (
    "Grant the user SELECT, INSERT, UPDATE and DELETE on the tables, and, if it is to make them, CREATE, ALTER, INDEX;"
    " for drivebay move-metadata also TRIGGER, CREATE and DROP."
)
HINTS = {
    1040: "Let it have more connections, or use fewer.",
    1044: "Check the name of the database, and grant the user rights in it.",
    1045: "Check the user and the password.",
    1049: "Create it, or set the name of another.",
    1130: "Let the user come from this machine.",
    1142: RIGHTS,
    1143: RIGHTS,
    1290: "Use the server that takes writes.",
    1419: "Set log_bin_trust_function_creators=1 on the server, or grant the user SUPER, until the rows are moved.",
    1698: "Check the user and the password.",
}
# Errors of the driver after a malformed greeting.
MALFORMED = (aiomysql.InternalError, struct.error, LookupError, ValueError, UnboundLocalError)
OLDEST = (10, 6)  # with SKIP LOCKED
SMALLEST_PACKET = 4 * 1024 * 1024  # bytes: a chunk, each byte of which may take two in a statement, and the rest of it
MIGRATION_LOCK = sa.func.concat("drivebay-", sa.func.md5(sa.func.database()))


@dataclass(frozen=True, slots=True)
class MariadbConfig:
    """`url`: mariadb://user:password@host:port/name, with some parameters.

    `unix_socket`: the path of a Unix socket, over which TLS is not used. `sslmode`, `sslrootcert`, `sslcert` and
    `sslkey`: see `Tls`. Without a mode TLS is used if the server offers it; without `sslrootcert`, `verify-ca` and
    `verify-full` trust the authorities of this machine. `connect_timeout`.

    Times are in seconds: to connect, to get a free connection, to get an answer, and until a connection is replaced.
    """

    url: str
    connections: int = 10
    connect_timeout: float = 5
    pool_timeout: float = 10
    command_timeout: float = 30
    max_age: int = 300
    opening: Opening = Opening.MIGRATE


class MariadbDatabase(EngineDatabase):
    """A database on one server. The migration lock does not extend to other servers of a cluster."""

    name = "MariaDB"
    hints = HINTS
    errors = (sa.exc.DBAPIError, aiomysql.Error)
    read_only = frozenset({1290, 1792, 1836})
    concurrency = 3  # large blobs are read faster than with 2, unlike from PostgreSQL

    def __init__(self, config: MariadbConfig, observer: Observer = UNOBSERVED) -> None:
        self._config = config
        url = sa.make_url(config.url).set(drivername="mariadb+aiomysql")
        self._tls = Tls.from_url(url)
        self._unix_socket = url.query.get("unix_socket")
        self._connect_timeout = float(str(url.query.get("connect_timeout", config.connect_timeout)))
        engine = create_async_engine(
            url.set(query={"charset": "utf8mb4"}),
            # Each statement sees all earlier commits, unlike under REPEATABLE READ. And only rows are locked, not the
            # gaps between them, where two inserts of different ids would wait for each other.
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
                # Strict: values that do not fit are refused in any engine. Backslashes escape, as the driver expects.
                "init_command": "SET sql_mode = 'TRADITIONAL', default_storage_engine = InnoDB, sql_notes = 0,"
                f" innodb_lock_wait_timeout = {self._lock_timeout}, lock_wait_timeout = {self._lock_timeout},"
                # Otherwise the locks of a client that vanished are held until TCP times out: two hours.
                f" idle_transaction_timeout = {math.ceil(config.command_timeout)}",
            },
        )
        super().__init__(engine, deadline=config.command_timeout, opening=config.opening, observer=observer)

    @property
    def _lock_timeout(self) -> int:
        """Whole seconds, shorter than the deadline, so that the server times out first."""
        return max(math.ceil(self._config.command_timeout) - 1, 1)

    def examine(self, connection: Connection) -> None:
        _check_server(connection)

    def upgrade(self, connection: Connection) -> None:
        if not connection.scalar(sa.select(sa.func.get_lock(MIGRATION_LOCK, self._lock_timeout))):
            raise TimedOut("Another process prepares the tables of MariaDB, and takes long. Try again later.")
        # After an error, closing the connection releases the lock.
        migrations.upgrade(connection)
        connection.commit()
        connection.execute(sa.select(sa.func.release_lock(MIGRATION_LOCK)))

    def is_open(self, driver: "_Connection") -> bool:
        return driver.is_open

    def switch_autocommit_on(self, adapter: Any) -> None:
        adapter.autocommit(True)

    def begin(self, connection: Connection, durable: bool) -> None:
        connection.begin()
        driver: Any = connection.connection.driver_connection
        await_(driver.begin())

    def kind(self, error: BaseException) -> Kind | None:
        return KINDS.get(self.code(error))

    def code(self, error: BaseException) -> int:
        return error.args[0] if error.args else 0

    def hint(self, error: BaseException) -> str:
        code = self.code(error)
        if code == NO_TLS:
            return "Switch TLS on there, or take ssl-mode out of the URL."
        if code in (DENIED, TLS_DEMANDED) and self._tls.mode == "disable":
            return f"Take ssl-mode out of the URL if it demands TLS. {super().hint(error)}".strip()
        return super().hint(error)

    async def _connect(self, **options: Any) -> aiomysql.Connection:
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await connect(
                    is_required=self._tls.is_required, ssl=self._ssl, unix_socket=self._unix_socket, **options
                )
                try:
                    await self._refuse_read_only(connection)
                except BaseException:
                    connection.close()
                    raise
        except aiomysql.OperationalError as error:
            if isinstance(error.__cause__, OSError):  # more specific than the driver's error
                raise error.__cause__ from None
            raise
        except MALFORMED as error:
            raise Unavailable("The server does not speak MariaDB's protocol. Is this its address?") from error
        return connection

    @cached_property
    def _ssl(self) -> ssl.SSLContext | None:
        return None if self._tls.mode == "disable" or self._unix_socket else self._tls.context()

    async def _refuse_read_only(self, connection: aiomysql.Connection) -> None:
        async with connection.cursor() as cursor:
            await cursor.execute("SELECT @@global.read_only")
            [[read_only]] = await cursor.fetchall()
        if str(read_only).upper() not in ("0", "OFF"):  # newer versions return a word
            raise self.refusal()


class _Connection(aiomysql.Connection):  # type: ignore[misc]
    """The driver's connection, with optional TLS: without it, login fails only if TLS `is_required`."""

    is_required: bool

    @property
    def is_open(self) -> bool:
        return self._reader is not None and not self._reader.eof_received

    async def _request_authentication(self) -> None:
        # Before the login, so that no other server receives the password.
        if "MariaDB" not in self.server_version:
            detail = f"The server is not MariaDB, but {self.server_version}. Only MariaDB is supported."
            raise Unavailable(detail)
        if self.is_required and self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise aiomysql.OperationalError(NO_TLS, "the server offers no TLS")
        await super()._request_authentication()

    def close(self) -> None:
        """Close without waiting: a TLS shutdown would wait for the server."""
        if self._writer:
            self._writer.transport.abort()
        super().close()


async def connect(*, is_required: bool = False, **options: Any) -> aiomysql.Connection:
    """Connect as the driver does, but detect missing TLS before sending the password."""
    connection = _Connection(**options)
    connection.is_required = is_required
    try:
        await connection._connect()
    except BaseException:
        connection.close()  # the driver does not after a cancellation
        raise
    return connection


def _check_server(connection: Connection) -> None:
    version = connection.dialect.server_version_info or ()
    if version < OLDEST:
        raise Unavailable(f"MariaDB is of version {'.'.join(map(str, version))}, and must be 10.6 or newer.")
    packet = connection.scalar(sa.text("SELECT @@max_allowed_packet"))
    if packet < SMALLEST_PACKET:
        raise Unavailable(f"MariaDB's max_allowed_packet is {packet:,} bytes. Set it to {SMALLEST_PACKET:,} or more.")
