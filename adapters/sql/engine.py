"""A database server over SQLAlchemy's asynchronous engine."""

import asyncio
import ssl
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, TypeVar, TypeVarTuple

import sqlalchemy as sa
from sqlalchemy import Connection, ExceptionContext, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.concurrency.shield import run_to_completion
from adapters.error_context import ErrorContext
from adapters.operation_timer import WholeOperationTimer
from adapters.sql import migrations
from adapters.sql.database import Database, Transaction
from adapters.sql.tls import advice
from application.ports.observer import UNOBSERVED, Observer
from application.ports.schema import Opening
from domain.errors import BlobError, CommitUnknown, Kind, TimedOut, Unavailable, error_class

T = TypeVar("T")
Args = TypeVarTuple("Args")


class EngineDatabase(Database):
    """A database server. A subclass makes the engine, prepares the tables, and explains the errors of its driver.

    `name` is the product's name, `errors` are the exceptions of the driver, and `hints` the advice by error code.
    `readers` make connections for single statements. A response may take `deadline` seconds; None leaves the limit to
    the driver. Getting a connection is reported to the observer as an operation, `connect`.

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
        readers: AsyncEngine,
        deadline: float | None = None,
        *,
        opening: Opening = Opening.MIGRATE,
        observer: Observer = UNOBSERVED,
    ) -> None:
        self.context = ErrorContext(self.name.lower())
        self._observer = observer
        self._engine = engine
        self._opening = opening
        self._readers = readers
        self._deadline = deadline
        event.listen(engine.sync_engine, "handle_error", self._abandon_read_only)

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
                if self._opening is Opening.MIGRATE:
                    await transaction.run(self.upgrade)
                    await transaction.commit()
                elif self._opening is Opening.REQUIRE:
                    await transaction.run(migrations.require)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._engine.dispose()

    async def read(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        async with self._connected(self._readers) as connection, self.translate_errors():
            return await connection.run_sync(function, *args)

    @asynccontextmanager
    async def transaction(self, *, quick: bool = False) -> AsyncIterator["_Transaction"]:
        async with self._connected(self._engine) as connection:
            yield _Transaction(self, connection)

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        connection = engine.connect()
        backend = self.name.lower()
        with WholeOperationTimer(self._observer, backend, "connect"):
            async with self.translate_errors():
                await connection.start()
        self._observer.connections(backend, +1)
        try:
            yield connection
        finally:
            self._observer.connections(backend, -1)
            await run_to_completion(self._close(connection))

    async def _close(self, connection: AsyncConnection) -> None:
        """Roll back, and return the connection to the pool. A lost one is discarded: then the server rolls back."""
        with suppress(BlobError):
            async with self.translate_errors():
                await connection.close()

    @asynccontextmanager
    async def translate_errors(self) -> AsyncIterator[None]:
        """Apply the deadline, translate errors of the driver, and add the context to errors."""
        with self.context:
            try:
                async with asyncio.timeout(self._deadline):
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


class _Transaction(Transaction):
    def __init__(self, database: EngineDatabase, connection: AsyncConnection) -> None:
        self._database = database
        self._connection = connection
        self._is_intact = True

    async def run(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        try:
            async with self._database.translate_errors():
                return await self._connection.run_sync(function, *args)
        except (BlobError, sa.exc.DBAPIError) as error:
            # An error of the server may have rolled back the transaction, unlike an error of Drivebay.
            self._is_intact = self._is_intact and isinstance(error, BlobError) and error.__cause__ is None
            raise

    async def commit(self) -> None:
        with self._database.context:
            if not self._is_intact:
                raise Unavailable("The transaction can't be committed: a statement in it failed.")
            try:
                await run_to_completion(self._commit())
            except (Unavailable, TimedOut) as error:
                raise CommitUnknown(error.detail) from error

    async def _commit(self) -> None:
        async with self._database.translate_errors():
            await self._connection.commit()
