"""SQLite with a write-ahead log: one connection for writes, several reader threads, and a sync at each commit."""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar, TypeVarTuple

import sqlalchemy as sa
from sqlalchemy import Connection, event

from adapters.concurrency.threads import Threads
from adapters.error_context import ErrorContext
from adapters.sql import migrations
from adapters.sql.database import Database, Transaction
from adapters.sql.sqlite.file import SqliteFile
from adapters.sql.sqlite.rows import SqliteRows
from adapters.sql.sqlite.unit import Unit
from adapters.sql.sqlite.writer import Writer, error_code, roll_back
from adapters.sql.statement import Statement
from adapters.sql.tables import REFUSAL
from application.ports.observer import UNOBSERVED, Observer
from application.ports.schema import Opening
from domain.errors import BlobError, Kind, ReadOnly, Unavailable, error_class

T = TypeVar("T")
Args = TypeVarTuple("Args")

# By SQLite's primary result codes. Any other error is a bug in Drivebay.
KINDS = {
    sqlite3.SQLITE_FULL: Kind.NO_SPACE,
    sqlite3.SQLITE_BUSY: Kind.TIMEOUT,
    sqlite3.SQLITE_LOCKED: Kind.TIMEOUT,
    sqlite3.SQLITE_IOERR: Kind.UNAVAILABLE,
    sqlite3.SQLITE_CANTOPEN: Kind.UNAVAILABLE,
    sqlite3.SQLITE_READONLY: Kind.UNAVAILABLE,
    sqlite3.SQLITE_PERM: Kind.UNAVAILABLE,
    sqlite3.SQLITE_CORRUPT: Kind.UNAVAILABLE,
    sqlite3.SQLITE_NOTADB: Kind.UNAVAILABLE,
}
CONTEXT = ErrorContext("sqlite")


@dataclass(frozen=True, slots=True)
class SqliteConfig:
    """`path`: the file, on a local disk. `timeout`: how many seconds a write waits for the writes before it."""

    path: Path
    readers: int = 4
    timeout: float = 30
    opening: Opening = Opening.MIGRATE


def free_bytes(path: Path) -> int:
    """Return the bytes free for the database, on the disk and in the file itself. Raises OSError.

    Opens the file only with SQLite: closing another descriptor would drop the locks of this process.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            inside = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size")]
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
    disk = os.statvfs(path)
    return int(disk.f_bavail * disk.f_frsize + inside[0] * inside[1])


class SqliteDatabase(Database):
    """A file that any number of processes of one machine may use at once.

    There is one connection for transactions, which share their commits. Waiting for it is reported as the operation
    `connect`.

    Raises UNAVAILABLE while the file at the path is missing or replaced: commits to an unlinked file would be lost. It
    works again once the same file is back; another file requires a restart. Only its owner can read the file.
    """

    concurrency = 1  # a second thread would wait for the interpreter's lock

    def __init__(self, config: SqliteConfig, observer: Observer = UNOBSERVED) -> None:
        self._observer = observer
        self._config = config
        self._path = config.path.absolute()
        self.file = SqliteFile(self._path, config.opening)
        self._engine = sa.create_engine(
            "sqlite://",
            creator=self._open,
            isolation_level="AUTOCOMMIT",  # BEGIN and COMMIT are explicit below
            hide_parameters=True,  # in errors, which are logged: blob ids are among them
            poolclass=sa.NullPool,
        )
        event.listen(self._engine, "connect", _set_up)
        self._read_threads = Threads("sqlite-read", config.readers)
        self._write_thread = Threads("sqlite-write", 1)
        self._own = threading.local()
        self._connections: list[Connection] = []
        self._rows: SqliteRows | None = None

    async def __aenter__(self) -> Self:
        self._read_threads.__enter__()
        self._write_thread.__enter__()
        try:
            await self._write_thread.run(self.translate_errors, self._prepare)
            self._writer = Writer(
                self._connection,
                self._write_thread,
                self._config.timeout,
                self.file,
                self.translate_errors,
                self._observer,
            )
        except BaseException:
            await asyncio.to_thread(self._close)
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._writer.close()
        await asyncio.to_thread(self._close)

    async def read(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        return await self._read_threads.run(self.translate_errors, lambda: function(self._reader(), *args))

    async def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        """Read a row in the event loop: a trip to a thread takes ten times as long. If that fails, in a thread."""
        with CONTEXT:
            self.file.verify()
        assert self._rows is not None, "the context was not entered"
        try:
            return self._rows.first(statement, values)
        except sqlite3.Error:
            return await super().first(statement, values)  # waits for what is busy, and explains what is broken

    def transaction(self, *, quick: bool = False, durable: bool = True) -> AbstractAsyncContextManager[Transaction]:
        return Unit(self._writer, quick=quick, durable=durable)

    def translate_errors(self, function: Callable[[], T]) -> T:
        """Run a function, translate errors of SQLite, and add the context to errors."""
        try:
            return function()
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            with CONTEXT:
                self._translate(error)
            raise
        except BlobError:
            with CONTEXT:
                raise

    def _translate(self, error: sa.exc.DBAPIError | sqlite3.Error) -> None:
        """Raise the BlobError that an error of SQLite means, unless it is a bug in Drivebay."""
        reason = getattr(error, "orig", error)
        if str(reason) == REFUSAL:
            raise ReadOnly(REFUSAL) from error
        if (kind := KINDS.get(error_code(error))) is not None:
            detail = f"The database {self._config.path} can't be used: {reason}. Check the file and its folder."
            raise error_class(kind)(detail) from error

    def _prepare(self) -> None:
        self.file.check()
        self._connection = self._connect()
        self.file.record_identity()
        match self._config.opening:
            case Opening.MIGRATE:
                self.file.make_private()
                self._upgrade()
            case Opening.REQUIRE:
                migrations.require(self._connection)
        self._rows = SqliteRows(self._open())

    def _upgrade(self) -> None:
        if self._switch_to_wal() != "wal":
            detail = f"The file system of {self._path.parent} can't hold SQLite's write-ahead log. Use a local disk."
            raise Unavailable(detail)
        # The lock also lets only one process migrate the tables.
        self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            migrations.upgrade(self._connection)
            self._connection.exec_driver_sql("COMMIT")
        except BaseException:
            roll_back(self._connection)
            raise

    def _switch_to_wal(self) -> object:
        """Switch the file to a write-ahead log permanently, and return its journal mode.

        SQLite's busy timeout does not apply to this statement.
        """
        deadline = time.monotonic() + self._config.timeout
        while True:
            try:
                return self._connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar()
            except sa.exc.OperationalError as error:
                if error_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _connect(self) -> Connection:
        connection = self._engine.connect()
        self._connections.append(connection)
        try:
            self.file.verify()
        except BlobError:
            self._connections.remove(connection)
            connection.close()
            raise
        return connection

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file.address, uri=True, timeout=self._config.timeout, check_same_thread=False)

    def _reader(self) -> Connection:
        """Return this thread's connection: a checkout from a pool would cost as much as the query."""
        self.file.verify()
        try:
            connection: Connection = self._own.reader
        except AttributeError:
            connection = self._connect()
            connection.exec_driver_sql("PRAGMA query_only = ON")
            self._own.reader = connection
        return connection

    def _close(self) -> None:
        self._read_threads.__exit__(None, None, None)
        self._write_thread.__exit__(None, None, None)
        try:
            self.file.verify()
        except BlobError:
            self._checkpoint_moved_file()
        if self._rows is not None:
            self._rows.close()
        while self._connections:
            self._connections.pop().close()

    def _checkpoint_moved_file(self) -> None:
        """Checkpoint the log into the file that was moved: SQLite does not do that after a rename.

        Otherwise SQLite would apply the log to the new file at the path.
        """
        with suppress(sa.exc.DBAPIError):
            self._connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _set_up(connection: sqlite3.Connection, _: Any) -> None:
    # With NORMAL a power cut could undo a commit after its consequence, the deletion of an object.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
