"""Move objects to another storage, while blobs are read and written.

Each object is copied under a new key, which is reserved as the key of any upload is, and compared with its size and its
SHA-256. One transaction ends the upload, lets all rows that name the old object name the new one, and makes the old one
garbage, due once open readers had time to finish. So a move can be killed anywhere: it leaves an upload, or nothing.
Any number of moves may run, on any machines. An object has one mover at a time; if its claim is lost, the switch
decides.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from application.concurrency import for_each
from application.contents.retention import GRACE
from application.maintenance.move_report import (
    MoveFinding,
    MoveListener,
    MoveOptions,
    MoveReport,
    Problem,
    Unheard,
)
from application.maintenance.rate import Rate
from application.ports.metadata import DATABASE, KeySource, UnitOfWork
from application.ports.moves import Claim, MoveReader, StoredObject
from application.renewals import Renewals
from application.uploads.intake import Intake
from application.uploads.lifecycle import Uploads
from application.uploads.retry import ONCE, Retry
from domain.blob import Location, ObjectKey
from domain.errors import BlobError, DigestMismatch, LeaseLost, NoSpace, NotFound, SizeMismatch

PAGE = 1000  # names
LEASE = timedelta(minutes=2)  # renewed all the time, so it bounds how long others wait after a mover was killed
PAUSE = 2.0  # seconds between looks at objects that others move
PATIENCE = 20  # errors in a row after which a storage is considered down
REMEMBERED = 100_000  # keys: of objects with findings, and of shared ones that a dry run counts once


async def unchecked(_: str) -> None:
    """Accept any storage."""


class _Gone(Exception):
    """Nothing names the object any more: it was deleted, or somebody else has moved it."""


class _Stopped(Exception):
    """The move can't go on. The text says why."""


@dataclass(frozen=True, slots=True)
class MoveObjects:
    """Move the objects that the options name, and return the counts. Objects that can't be moved stay, and are found.

    `require` raises if a storage is not the one that the database knows, or is used by another database. `grace`: how
    long an old object is kept. `small_bytes`: the largest blob that stays in the database, by the settings.
    Cancel it at any moment: the copies in progress are discarded.
    """

    uploads: Uploads
    moves: MoveReader
    new_key: KeySource
    grace: timedelta = GRACE
    require: Callable[[str], Awaitable[None]] = unchecked
    small_bytes: int | None = None
    retry: Retry = ONCE
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic

    async def __call__(
        self, options: MoveOptions, listener: MoveListener | None = None, rate: Rate | None = None
    ) -> MoveReport:
        run = _Run(self, options, listener or Unheard(), rate or Rate(None))
        try:
            await run()
        except _Stopped as stopped:
            run.report.stopped = str(stopped)
        except BlobError as error:
            run.report.stopped = str(error)
        return run.report


@dataclass(slots=True)
class _Run:
    """A move in progress."""

    move: MoveObjects
    options: MoveOptions
    listener: MoveListener
    rate: Rate
    report: MoveReport = field(default_factory=MoveReport)
    _in_flight: set[ObjectKey] = field(default_factory=set)
    _done_with: set[ObjectKey] = field(default_factory=set)
    _errors_in_a_row: int = 0

    async def __call__(self) -> None:
        idle_since = self.move.monotonic()
        for _ in range(self.options.passes):
            before = self.report.objects
            await self._pass()
            while self.report.busy and self.report.objects == before and self.options.waits:
                if self.move.monotonic() - idle_since > 2 * self.move.uploads.lease.total_seconds():
                    return  # somebody else is at work, and goes on with it
                self.listener.waiting(self.report)
                await self.move.sleep(PAUSE)
                await self._pass()
            if self.options.dry_run or (self.report.objects == before and not self.report.busy):
                self.report.is_done = True
                return
            idle_since = self.move.monotonic()

    async def _pass(self) -> None:
        """Move all objects that one reading of the names finds."""
        self.report.busy = self.report.kept = 0
        async with aclosing(self._objects()) as objects:
            await for_each(objects, self._consider, self.options.at_once)

    async def _objects(self) -> AsyncGenerator[StoredObject]:
        place, options = None, self.options
        while True:
            for backend in (options.target, *sorted(options.sources)):
                await self.move.require(backend)
            page = await self.move.moves.page(options.sources, options.start, options.stop, place, PAGE)
            for each in page.objects:
                yield each
            if page.next is None:
                return
            place = page.next

    async def _consider(self, found: StoredObject) -> None:
        key = found.location.key
        if key in self._done_with or key in self._in_flight:
            return
        if self._stays(found):
            self.report.kept += 1
        elif self.options.dry_run:
            if found.is_shared and len(self._done_with) < REMEMBERED:
                self._done_with.add(key)
            self._count(found)
        else:
            self._in_flight.add(key)
            try:
                await self._move(found)
            finally:
                self._in_flight.discard(key)

    def _stays(self, found: StoredObject) -> bool:
        """Return whether this is a small blob that the settings want where it is."""
        small = self.move.small_bytes
        return found.is_whole and found.location.backend == DATABASE and small is not None and found.size <= small

    async def _move(self, found: StoredObject) -> None:
        """Move an object, in a few attempts, each under a new key."""
        for wait in (*self.move.retry.waits(), None):
            try:
                await self._attempt(found)
            except _Gone:
                pass
            except LeaseLost:
                self.report.busy += 1
            except (SizeMismatch, DigestMismatch) as error:
                self._find(found, Problem.DAMAGED, f"{error.detail} It stays where it is.")
            except NotFound as error:
                if await self.move.moves.is_named(found.location):
                    self._find(found, Problem.MISSING, f"Its object is not there, or not to its end: {error.detail}")
            except BlobError as error:
                if error.temporary and wait is not None:
                    await self.move.sleep(wait)
                    continue
                self._fail(found, error)
                return
            self._errors_in_a_row = 0
            return

    async def _attempt(self, found: StoredObject) -> None:
        uploads, old = self.move.uploads, found.location
        new = Location(self.options.target, self.move.new_key())
        async with (
            uploads.discarded_on_error(new),  # also if it is cancelled when the claim is committed
            Renewals(partial(uploads.renew, new), uploads.lease / 3) as renewals,
        ):
            claim = await uploads.commit(lambda work: work.moves.claim(old, new, uploads.lease))
            if claim is not Claim.CLAIMED:
                self.report.busy += claim is Claim.BUSY
                return
            renewals.start()  # also while the source, or the rate, lets it wait
            await self._copy(found, new)
            await uploads.publish([new], partial(self._switch, old, new), partial(self._has_switched, old))
        self._count(found)

    async def _copy(self, found: StoredObject, new: Location) -> None:
        """Write the new object. The storage never finishes it unless its bytes are as the row describes them."""
        store = self.move.uploads.stores.holding(found.location)
        async with store.read(found.location.key) as chunks:
            intake = Intake(self.rate.limited(chunks), found.size, found.size, found.digest)
            await self.move.uploads.append(new, intake)

    async def _switch(self, old: Location, new: Location, work: UnitOfWork) -> None:
        if not await work.moves.switch(old, new, self.move.grace):
            raise _Gone

    async def _has_switched(self, old: Location, work: UnitOfWork) -> bool:
        return not await work.moves.is_named(old)

    def _count(self, found: StoredObject) -> None:
        self.report.objects += 1
        self.report.bytes += found.size
        self.listener.moved(self.report)

    def _find(self, found: StoredObject, problem: Problem, detail: str) -> None:
        self._done_with.add(found.location.key)
        self.report.found[problem] += 1
        self.listener.found(MoveFinding(problem, found, detail))
        if len(self._done_with) >= REMEMBERED:
            raise _Stopped(f"{REMEMBERED:,} objects can't be moved. Run drivebay verify --deep.")

    def _fail(self, found: StoredObject, error: BlobError) -> None:
        self._find(found, Problem.FAILED, error.detail)
        self._errors_in_a_row += 1
        if isinstance(error, NoSpace) or self._errors_in_a_row == PATIENCE:
            raise _Stopped(error.detail) from error
