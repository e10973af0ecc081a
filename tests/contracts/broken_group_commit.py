"""Group commits that are broken on purpose, with the case that catches each."""

import asyncio
from typing import Self

from adapters.sql.sqlite.database import SqliteDatabase
from adapters.sql.sqlite.group import Group
from adapters.sql.sqlite.unit import Unit as SqliteUnit
from adapters.sql.sqlite.writer import Writer as SqliteWriter
from adapters.sql.sqlite.writer import _Waiter
from domain.errors import BlobError
from tests.contracts.group_commit import GroupCommitContract
from tests.contracts.proof import caught_by


class Broken(SqliteDatabase):
    """A database with another writer, or other units."""

    Writer = SqliteWriter
    Unit = SqliteUnit

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._writer.__class__ = self.Writer
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._writer._group.end(None)  # whose units may hang
        await super().__aexit__(*exc)

    def transaction(self, *, quick: bool = False, durable: bool = True) -> SqliteUnit:
        return self.Unit(self._writer, quick=quick, durable=durable)


@caught_by(GroupCommitContract.test_units_that_wait_share_one_commit)
class CommitsEachUnit(Broken):
    """A flush for each unit, as before."""

    class Writer(SqliteWriter):
        @property
        def _has_place(self) -> bool:
            return super()._has_place and not self._group.size


@caught_by(GroupCommitContract.test_only_what_must_be_durable_is_flushed)
class StaysWithoutFlushes(Broken):
    """The first commit that need not be durable is followed by others like it."""

    class Writer(SqliteWriter):
        def _set_durable(self, durable: bool) -> None:
            super()._set_durable(durable and self._is_durable)


@caught_by(GroupCommitContract.test_a_unit_that_must_be_durable_shares_only_a_flush)
class SharesCommitsThatAreNotFlushed(Broken):
    """A unit that must be durable is acknowledged by the commit of one that need not be."""

    class Writer(SqliteWriter):
        def join(self) -> None:
            before, self._is_durable = self._is_durable, True
            super().join()
            self._is_durable = before


@caught_by(GroupCommitContract.test_nothing_is_acknowledged_before_its_commit)
class AcknowledgesBeforeTheFlush(Broken):
    """The group is acknowledged once all of its statements have run."""

    class Writer(SqliteWriter):
        def _advance(self) -> None:
            group = self._group
            super()._advance()
            if group.size and self._is_taken:
                group.end(None)


@caught_by(GroupCommitContract.test_a_unit_that_is_not_committed_leaves_no_trace_in_its_group)
class KeepsTheSavepoint(Broken):
    """A unit that fails is released, and not rolled back."""

    class Unit(SqliteUnit):
        def _undo(self) -> None:
            if self._is_nested:
                self._writer.execute("RELEASE unit")
                self._has_begun = False
            else:
                super()._undo()


@caught_by(GroupCommitContract.test_a_unit_that_is_not_committed_leaves_no_trace_in_its_group)
class RollsBackTheWholeGroup(Broken):
    """The others of the group are acknowledged, and nothing of them is there."""

    class Unit(SqliteUnit):
        def _undo(self) -> None:
            self._writer.roll_back()
            self._writer.execute("BEGIN IMMEDIATE")
            self._has_begun = False


class _FirstFails(Group):
    def raise_error(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


@caught_by(GroupCommitContract.test_a_commit_that_fails_fails_each_unit)
class FailsOneOfTheGroup(Broken):
    """The unit that happens to run the COMMIT gets its error, and the others are acknowledged."""

    class Unit(SqliteUnit):
        async def __aenter__(self) -> Self:
            await super().__aenter__()
            self._group.__class__ = _FirstFails
            return self


@caught_by(GroupCommitContract.test_a_commit_of_unknown_outcome_is_unknown_to_each_unit)
class SaysThatNothingWasChanged(Broken):
    """An error is taken for a refusal, although the log may hold the commit."""

    class Writer(SqliteWriter):
        def _commit(self) -> None:
            super()._commit()
            self._group.is_in_doubt = False


@caught_by(GroupCommitContract.test_a_crash_does_not_apply_a_commit_that_failed)
class BelievesInRollbacks(Broken):
    """The rows are as before, but the log is not."""

    class Writer(SqliteWriter):
        def _settle(self) -> None:
            self._is_settled = True


@caught_by(GroupCommitContract.test_no_unit_begins_while_a_crash_could_apply_a_commit_that_failed)
class OverwritesOnce(Broken):
    """If that fails too, nobody tries again."""

    class Writer(SqliteWriter):
        def begin(self, *, durable: bool, patient: bool) -> bool:
            self._is_settled = True
            return super().begin(durable=durable, patient=patient)


@caught_by(GroupCommitContract.test_no_unit_begins_while_a_crash_could_apply_a_commit_that_failed)
class OverwritesOnTheLoop(Broken):
    """The next quick unit flushes on the event loop."""

    class Writer(SqliteWriter):
        def begin(self, *, durable: bool, patient: bool) -> bool:
            return super().begin(durable=durable, patient=patient or not self._is_settled)


@caught_by(GroupCommitContract.test_a_power_cut_loses_nothing_that_follows_a_failed_flush)
class BelievesTheSecondFlush(Broken):
    """One that succeeds is not for what the first one has dropped."""

    async def __aenter__(self) -> Self:
        self.file.rewrite_log = lambda: None  # type: ignore[method-assign]
        return await super().__aenter__()


@caught_by(GroupCommitContract.test_a_power_cut_loses_nothing_that_follows_a_failed_flush)
class RewritesOnce(Broken):
    """The flush after that may fail too."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.rewrite = self.file.rewrite_log
        self.file.rewrite_log = self.rewrite_once  # type: ignore[method-assign]
        return self

    def rewrite_once(self) -> None:
        self.rewrite()
        self.file.rewrite_log = lambda: None  # type: ignore[method-assign]


@caught_by(GroupCommitContract.test_a_process_loses_nothing_after_one_that_could_not_flush)
class BelievesTheProcessBefore(Broken):
    """Only the process that could not flush writes the log again."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._writer._is_settled = True
        return self


@caught_by(GroupCommitContract.test_no_flush_fails_unnoticed)
class LeavesFlushesToCheckpoints(Broken):
    """SQLite's default."""

    class Writer(SqliteWriter):
        def _set_durable(self, durable: bool) -> None:
            super()._set_durable(durable)
            self.execute("PRAGMA wal_autocheckpoint = 1000")
            self._unflushed = 0


@caught_by(GroupCommitContract.test_the_log_stays_short)
class FlushesOnlyTheLast(Broken):
    """Its checkpoint is the first one, however many bytes were written."""

    class Writer(SqliteWriter):
        def join(self) -> None:
            super().join()
            self._unflushed = 0


@caught_by(GroupCommitContract.test_what_a_refusal_is_based_on_is_durable)
class ReturnsWhatIsNotDurable(Broken):
    """A refusal goes to its client before the change that it is based on is on the disk."""

    class Unit(SqliteUnit):
        async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
            self._depends = False
            await super().__aexit__(kind, error, trace)


@caught_by(GroupCommitContract.test_a_refusal_that_is_based_on_a_failed_commit_is_rolled_back)
class BelievesAFailedGroup(Broken):
    """A refusal waits for the commit, and does not look whether it has failed."""

    class Unit(SqliteUnit):
        async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
            try:
                await super().__aexit__(kind, error, trace)
            except BlobError:
                if error is None:
                    raise


@caught_by(GroupCommitContract.test_a_unit_that_pauses_does_not_hold_up_its_group)
class WaitsForUnitsThatPause(Broken):
    """The group commits once the last unit has ended, whenever that is."""

    class Unit(SqliteUnit):
        def _look(self, calls: int, idle: bool) -> None:
            pass


@caught_by(GroupCommitContract.test_a_unit_for_which_no_commit_waits_may_pause)
class HurriesEverybody(Broken):
    """A unit for which no commit waits is rolled back too."""

    class Unit(SqliteUnit):
        async def __aenter__(self) -> Self:
            await super().__aenter__()
            if not self._is_nested:
                self._watch(calls=0)
            return self


@caught_by(GroupCommitContract.test_an_error_that_rolls_back_the_transaction_fails_the_group)
class LosesTheGroup(Broken):
    """The rest of the group is committed without the units that an error has rolled back."""

    class Unit(SqliteUnit):
        def _lose(self) -> None:
            self._is_lost = True
            self._end()
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.leave()


@caught_by(GroupCommitContract.test_a_cancellation_does_not_interrupt_a_shared_commit)
class LeavesWhenCancelled(Broken):
    """The caller is gone, and the commit goes on."""

    class Unit(SqliteUnit):
        async def commit(self) -> None:
            async def leave() -> None:
                if not self._group._is_over:
                    waiting = asyncio.get_running_loop().create_future()
                    self._group._waiting.append(waiting)
                    await waiting

            self._group.over = leave  # type: ignore[method-assign]
            await super().commit()


@caught_by(GroupCommitContract.test_a_unit_that_is_cancelled_on_its_turn_holds_up_nobody)
class ForgetsTheGroup(Broken):
    """A unit that leaves the queue on its turn neither wakes the next one nor commits."""

    class Writer(SqliteWriter):
        async def _wait(self, waiter: _Waiter) -> None:
            self._queue.append(waiter)
            try:
                await waiter.woken()
                while not self._has_place:
                    await waiter.woken()
            finally:
                self._queue.remove(waiter)


@caught_by(GroupCommitContract.test_a_unit_that_is_cancelled_in_the_queue_holds_up_nobody)
class KeepsTheCancelledInTheQueue(Broken):
    """A place in the queue is given up by its turn only."""

    class Writer(SqliteWriter):
        async def _wait(self, waiter: _Waiter) -> None:
            self._queue.append(waiter)
            await waiter.woken()
            while not self._has_place:
                await waiter.woken()
            self._queue.remove(waiter)


@caught_by(GroupCommitContract.test_the_lock_of_another_process_is_not_waited_for_on_the_loop)
class WaitsForLocksOnTheLoop(Broken):
    """All other requests stand still meanwhile."""

    class Writer(SqliteWriter):
        def begin(self, *, durable: bool, patient: bool) -> bool:
            return super().begin(durable=durable, patient=True)


@caught_by(GroupCommitContract.test_statements_that_wait_for_the_disk_run_in_the_thread)
class ReadsTheDiskOnTheLoop(Broken):
    """However slow it is."""

    class Writer(SqliteWriter):
        @property
        def is_quick(self) -> bool:
            return True


@caught_by(GroupCommitContract.test_a_unit_that_waits_too_long_is_refused_and_holds_up_nobody)
class WaitsForEver(Broken):
    """A unit in the queue has no deadline."""

    class Writer(SqliteWriter):
        async def _wait(self, waiter: _Waiter) -> None:
            self._timeout = 3600
            await super()._wait(waiter)
