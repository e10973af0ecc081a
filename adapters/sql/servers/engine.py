"""A database server over SQLAlchemy's asynchronous engine."""

import asyncio
import ssl
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Self, TypeVar, TypeVarTuple

import sqlalchemy as sa
from sqlalchemy import Connection, ExceptionContext, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import greenlet_spawn

from adapters.concurrency.shield import run_to_completion
from adapters.error_context import ErrorContext
from adapters.operation_timer import WholeOperationTimer
from adapters.sql import migrations
from adapters.sql.database import Database, Transaction
from adapters.sql.servers.tls import advice
from adapters.sql.statement import Statement
from application.ports.observer import UNOBSERVED, Observer
from application.ports.schema import Opening
from domain.errors import BlobError, CommitUnknown, Kind, TimedOut, Unavailable, error_class

T = TypeVar("T")
Args = TypeVarTuple("Args")

IDLE = 1.0  # seconds
MIGRATION_DEADLINE = 600.0  # seconds: tables with many rows are copied, or get further indexes


class EngineDatabase(Database):
    """A database server. A subclass makes the engine, prepares the tables, and explains the errors of its driver.

    `name` is the product's name, `errors` are the exceptions of the driver, and `hints` the advice by error code.
    A response may take `deadline` seconds; None leaves the limit to the driver. Getting a connection is reported to the
    observer as an operation, `connect`.

    A pooled connection that the server has closed is not used, and one that was idle for `IDLE` seconds is tried first:
    then all that were made before it are replaced too.

    A read-only server is not used, not even for reads: it may be a standby that lags. A subclass rejects it when it
    connects, and lists in `read_only` the codes by which a server rejects writes later. Any of these codes discards all
    pooled connections, because the address may have moved to another server.
    """

    name: str
    errors: tuple[type[Exception], ...] = (sa.exc.DBAPIError,)
    hints: Mapping[Any, str] = {}
    read_only: frozenset[Any] = frozenset()

    def __init__(
        self,
        engine: AsyncEngine,
        deadline: float | None = None,
        *,
        opening: Opening = Opening.MIGRATE,
        observer: Observer = UNOBSERVED,
    ) -> None:
        self.context = ErrorContext(self.name.lower())
        self._observer = observer
        self._engine = engine
        self._opening = opening
        self._deadline = deadline
        event.listen(engine.sync_engine, "connect", lambda adapter, _: self.switch_autocommit_on(adapter))
        event.listen(engine.sync_engine, "handle_error", self._abandon_read_only)
        event.listen(engine.sync_engine, "checkout", self._refuse_lost)
        event.listen(engine.sync_engine, "checkin", _note_time)

    @abstractmethod
    def examine(self, connection: Connection) -> None:
        """Raise UNAVAILABLE unless the server meets the requirements."""

    @abstractmethod
    def upgrade(self, connection: Connection) -> None:
        """Migrate the tables, one process at a time."""

    @abstractmethod
    def kind(self, error: BaseException) -> Kind | None:
        """Return the kind of an error of the driver, or None for a bug in Drivebay."""

    @abstractmethod
    def code(self, error: BaseException) -> object:
        """Return the server's code of an error."""

    @abstractmethod
    def is_open(self, driver: Any) -> bool:
        """Return whether a connection of the driver is open, as far as is known without asking the server."""

    @abstractmethod
    def switch_autocommit_on(self, adapter: Any) -> None:
        """Let each statement on a new connection be a transaction of its own, unless `begin` has begun one."""

    @abstractmethod
    def begin(self, connection: Connection, durable: bool) -> None:
        """Begin a transaction. A subclass may use that it need not be `durable` at once."""

    def commit(self, connection: Connection, step: Callable[[], object]) -> None:
        """Run the `step` that commits. A subclass raises UNAVAILABLE if the server did not say that this is durable."""
        step()

    def hint(self, error: BaseException) -> str:
        """Return advice about an error of the server, or an empty string."""
        return self.hints.get(self.code(error), "")

    def unreachable(self, error: OSError) -> str:
        """Return the error text for a failed connection, with advice."""
        return f"{self.name} can't be reached: {error}. Is it running, and is this its address?"

    async def __aenter__(self) -> Self:
        try:
            async with self.transaction() as transaction:
                await transaction.run(self.examine)
                is_newest = True
                if self._opening is Opening.MIGRATE:
                    is_newest = await transaction.run(migrations.revision) == migrations.HEAD
                elif self._opening is Opening.REQUIRE:
                    await transaction.run(migrations.require)
            if not is_newest:
                async with self.patience(), self.transaction() as transaction:
                    await transaction.run(self.upgrade)
                    await transaction.commit()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """Give functions the time of a migration. Nothing else runs while the database is opened."""
        usual = self._deadline
        if usual is not None:
            self._deadline = max(usual, MIGRATION_DEADLINE)
        try:
            yield
        finally:
            self._deadline = usual

    async def read(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        def step() -> T:
            connection = self.check_out()
            try:
                return function(connection, *args)
            finally:
                self.check_in(connection)

        return await self.run(step)

    @asynccontextmanager
    async def transaction(self, *, quick: bool = False, durable: bool = True) -> AsyncIterator["_Transaction"]:
        transaction = _Transaction(self, await self.run(self.check_out), durable)
        try:
            yield transaction
        finally:
            with suppress(BlobError):
                await run_to_completion(self.run(transaction.close))

    def is_lost(self, connection: Connection, error: BaseException) -> bool:
        """Whether the first statement has failed on a connection from the pool because that had been lost before."""
        return "idle_since" in connection.info and isinstance(error, self._engine.dialect.loaded_dbapi.Error)

    def check_out(self) -> Connection:
        """Return a connection from the pool."""
        with WholeOperationTimer(self._observer, self.context.backend, "connect"), self._translated_errors():
            connection = self._engine.sync_engine.connect()
        self._observer.connections(self.context.backend, +1)
        return connection

    def check_in(self, connection: Connection) -> None:
        """Return the connection to the pool. A transaction that is open is rolled back first."""
        self._observer.connections(self.context.backend, -1)
        with suppress(*self.errors):  # a lost connection is discarded: then the server rolls back
            connection.close()

    async def run(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """Run a function that may use connections, within the deadline, and translate its errors."""
        with self._translated_errors():
            async with asyncio.timeout(self._deadline):
                return await greenlet_spawn(function, *args)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Translate errors of the driver, and add the context to errors."""
        with self.context:
            try:
                yield
            except self.errors as error:
                if (kind := self._kind(error)) is None:
                    raise self._without_values(error) from None
                original = getattr(error, "orig", None) or error
                detail = f"{self.name} can't be used: {original.args[-1]}"
                if hint := self.hint(original):
                    detail = f"{detail.rstrip('.')}. {hint}"
                raise error_class(kind)(detail) from error
            except (sa.exc.TimeoutError, TimeoutError) as error:
                raise TimedOut(f"{self.name} did not respond in time. Try again later.") from error
            except ssl.SSLCertVerificationError as error:
                why = error.verify_message.rstrip(".")
                detail = f"{self.name} can't be used: its certificate is not good: {why}. {advice(error)}"
                raise Unavailable(detail) from error
            except ssl.SSLError as error:
                detail = f"{self.name} can't be used: TLS failed: {error}. See which versions of TLS it allows."
                raise Unavailable(detail) from error
            except OSError as error:
                raise Unavailable(self.unreachable(error)) from error

    def refusal(self) -> BlobError:
        """Return the error for a server that takes no writes."""
        detail = f"The {self.name} at this address is a standby, or read-only. Use the server that takes writes."
        return Unavailable(detail)

    def _refuse_lost(self, connection: Any, record: ConnectionPoolEntry, _: object) -> None:
        """Refuse a pooled connection that is lost. Asking the server each time would take as long as a read."""
        idle_since = record.info.get("idle_since")
        if idle_since is None:
            return  # it is new
        if not self.is_open(record.driver_connection):
            raise sa.exc.InvalidatePoolError
        if time.monotonic() - idle_since > IDLE:
            try:
                self._engine.dialect.do_ping(connection)
            except self._engine.dialect.loaded_dbapi.Error as error:
                raise sa.exc.InvalidatePoolError from error

    def _abandon_read_only(self, context: ExceptionContext) -> None:
        if isinstance(context.sqlalchemy_exception, sa.exc.DBAPIError):
            context.is_disconnect |= self.code(context.original_exception) in self.read_only

    def _without_values(self, error: Exception) -> Exception:
        """Return the error without the server's text, which would put blob ids into the log."""
        if isinstance(error, sa.exc.DBAPIError) and error.orig:
            error.args = (f"{self.name} refused a statement with the code {self.code(error.orig)}.",)
        return error

    def _kind(self, error: Exception) -> Kind | None:
        if getattr(error, "connection_invalidated", False):
            return Kind.UNAVAILABLE
        return self.kind(getattr(error, "orig", None) or error)


def _note_time(_: object, record: ConnectionPoolEntry) -> None:
    record.info["idle_since"] = time.monotonic()


class _Transaction(Transaction):
    """A transaction that begins with the first function that it runs: the server is asked less often.

    A single statement is a transaction itself. And a read before the beginning finds the same as one after it, because
    each statement sees all earlier commits.
    """

    def __init__(self, database: EngineDatabase, connection: Connection, durable: bool) -> None:
        self._database = database
        self._connection: Connection | None = connection
        self._is_durable = durable
        self._has_begun = False
        self._deferred: list[Callable[[Connection], object]] = []
        self._is_intact = True

    async def run(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        return await self._run(lambda: function(self._begun(), *args))

    async def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        if self._has_begun or self._deferred:
            return await self.run(statement.first, values)
        return await self._run(lambda: statement.first(self._open(), values))

    async def defer(self, statement: Statement, values: Mapping[str, Any]) -> None:
        self._deferred.append(lambda connection: statement.count(connection, values))

    async def commit(self) -> None:
        with self._database.context:
            if not self._is_intact:
                raise Unavailable("The transaction can't be committed: a statement in it failed.")
            try:
                await run_to_completion(self._database.run(self._commit))
            except (Unavailable, TimedOut) as error:
                raise CommitUnknown(error.detail) from error

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._database.check_in(connection)

    async def _run(self, step: Callable[[], T]) -> T:
        try:
            return await self._database.run(step)
        except (BlobError, sa.exc.DBAPIError) as error:
            # An error of the server may have rolled back the transaction, unlike an error of Drivebay.
            self._is_intact = self._is_intact and isinstance(error, BlobError) and error.__cause__ is None
            raise

    def _open(self) -> Connection:
        if self._connection is None:  # an earlier call has failed
            raise Unavailable(f"The connection to {self._database.name} was lost.")
        return self._connection

    def _begun(self) -> Connection:
        """Return the connection, after BEGIN and all that was deferred."""
        if not self._has_begun:
            self._begin()
            self._has_begun = True
        connection = self._open()
        while self._deferred:
            self._deferred.pop(0)(connection)
        return connection

    def _begin(self) -> None:
        """Send BEGIN, on a new connection if that of the pool turns out to be lost."""
        connection = self._open()
        try:
            self._database.begin(connection, self._is_durable)
        except BaseException as error:
            is_lost = self._database.is_lost(connection, error)
            connection.invalidate(error)
            self.close()
            if not is_lost:
                raise
            self._connection = self._database.check_out()
            self._begin()

    def _commit(self) -> None:
        if len(self._deferred) == 1 and not self._has_begun:
            connection, statement = self._open(), self._deferred.pop()
            self._database.commit(connection, lambda: statement(connection))
        elif self._has_begun or self._deferred:
            connection = self._begun()
            self._database.commit(connection, connection.commit)
