"""Databases that run functions of a SQLAlchemy connection, independent of the driver.

SQL is written once, synchronously, in SQLAlchemy Core. SQLite runs it in worker threads, PostgreSQL and MariaDB
in greenlets over asyncpg and aiomysql.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar, TypeVarTuple

from sqlalchemy import Connection

from adapters.sql.statement import Statement

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Run(Protocol):
    """Runs `function(connection, *args)`. Raises BlobError for errors of the database."""

    async def __call__(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T: ...


class First(Protocol):
    """Returns the first row that a statement finds: see `Database.first`."""

    async def __call__(self, statement: Statement, values: Mapping[str, Any]) -> Any: ...


class Transaction(Protocol):
    """An open transaction. Other transactions can't change rows that it has read for update."""

    @abstractmethod
    async def run(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Run a function in the transaction (see `Run`)."""

    async def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        """Return the first row that a statement finds, its columns by name, or None. Locks nothing."""
        return await self.run(statement.first, values)

    async def defer(self, statement: Statement, values: Mapping[str, Any]) -> None:
        """Execute a statement, at the latest with the commit. Errors may be raised then."""
        await self.run(statement.count, values)

    @abstractmethod
    async def commit(self) -> None:
        """Commit, even if the caller is cancelled. Raises COMMIT_UNKNOWN if the response was lost."""


class Database(Protocol):
    """A database. Enter the context before use. Raises UNAVAILABLE on entry if it can't be used.

    Its `Opening` determines whether entry migrates or checks the tables.
    """

    concurrency: int = 2
    """How many large reads or writes of one client are quicker at once than one after another."""

    @abstractmethod
    async def read(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Run a function that reads, outside any transaction: each statement sees all earlier commits."""

    async def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        """Return the first row that a statement finds, its columns by name, or None. Reads as `read` does.

        For statements that find their row by a key.
        """
        return await self.read(statement.first, values)

    @abstractmethod
    def transaction(self, *, quick: bool = False, durable: bool = True) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction, which is rolled back on exit unless it was committed.

        The functions of a `quick` one read and write few rows, so a database in this process may run them on the event
        loop.

        The commit of one that is not `durable` may return before it is: the next durable commit makes it so. Until
        then a crash of the server may undo it, and the server may be up again before the caller notices.
        """

    @abstractmethod
    async def __aenter__(self) -> object: ...

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...
