"""Group commit: concurrent transactions on SQLite share one COMMIT, and so one flush.

Units run one after another on the only connection for writes. A unit that asks to commit waits while the units in the
queue run, each in its own savepoint. Then one COMMIT makes all of them durable, and only then are they acknowledged.
Units that come during a COMMIT form the next group. A single writer waits for nobody.

The COMMIT of a unit that need not be durable is not flushed, so others do not share it. The next flush is for it too.
After a few of them, one is flushed all the same. Only after a flush does SQLite checkpoint a long log: a checkpoint
flushes the log first, and SQLite would ignore an error of that.

A unit sees the changes of its group, which are not durable yet, so it shares the group's fate: if the COMMIT fails,
every unit of the group fails. A unit that ends without a commit is rolled back to its savepoint, and what it has read
is returned only once that is durable.

A COMMIT whose flush fails is rolled back, but its frames stay in the log, and SQLite would apply them after a crash. So
its outcome is reported, and the next unit begins, only after a small commit has overwritten them. That flush was also
for commits that need not be durable, and Linux tries to write them only once (LWN 752063): after a power cut the log
would end there. So first the whole log is written again, from the kernel's cache. Each process does this before its
first change, because the one before it may have been killed at that point.

The statements of quick units run on the event loop: a call in a thread costs more than they do. COMMIT, and waiting for
the lock of another process, happen in a thread.
"""

import asyncio
import resource
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter, sleep
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.concurrency.threads import Threads
from adapters.operation_timer import WholeOperationTimer
from adapters.sql.sqlite.file import SqliteFile
from adapters.sql.sqlite.group import Group
from application.ports.observer import Observer
from domain.errors import BlobError, RolledBack, TimedOut, Unavailable

T = TypeVar("T")

UNFLUSHED = 7  # COMMITs in a row: about as many chunks of objects as make SQLite checkpoint the log
CHECKPOINT = 1000  # pages in the log: SQLite's default
SLOW = 0.005  # seconds: statements that read the disk for longer must not run on the event loop
# Seconds between two attempts to get the lock from another process. SQLite itself waits for up to a tenth of a second:
# then a process whose groups follow each other closely would keep the lock for many of them.
LOCK_POLL = 0.0005
PAUSE = 1.0  # seconds after one of them in which all run in the thread
CLOSED = "The database is closed, because the server stops. Try again."
READER = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)


class Writer:
    """The connection for writes, and the queue for it.

    A unit waits up to `timeout` seconds for the units before it, and as long for locks of other processes. `translate`
    runs a function, and translates its errors.
    """

    def __init__(
        self,
        connection: Connection,
        thread: Threads,
        timeout: float,
        file: SqliteFile,
        translate: Callable[[Callable[[], Any]], Any],
        observer: Observer,
    ) -> None:
        self.connection = connection
        self._driver: Any = connection.connection.dbapi_connection
        self.thread = thread
        self.verify = file.verify
        self.translate = translate
        self._file = file
        self._timeout = timeout
        self._is_durable = True  # each COMMIT on the connection
        self._unflushed = 0  # COMMITs since the last one that was flushed
        self._is_settled = False  # no crash can change the outcome of a COMMIT that failed
        self._observer = observer
        self._is_in_use = False
        self._group = Group()
        self._is_taken = False
        self._queue: deque[_Waiter] = deque()
        self.is_closed = False
        self._quick_from = 0.0
        self._reads = resource.getrusage(READER).ru_inblock
        self.execute("PRAGMA busy_timeout = 0")  # `begin` waits for the lock, which all other statements have

    async def enter(self, *, quick: bool) -> Group:
        """Wait for the connection, and take it for a unit of the group that is returned. Raises TIMEOUT."""
        with WholeOperationTimer(self._observer, "sqlite", "connect"):
            if self._queue or not self._has_place:
                await self._wait(_Waiter(is_quick=quick))
        self._is_taken = True
        self._group.places -= 1
        if not self._is_in_use:
            self._is_in_use = True
            self._observer.connections("sqlite", +1)
        return self._group

    def leave(self) -> None:
        """Give the connection to the next unit, or commit the group if there is none."""
        self._is_taken = False
        self._advance()

    def join(self) -> None:
        """Let the unit that has the connection commit with its group, and leave."""
        if not self._group.size:
            self._group.places = len(self._queue) if self._is_durable else 0
            self._unflushed = 0 if self._is_durable else self._unflushed + 1
        self._group.size += 1
        self.leave()

    def abandon(self) -> None:
        """Roll back the whole group. Its units may be run again."""
        with suppress(BlobError):
            self.translate(self.roll_back)
        group, self._group = self._group, Group()
        group.end(RolledBack("SQLite has rolled back the transaction that this change shared with others."))

    def close(self) -> None:
        """Let no group commit any more, but the one whose COMMIT is running. The connection is closed next."""
        self.is_closed = True
        self._advance()

    @property
    def is_quick(self) -> bool:
        """Whether statements may run on the event loop."""
        return perf_counter() >= self._quick_from

    def run_on_loop(self, function: Callable[[], T]) -> T:
        """Run a quick function on the event loop."""
        began = perf_counter()
        result: T = self.translate(function)
        if (ended := perf_counter()) - began > SLOW and self._has_read_disk():
            self._quick_from = ended + PAUSE
        return result

    def _has_read_disk(self) -> bool:
        """Whether this thread has read the disk since the last call. Otherwise it was slow because others were busy."""
        before, self._reads = self._reads, resource.getrusage(READER).ru_inblock
        return self._reads != before

    def begin(self, *, durable: bool, patient: bool) -> bool:
        """Begin a transaction. If another process has the lock, wait for it if `patient`; otherwise return False."""
        if not self._is_settled:
            if not patient:
                return False
            self._settle()
        return self._begin(durable=durable or self._unflushed == UNFLUSHED, patient=patient)

    def _begin(self, *, durable: bool, patient: bool) -> bool:
        self._set_durable(durable)
        deadline = perf_counter() + self._timeout
        while True:
            try:
                self.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error_code(error) != sqlite3.SQLITE_BUSY or (patient and perf_counter() > deadline):
                    raise
            else:
                return True
            if not patient:
                return False
            sleep(LOCK_POLL)

    def execute(self, statement: str) -> None:
        """Execute a statement of a unit or a group without the overhead of SQLAlchemy."""
        self._driver.execute(statement)

    @property
    def is_in_transaction(self) -> bool:
        return bool(self._driver.in_transaction)

    def roll_back(self) -> None:
        if self.is_in_transaction:
            roll_back(self.connection)

    def _set_durable(self, durable: bool) -> None:
        """Let each COMMIT be flushed, or none. Not possible in a transaction."""
        if durable != self._is_durable:
            self.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT if durable else 0}")
            self._is_durable = durable

    @property
    def _has_place(self) -> bool:
        return not self._is_taken and (not self._group.size or self._group.places > 0)

    async def _wait(self, waiter: "_Waiter") -> None:
        self._queue.append(waiter)
        # Not asyncio.timeout, which costs more than the statements of many units.
        timer = asyncio.get_running_loop().call_later(self._timeout, waiter.give_up)
        try:
            await waiter.woken()
            while not self._has_place:
                await waiter.woken()
        except BaseException:
            self._queue.remove(waiter)
            self._advance()
            raise
        finally:
            timer.cancel()
        self._queue.remove(waiter)

    def _advance(self) -> None:
        """Wake the queue if there is a place, and otherwise commit."""
        if self._is_taken:
            return
        if self.is_closed:  # to close the connection rolls back
            group, self._group = self._group, Group()
            group.end(Unavailable(CLOSED))
        if self._queue and self._has_place:
            if not self._queue[0].is_woken:
                self._wake()
        elif self._group.size:
            self._is_taken = True
            self.thread.start(self._commit, self._committed)
        elif self._is_in_use:
            self._is_in_use = False
            self._observer.connections("sqlite", -1)

    def _wake(self) -> None:
        """Wake the next unit. Quick ones at once: they take their turns within one round of the event loop."""
        for waiter in self._queue:
            waiter.wake()
            if not (waiter.is_quick and self.is_quick):
                break

    def _commit(self) -> None:
        """Commit the group, in the thread."""
        try:
            self.translate(self._commit_file)
            self._group.error = None
        except BaseException as error:  # noqa: BLE001 - raised again in each unit of the group
            self._group.error = error
            self._is_settled = self._group.unknown is None
            with suppress(Exception):  # the next transaction does the same before it begins
                self.translate(self.roll_back)
                if not self._is_settled:
                    self.translate(self._settle)

    def _commit_file(self) -> None:
        self.verify()
        self._group.is_in_doubt = True
        self.execute("COMMIT")
        self.verify()

    def _settle(self) -> None:
        """Make the outcome of a COMMIT that failed final: overwrite its first frame with a commit that changes nothing.

        The checksum of a frame includes those before it, so all other frames of that COMMIT become invalid too. For the
        same reason no frame before it may be missing.
        """
        self.verify()
        self._begin(durable=True, patient=True)
        try:
            self._file.rewrite_log()
            [version] = self._driver.execute("PRAGMA user_version").fetchone()
            # This writes the first page, also if the value is the same.
            self._driver.execute(f"PRAGMA user_version = {version}")
            self._driver.execute("COMMIT")
        finally:
            self.roll_back()
        self._is_settled = True

    def _committed(self) -> None:
        group, self._group = self._group, Group()
        self.leave()  # the next units begin before the clients of this group get their responses
        group.end(group.error)


class _Waiter:
    """A place in the queue for the connection."""

    def __init__(self, *, is_quick: bool) -> None:
        self.is_quick = is_quick
        self._is_late = False
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_woken(self) -> bool:
        return self._future.done()

    def wake(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def give_up(self) -> None:
        self._is_late = True
        self.wake()

    async def woken(self) -> None:
        """Wait until it is woken again. Raises TIMEOUT once it has given up."""
        if self._future.done():
            self._future = asyncio.get_running_loop().create_future()
        if not self._is_late:
            await self._future
        if self._is_late:
            raise TimedOut("Too many writes wait for the database. Try again later.")


def roll_back(connection: Connection) -> None:
    """Roll back the transaction, if one is open: some errors roll back automatically."""
    driver: Any = connection.connection.dbapi_connection
    if driver.in_transaction:
        connection.exec_driver_sql("ROLLBACK")


def error_code(error: sa.exc.DBAPIError | sqlite3.Error) -> int:
    """Return SQLite's primary result code of an error; 0 if there is none."""
    return getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF
