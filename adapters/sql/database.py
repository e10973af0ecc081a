"""A database that runs functions of a SQLAlchemy connection, whichever driver lies underneath.

So the SQL is written once, synchronously, in SQLAlchemy Core. SQLite runs it in worker threads, PostgreSQL and MariaDB
in greenlets over asyncpg and aiomysql.
"""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, TypeVarTuple

from sqlalchemy import Connection

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Run(Protocol):
    """Runs `function(connection, *args)` off the event loop. Raises BlobError for the faults of the database."""

    async def __call__(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T: ...


class Transaction(Protocol):
    """A transaction under way, in which nobody else writes what it has read for update."""

    @abstractmethod
    async def run(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Run a function in the transaction (see `Run`)."""

    @abstractmethod
    async def commit(self) -> None:
        """Commit, whole even if the caller is cancelled meanwhile. Raises COMMIT_UNKNOWN if the answer was lost."""


class Database(Protocol):
    """A database. To be entered before use: that raises UNAVAILABLE if it can't be used.

    Its `Opening` says what entering does about the tables.
    """

    @abstractmethod
    async def read(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        """Run a function that reads, outside any transaction: each statement sees all that was committed before it."""

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that may write. What was not committed is rolled back when it is left."""

    @abstractmethod
    async def __aenter__(self) -> object: ...

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...
