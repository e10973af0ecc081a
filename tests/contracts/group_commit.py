"""The contract of SQLite's group commit: concurrent units of work share a COMMIT, and its outcome."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from unittest import mock

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.unit_of_work import SqlMetadata, SqlUnitOfWork
from adapters.sql.sqlite import writer as sqlite_writer
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.sqlite.writer import Writer
from adapters.storage.database import CHUNK, DatabaseBlobStore
from application.ports.metadata import UnitOfWork
from application.repeat import repeated
from domain.blob import Blob, BlobId, ObjectKey
from domain.errors import CommitUnknown, Kind, RolledBack
from domain.precondition import ANY, CREATE_ONLY
from tests.contracts.blob_store import chunked, refused
from tests.contracts.metadata import LEFT, LONG, Leave, blob, draft_of
from tests.contracts.sqlite_flushes import Flushes, killed

PATIENCE = 30  # seconds, after which a test fails instead of hanging
TURNS = 20  # of the event loop: more than any step takes
FULL = 2  # the level at which SQLite flushes its log in each COMMIT


class Commits:
    """The COMMITs of all databases. While they are held, each waits before it begins."""

    def __init__(self) -> None:
        self.count = 0
        self.are_flushed: list[bool] = []
        self.at_each: Callable[[], object] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Event()
        self._is_held = False
        self._permits = threading.Semaphore(0)

    async def until(self, count: int) -> None:
        """Wait until so many have begun."""
        while self.count < count:
            self._begun.clear()
            await in_time(asyncio.create_task(self._wait()))

    def hold(self) -> None:
        self._is_held = True

    def release_one(self) -> None:
        self._permits.release()

    def release(self) -> None:
        self._is_held = False
        self._permits.release()

    async def _wait(self) -> None:
        await self._begun.wait()

    def _at(self, writer: Writer, statement: str) -> None:
        if statement == "COMMIT":
            [level] = writer._driver.execute("PRAGMA synchronous").fetchone()
            self.are_flushed.append(level == FULL)
            self._loop.call_soon_threadsafe(self._count)
            if self._is_held:
                assert self._permits.acquire(timeout=PATIENCE)
            self.at_each()

    def _count(self) -> None:
        self.count += 1
        self._begun.set()

    @contextmanager
    def observed(self) -> Iterator["Commits"]:
        execute = Writer.execute

        def observed(writer: Writer, statement: str) -> None:
            self._at(writer, statement)
            execute(writer, statement)

        with mock.patch.object(Writer, "execute", observed):
            try:
                yield self
            finally:
                self.release()


Step = Callable[[UnitOfWork], Awaitable[object]]


async def in_time(*tasks: "asyncio.Task[None]") -> None:
    """Wait for tasks. Fail where they would hang."""
    _, pending = await asyncio.wait(tasks, timeout=PATIENCE)
    assert not pending, "it hangs"


async def let_run() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def putting(version: Blob) -> Step:
    return lambda work: work.blobs.put(draft_of(version), CREATE_ONLY)


class GroupCommitContract:
    """The promises of the group commit. A subclass has a fixture `database`, open and empty."""

    @asynccontextmanager
    async def observed(self, database: SqliteDatabase) -> AsyncIterator[Commits]:
        self.metadata = SqlMetadata(database)
        with Commits().observed() as commits:
            yield commits

    async def commit(self, *steps: Step) -> None:
        async with self.metadata() as work:
            for step in steps:
                await step(work)
            await work.commit()

    @asynccontextmanager
    async def next_group(self, commits: Commits) -> AsyncIterator[None]:
        """Let the units that begin inside form one group, whose COMMIT is held."""
        before = commits.count
        commits.hold()
        first = asyncio.create_task(self.commit(putting(blob("first"))))
        await commits.until(before + 1)
        yield
        await let_run()
        commits.release_one()
        await in_time(first)
        await commits.until(before + 2)

    async def found(self, *ids: str) -> list[str]:
        """Return the ids that another connection finds."""
        return [blob_id for blob_id in ids if await self.metadata.blobs.find(BlobId(blob_id))]

    async def test_units_that_wait_share_one_commit(self, database: SqliteDatabase) -> None:
        ids = [f"{number}" for number in range(30)]
        async with self.observed(database) as commits:
            async with self.next_group(commits):
                units = [asyncio.create_task(self.commit(putting(blob(blob_id)))) for blob_id in ids]
            commits.release()
            await asyncio.gather(*units)
            assert commits.count == 2
            assert await self.found(*ids) == ids

    async def test_nothing_is_acknowledged_before_its_commit(self, database: SqliteDatabase) -> None:
        async with self.observed(database) as commits:
            async with self.next_group(commits):
                units = [asyncio.create_task(self.commit(putting(blob(blob_id)))) for blob_id in "abc"]
            await let_run()
            assert not any(unit.done() for unit in units)
            assert await self.found(*"abc") == []
            commits.release()
            await asyncio.gather(*units)
            assert await self.found(*"abc") == [*"abc"]

    async def add_upload(self, database: SqliteDatabase, *, durable: bool) -> None:
        async with database.transaction(durable=durable) as transaction:
            await SqlUnitOfWork(transaction).uploads.add(blob().location, LONG)
            await transaction.commit()

    async def test_only_what_must_be_durable_is_flushed(self, database: SqliteDatabase) -> None:
        async with self.observed(database) as commits:
            for durable in (True, False, False, True):
                await self.add_upload(database, durable=durable)
            assert commits.are_flushed == [True, False, False, True]

    @pytest.mark.parametrize(
        ("durable", "flushed"),
        [([True, False, True], [True]), ([False, True, True], [False, True]), ([False, False], [False, False])],
    )
    async def test_a_unit_that_must_be_durable_shares_only_a_flush(
        self, database: SqliteDatabase, durable: Sequence[bool], flushed: Sequence[bool]
    ) -> None:
        async with self.observed(database) as commits:
            async with self.next_group(commits):
                units = [asyncio.create_task(self.add_upload(database, durable=each)) for each in durable]
            commits.release()
            await in_time(*units)
            assert commits.are_flushed == [True, *flushed]

    @pytest.mark.parametrize("leave", LEFT)
    async def test_a_unit_that_is_not_committed_leaves_no_trace_in_its_group(
        self, database: SqliteDatabase, leave: Leave
    ) -> None:
        async def not_committed() -> None:
            async with self.metadata() as work:
                await work.blobs.put(draft_of(blob("lost")), ANY)
                await work.blobs.put(draft_of(blob("a", size=2)), ANY)
                await leave(work)

        async with self.observed(database) as commits:
            await self.commit(putting(blob("old")))
            async with self.next_group(commits):
                units = [
                    asyncio.create_task(unit)
                    for unit in (
                        self.commit(putting(blob("a", size=1))),
                        not_committed(),
                        self.commit(putting(blob("b"))),
                    )
                ]
            commits.release()
            await asyncio.wait(units)
            assert [units[0].exception(), units[2].exception()] == [None, None]
            assert commits.count == 3
            assert await self.found("a", "lost", "b") == ["a", "b"]
            assert (await self.metadata.blobs.get(BlobId("a"))).size == 1

    async def test_a_commit_that_fails_fails_each_unit(self, database: SqliteDatabase) -> None:
        async with self.observed(database) as commits:
            await self.refuse_at_commit()
            async with self.next_group(commits):
                ids = ["a", "refused", "c"]
                units = [asyncio.create_task(self.commit(putting(blob(blob_id)))) for blob_id in ids]
            commits.release()
            ended = await asyncio.gather(*units, return_exceptions=True)
            assert [type(outcome) for outcome in ended] == [sqlite3.IntegrityError] * 3
            assert await self.found(*ids) == []
            await self.commit(putting(blob("a")))

    async def refuse_at_commit(self) -> None:
        """Let each COMMIT fail that would add a blob "refused", by a constraint that is checked only then."""

        def create(connection: Connection) -> None:
            for statement in (
                "CREATE TABLE checked (id TEXT REFERENCES absent (id) DEFERRABLE INITIALLY DEFERRED)",
                "CREATE TABLE absent (id TEXT PRIMARY KEY)",
                "CREATE TRIGGER refuse AFTER INSERT ON blobs WHEN new.id = 'refused'"
                " BEGIN INSERT INTO checked VALUES (new.id); END",
            ):
                connection.exec_driver_sql(statement)

        await self.change(create)

    async def change(self, function: Callable[[Connection], None]) -> None:
        database = self.metadata._database
        async with database.transaction() as transaction:
            await transaction.run(function)
            await transaction.commit()

    async def test_a_commit_of_unknown_outcome_is_unknown_to_each_unit(self, database: SqliteDatabase) -> None:
        async with self.observed(database) as commits:
            async with self.next_group(commits):
                units = [asyncio.create_task(self.commit(putting(blob(blob_id)))) for blob_id in "abc"]
            path = database._path
            commits.at_each = lambda: path.rename(path.with_name("moved.db"))
            commits.release()
            ended = await asyncio.gather(*units, return_exceptions=True)
            path.with_name("moved.db").rename(path)
            assert [type(outcome) for outcome in ended] == [CommitUnknown] * 3
            assert len({id(outcome) for outcome in ended}) == 3

    async def test_a_crash_does_not_apply_a_commit_that_failed(self, database: SqliteDatabase) -> None:
        """SQLite rolls back a COMMIT whose flush fails, and leaves its frames in the log."""
        async with self.observed(database) as commits:
            await self.commit(putting(blob("before")))
            with Flushes().of(database) as flushes:
                async with self.next_group(commits):
                    units = [asyncio.create_task(self.commit(putting(blob(blob_id)))) for blob_id in "abc"]
                flushes.failing = 1
                commits.release()
                ended = await asyncio.gather(*units, return_exceptions=True)
                assert flushes.failing < 0
                assert [type(outcome) for outcome in ended] == [CommitUnknown] * 3
                assert await self.found("before", *"abc") == ["before"]
                assert await self.found_after_a_crash(database, "before", *"abc") == ["before"]
            await self.commit(putting(blob("a")))
            assert await self.found_after_a_crash(database, "before", *"abc") == ["before", "a"]

    async def test_no_unit_begins_while_a_crash_could_apply_a_commit_that_failed(
        self, database: SqliteDatabase
    ) -> None:
        async with self.observed(database):
            await self.commit(putting(blob("before")))
            with Flushes().of(database) as flushes:
                flushes.failing = 3  # the COMMIT, and two attempts to overwrite it
                with refused(Kind.COMMIT_UNKNOWN):
                    await self.commit(putting(blob("a")))
                with refused(Kind.UNAVAILABLE):
                    await self.commit(putting(blob("b")))
                assert flushes.failing == 0
                await self.commit(putting(blob("c")))
                assert flushes.threads == {"sqlite-write-0"}  # the event loop waits for no flush
            assert await self.found_after_a_crash(database, "before", *"abc") == ["before", "c"]

    async def test_a_power_cut_loses_nothing_that_follows_a_failed_flush(self, database: SqliteDatabase) -> None:
        """It was for earlier commits too, which SQLite does not write again."""
        async with self.observed(database):
            await self.commit(putting(blob("before")))
            with Flushes().of(database) as flushes:
                await self.add_upload(database, durable=False)
                flushes.failing = 2  # the COMMIT, and an attempt to overwrite it
                with refused(Kind.COMMIT_UNKNOWN):
                    await self.commit(putting(blob("a")))
                await self.commit(putting(blob("b")))
                assert await self.found_in(flushes.without_power(), "before", *"ab") == ["before", "b"]

    async def test_a_process_loses_nothing_after_one_that_could_not_flush(self, database: SqliteDatabase) -> None:
        """That was killed before it could write the log again."""
        async with self.observed(database):
            await self.commit(putting(blob("before")))
            with Flushes().of(database) as flushes:
                await self.add_upload(database, durable=False)
                flushes.failing = 2
                with refused(Kind.COMMIT_UNKNOWN):
                    await self.commit(putting(blob("a")))
                async with type(database)(database._config) as other, self.observed(other):
                    with flushes.of(other):
                        await self.commit(putting(blob("b")))
                        assert await self.found_in(flushes.without_power(), "before", *"ab") == ["before", "b"]

    async def test_no_flush_fails_unnoticed(self, database: SqliteDatabase) -> None:
        """A checkpoint flushes the log first. If SQLite makes it after a COMMIT, it ignores an error of that flush."""
        async with self.observed(database):
            await self.commit(putting(blob("before")))
            with Flushes().of(database) as flushes:
                flushes.failing = 1
                with refused(Kind.UNAVAILABLE):
                    await DatabaseBlobStore(database).put(ObjectKey.random(), chunked(bytes(20 * CHUNK)))
                await self.commit(putting(blob("a")))
                assert await self.found_in(flushes.without_power(), "before", "a") == ["before", "a"]

    async def test_the_log_stays_short(self, database: SqliteDatabase) -> None:
        await DatabaseBlobStore(database).put(ObjectKey.random(), chunked(bytes(40 * CHUNK), CHUNK))
        assert database._path.with_name(f"{database._path.name}-wal").stat().st_size < 15 * CHUNK

    async def found_after_a_crash(self, database: SqliteDatabase, *ids: str) -> list[str]:
        """Return the ids that are found in the files as they are now, once SQLite has recovered the log."""
        return await self.found_in(killed(database._path), *ids)

    async def found_in(self, path: Path, *ids: str) -> list[str]:
        async with SqlMetadata(SqliteDatabase(SqliteConfig(path))) as recovered:
            return [blob_id for blob_id in ids if await recovered.blobs.find(BlobId(blob_id))]

    async def test_what_a_refusal_is_based_on_is_durable(self, database: SqliteDatabase) -> None:
        async with self.observed(database) as commits:
            async with self.next_group(commits):
                creator = asyncio.create_task(self.commit(putting(blob("a"))))
                other = asyncio.create_task(self.commit(putting(blob("a"))))
            await let_run()
            assert not other.done()
            commits.release()
            await creator
            with refused(Kind.ALREADY_EXISTS):
                await other

    async def test_a_refusal_that_is_based_on_a_failed_commit_is_rolled_back(self, database: SqliteDatabase) -> None:
        async with self.observed(database) as commits:
            await self.refuse_at_commit()
            async with self.next_group(commits):
                units = [asyncio.create_task(self.commit(putting(blob(blob_id)))) for blob_id in ("a", "refused")]
                once = asyncio.create_task(self.commit(putting(blob("a"))))
                again = asyncio.create_task(repeated(lambda: self.commit(putting(blob("a", size=2)))))
            commits.release()
            await asyncio.wait(units)
            with refused(Kind.ROLLED_BACK):
                await once
            await again
            assert (await self.metadata.blobs.get(BlobId("a"))).size == 2

    async def test_a_unit_that_pauses_does_not_hold_up_its_group(self, database: SqliteDatabase) -> None:
        resume = asyncio.Event()

        async def pause() -> None:
            async with self.metadata() as work:
                await work.blobs.put(draft_of(blob("paused")), ANY)
                await resume.wait()
                await work.blobs.put(draft_of(blob("later")), ANY)
                await work.commit()

        async with self.observed(database) as commits:
            commits.hold()
            first = asyncio.create_task(self.commit(putting(blob("first"))))
            await commits.until(1)
            committed = asyncio.create_task(self.commit(putting(blob("a"))))
            paused = asyncio.create_task(pause())
            await let_run()
            commits.release()
            await in_time(first, committed)
            resume.set()
            with refused(Kind.ROLLED_BACK):
                await paused
            assert await self.found("a", "paused", "later") == ["a"]

    async def test_a_unit_for_which_no_commit_waits_may_pause(self, database: SqliteDatabase) -> None:
        async with self.observed(database):
            async with self.metadata() as work:
                await work.blobs.put(draft_of(blob("paused")), ANY)
                other = asyncio.create_task(self.commit(putting(blob("a"))))
                await asyncio.wait({other}, timeout=0.3)  # longer than a unit may hold up its group
                await work.commit()
            await other
            assert await self.found("a", "paused") == ["a", "paused"]

    async def test_an_error_that_rolls_back_the_transaction_fails_the_group(self, database: SqliteDatabase) -> None:
        def refuse(connection: Connection) -> None:
            connection.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON blobs WHEN new.id = 'bad'"
                " BEGIN SELECT RAISE(ROLLBACK, 'refused'); END"
            )

        async with self.observed(database) as commits:
            await self.change(refuse)
            async with self.next_group(commits):
                once = asyncio.create_task(self.commit(putting(blob("a"))))
                again = asyncio.create_task(repeated(lambda: self.commit(putting(blob("b")))))
                bad = asyncio.create_task(self.commit(putting(blob("bad"))))
                after = asyncio.create_task(self.commit(putting(blob("c"))))
            commits.release()
            ended = await asyncio.gather(once, again, bad, after, return_exceptions=True)
            assert [type(outcome) for outcome in ended] == [RolledBack, type(None), sa.exc.IntegrityError, type(None)]
            assert await self.found("a", "b", "bad", "c") == ["b", "c"]

    async def test_a_cancellation_does_not_interrupt_a_shared_commit(self, database: SqliteDatabase) -> None:
        async with self.observed(database) as commits:
            async with self.next_group(commits):
                units = [asyncio.create_task(self.commit(putting(blob(blob_id)))) for blob_id in "abc"]
            for _ in range(3):
                units[1].cancel()
                await let_run()
            assert not any(unit.done() for unit in units)
            commits.release()
            await asyncio.wait(units)
            assert [unit.cancelled() for unit in units] == [False, True, False]
            assert await self.found(*"abc") == [*"abc"]

    async def test_a_unit_that_is_cancelled_in_the_queue_holds_up_nobody(self, database: SqliteDatabase) -> None:
        async with self.observed(database) as commits:
            for place in range(3):
                async with self.next_group(commits):
                    names = [f"{place}{number}" for number in range(3)]
                    units = [asyncio.create_task(self.commit(putting(blob(name)))) for name in names]
                    await let_run()
                    units[place].cancel()
                commits.release()
                await in_time(*units)
                await self.commit(lambda work: work.blobs.remove(BlobId("first"), ANY))
                assert [unit.cancelled() for unit in units] == [number == place for number in range(3)]
                del names[place]
                assert await self.found(*names) == names

    async def test_a_unit_that_is_cancelled_on_its_turn_holds_up_nobody(self, database: SqliteDatabase) -> None:
        units: list[asyncio.Task[None]] = []

        async def cancel_the_next(_: UnitOfWork) -> None:
            units[1].cancel()  # it was woken, and has not run yet

        async with self.observed(database) as commits:
            async with self.next_group(commits):
                steps = [putting(blob("a")), cancel_the_next], [putting(blob("b"))]
                units += [asyncio.create_task(self.commit(*each)) for each in steps]
            commits.release()
            await in_time(*units)
            assert [unit.cancelled() for unit in units] == [False, True]
            assert await self.found("a", "b") == ["a"]

    async def test_a_unit_that_waits_too_long_is_refused_and_holds_up_nobody(self, database: SqliteDatabase) -> None:
        async with self.observed(database):
            async with self.metadata() as work:
                await work.blobs.put(draft_of(blob("a")), ANY)
                database._writer._timeout = 0.05
                late = asyncio.create_task(self.commit(putting(blob("late"))))
                try:
                    await in_time(late)
                finally:
                    late.cancel()
                with refused(Kind.TIMEOUT):
                    await late
                database._writer._timeout = PATIENCE
                next_one = asyncio.create_task(self.commit(putting(blob("b"))))
                await let_run()
                await work.commit()
            await in_time(next_one)
            assert await self.found("a", "late", "b") == ["a", "b"]

    async def test_the_lock_of_another_process_is_not_waited_for_on_the_loop(self, database: SqliteDatabase) -> None:
        async with self.observed(database):
            with closing(sqlite3.connect(database._path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                unit = asyncio.create_task(self.commit(putting(blob("a"))))
                await let_run()
                other.execute("COMMIT")  # which a loop that waits never comes to
            await unit
            assert await self.found("a") == ["a"]

    async def test_statements_that_wait_for_the_disk_run_in_the_thread(
        self, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def thread(_: Connection) -> str:
            return threading.current_thread().name

        async def threads() -> list[str]:
            async with database.transaction(quick=True) as transaction:
                return [await transaction.run(thread) for _ in range(2)]

        loop = threading.current_thread().name
        await threads()  # the first one of a process writes the log again
        assert await threads() == [loop, loop]
        with monkeypatch.context() as patch:
            patch.setattr(sqlite_writer, "SLOW", 0)
            patch.setattr(Writer, "_has_read_disk", lambda _: True)
            await threads()
        assert await threads() == ["sqlite-write-0"] * 2
        async with database.transaction() as transaction:
            assert await transaction.run(thread) == "sqlite-write-0"
