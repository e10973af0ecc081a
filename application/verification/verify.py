"""Verify: every blob has its object, and every object has a blob or an upload, or is garbage.

A verification may run next to servers, for any number of blobs, and changes no blob or object without a repair. One
pass reads all rows and one lists all objects, in the order of their keys, with a page of either in memory. The outcome
is recorded at the end, for the status.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from application.clock import utc_now
from application.maintenance.reap import always
from application.ports.blob_store import BlobStore
from application.ports.contents import ContentReader
from application.ports.metadata import BacklogReader, BlobReader, KnownStorage, NamedReader, UnitOfWorkFactory
from application.ports.verifications import Verification
from application.repeat import repeated
from application.stores import Stores, any_storage
from application.verification.blobs import VerifyBlobs
from application.verification.drop_missing import DropMissing
from application.verification.objects import VerifyObjects
from application.verification.report import (
    BackendReport,
    Counts,
    Defect,
    Repair,
    VerificationListener,
    Verified,
    VerifyOptions,
)
from domain.errors import BlobError

AT_ONCE = 8
NOT_CONFIGURED = "It is not configured. Configure it again, for as long as blobs name it."
NO_MATCH = (
    "Nothing is there, or most of it are orphans. Do the database and the storage belong together? If so, add"
    " --even-if-most-are."
)


async def wait(time: timedelta) -> None:
    await asyncio.sleep(time.total_seconds())


async def acquired(backend: str, wait: Callable[[timedelta], Awaitable[None]]) -> None:
    """Allow every repair, without a wait."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Verify the backends in the `options`, and pass each finding to the `listener`.

    The other storages are verified even if one can't be reached. `recognise` raises for a storage that is not the one
    that the database knows. `acquire` waits until the database may delete there, and raises if it may not; `may_delete`
    returns whether it still may. `at_once`: the number of objects that are verified concurrently.
    """

    units: UnitOfWorkFactory
    blobs: BlobReader
    contents: ContentReader
    named: NamedReader
    backlog: BacklogReader
    stores: Stores
    recognise: Callable[[str], Awaitable[KnownStorage | None]] = any_storage
    acquire: Callable[[str, Callable[[timedelta], Awaitable[None]]], Awaitable[None]] = acquired
    may_delete: Callable[[str], Awaitable[bool]] = always
    now: Callable[[], datetime] = utc_now
    at_once: int = AT_ONCE

    async def __call__(self, options: VerifyOptions, listener: VerificationListener) -> Verified:
        reports: dict[str, BackendReport] = {}
        begun_at = self.now()

        def report_on(backend: str) -> BackendReport | None:
            if options.backends is not None and backend not in options.backends:
                return None
            if backend not in reports:
                store = self.stores.by_name.get(backend)
                counts = Counts(backend, unverified="" if store else NOT_CONFIGURED)
                reports[backend] = BackendReport(counts, store, listener)
            return reports[backend]

        stopped = ""
        try:
            for backend in self.stores.by_name:
                if report := report_on(backend):
                    await self._begin(report, options.repair)
            await VerifyBlobs(self.blobs, self.contents, report_on, options.deep, self.at_once)()
            for report in [*reports.values()]:
                await DropMissing(self.units, self.recognise)(report)
                if report.store is not None and not report.counts.unverified:
                    await self._objects(report, report.store)
            await self._count_backlog(reports)
        except BlobError as error:
            stopped = str(error)
        for report in reports.values():
            report.add_held()
        verified = Verified(tuple(reports[name].counts for name in sorted(reports)), stopped)
        return await self._recorded(verified, begun_at, deep=options.deep)

    async def _recorded(self, verified: Verified, begun_at: datetime, *, deep: bool) -> Verified:
        """Record the outcome of each storage, which is kept even if the database can't record it."""
        ended_at = self.now()

        async def record() -> None:
            async with self.units() as work:
                for counts in verified.counts:
                    complete = counts.verified and not verified.stopped
                    outcome = Verification(counts.backend, begun_at, ended_at, deep, complete, **_numbers(counts))
                    await work.verifications.record(outcome)
                await work.commit()

        try:
            await repeated(record)
        except BlobError as error:
            return replace(verified, not_recorded=str(error))
        return verified

    @property
    def _objects(self) -> VerifyObjects:
        return VerifyObjects(self.named, self.recognise, self.may_delete, self.now, self.at_once)

    async def _begin(self, report: BackendReport, repair: Repair | None) -> None:
        assert report.store is not None
        try:
            await self.recognise(report.counts.backend)
            await report.store.check()
        except BlobError as error:
            report.stop(error)
            return
        if repair is not None:
            await self._allow(report, report.store, repair)

    async def _allow(self, report: BackendReport, store: BlobStore, repair: Repair) -> None:
        """Allow the repair of the storage, or record why not."""
        try:
            await self.acquire(report.counts.backend, wait)
        except BlobError as error:
            report.counts.not_repaired = error.detail
            return
        if repair.even_if_most_are or await self._objects.matches(report, store):
            report.repair = repair
        elif not report.counts.unverified:
            report.counts.not_repaired = NO_MATCH

    async def _count_backlog(self, reports: dict[str, BackendReport]) -> None:
        for backlog in await self.backlog():
            if report := reports.get(backlog.backend):
                report.counts.uploads, report.counts.garbage = backlog.uploads, backlog.garbage


def _numbers(counts: Counts) -> dict[str, int]:
    return {
        "blobs": counts.blobs,
        "bytes": counts.bytes,
        "objects": counts.objects,
        "missing": counts.found[Defect.MISSING],
        "damaged": counts.found[Defect.DAMAGED],
        "orphans": counts.found[Defect.ORPHAN],
        "unreadable": counts.found[Defect.UNREADABLE],
        "repaired": counts.repaired.total(),
    }
