"""A transaction of SQLite: one of a group."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self, TypeVar, TypeVarTuple

from sqlalchemy import Connection

from adapters.sql.database import Transaction
from adapters.sql.sqlite.writer import CLOSED, Writer
from domain.errors import BlobError, RolledBack, Unavailable

T = TypeVar("T")
Args = TypeVarTuple("Args")

STALL = 0.05  # seconds between two looks at a unit for which others wait


class Unit(Transaction):
    """A transaction in a group. BEGIN IMMEDIATE, or SAVEPOINT, runs together with its first function.

    A `quick` unit runs its functions on the event loop. A unit that pauses while its group waits to commit is rolled
    back: its next call raises ROLLED_BACK.
    """

    def __init__(self, writer: Writer, *, quick: bool, durable: bool) -> None:
        self._writer = writer
        self._is_quick = quick
        self._is_durable = durable
        self._has_begun = False
        self._is_over = False
        self._is_lost = False
        self._is_busy = False
        self._calls = 0
        self._timer: asyncio.TimerHandle | None = None
        self._depends = False  # has read changes that are not durable yet

    async def __aenter__(self) -> Self:
        self._group = await self._writer.enter(quick=self._is_quick)
        self._is_nested = self._group.size > 0
        if self._is_nested:
            self._watch(calls=0)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not self._is_over:
            self._end()
            try:
                await self._roll_back()
            finally:
                self._give_up()
        if self._depends and (error is None or (isinstance(error, BlobError) and not self._is_lost)):
            await self._group.over()
            self._group.raise_rolled_back()

    async def run(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        self._require_turn()
        self._calls += 1

        def call() -> T:
            return function(self._writer.connection, *args)

        try:
            if self._is_quick and self._writer.is_quick and (self._has_begun or self._begin_at_once()):
                return self._writer.run_on_loop(call)
            return await self._run_in_thread(call)
        except BaseException:
            if self._has_begun and not self._writer.is_in_transaction:  # some errors roll back automatically
                self._lose()
            raise

    async def commit(self) -> None:
        self._require_turn()
        if not self._has_begun:
            self._writer.translate(self._writer.verify)
            return
        if self._is_nested:
            self._writer.execute("RELEASE unit")
        self._depends = False
        self._end()
        self._writer.join()
        await self._group.over()
        self._writer.translate(self._group.raise_error)

    def _begin_at_once(self) -> bool:
        return self._writer.run_on_loop(lambda: self._begin(patient=False))

    async def _run_in_thread(self, function: Callable[[], T]) -> T:
        def step() -> T:
            if not self._has_begun:
                self._begin(patient=True)
            return function()

        self._is_busy = True
        try:
            result: T = await self._writer.thread.run(self._writer.translate, step)
        finally:
            self._is_busy = False
        return result

    def _begin(self, *, patient: bool) -> bool:
        if self._is_nested:
            self._writer.execute("SAVEPOINT unit")
            self._has_begun = self._depends = True
            return True
        self._writer.verify()
        self._writer.roll_back()  # an earlier transaction may have failed to
        self._has_begun = True  # even if BEGIN fails
        self._has_begun = self._writer.begin(durable=self._is_durable, patient=patient)
        return self._has_begun

    async def _roll_back(self) -> None:
        if self._has_begun and not self._is_quick and not self._writer.is_closed:
            with suppress(BlobError):  # see `_give_up`
                await self._writer.thread.run(self._writer.translate, self._undo)

    def _undo(self) -> None:
        if self._is_nested:
            self._writer.execute("ROLLBACK TO unit")
            self._writer.execute("RELEASE unit")
        else:
            self._writer.roll_back()
        self._has_begun = False

    def _give_up(self) -> None:
        """Leave without a commit, and without a trace: if the rollback fails, the group can't be committed either."""
        if self._has_begun and not self._writer.is_closed:
            with suppress(BlobError):  # the next transaction rolls back before it begins
                self._writer.translate(self._undo)
        if self._has_begun and self._is_nested and not self._writer.is_closed:
            self._writer.abandon()
        self._writer.leave()

    def _require_turn(self) -> None:
        if self._is_over:
            raise RolledBack("SQLite has rolled back this transaction. Try again.")
        if self._writer.is_closed:
            raise Unavailable(CLOSED)

    def _end(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _lose(self) -> None:
        """Give up: an error has rolled back the whole transaction."""
        self._is_lost = True
        self._end()
        self._writer.abandon()
        self._writer.leave()

    def _watch(self, calls: int, *, idle: bool = False) -> None:
        self._timer = asyncio.get_running_loop().call_later(STALL, self._look, calls, idle)

    def _look(self, calls: int, idle: bool) -> None:
        """Roll the unit back if it made no call since the last two looks. One may come too early on a busy loop."""
        if self._is_busy or self._calls != calls:
            self._watch(self._calls)
        elif not idle:
            self._watch(calls, idle=True)
        else:
            self._is_lost = True
            self._end()
            self._give_up()
