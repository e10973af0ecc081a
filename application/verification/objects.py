"""Verify objects: a blob, an upload or garbage names each of them; any other is an orphan.

Uploads begin before their objects can be listed. So if nothing names an object after it was listed, its upload has
ended, and it can't be published any more: it is an orphan, or has been deleted. Its age matters only if the database
may have forgotten it, for example after it was restored from a backup.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from application.checks.listed import is_listed
from application.concurrency import for_each
from application.ownership.ownership import taken
from application.ports.blob_store import BlobStore, Stored
from application.ports.metadata import KnownStorage, NamedReader
from application.verification.report import BackendReport, Defect, Finding
from domain.blob import Location, ObjectKey
from domain.errors import BlobError, NotFound

PAGE = 1000
UNNAMED = "No blob, no upload and no garbage names this object."
LEFTOVER = "A leftover of an upload that was cut off."


@dataclass(frozen=True, slots=True)
class VerifyObjects:
    """Find the objects that nothing names."""

    named: NamedReader
    recognise: Callable[[str], Awaitable[KnownStorage | None]]
    may_delete: Callable[[str], Awaitable[bool]]
    now: Callable[[], datetime]
    at_once: int

    async def __call__(self, report: BackendReport, store: BlobStore) -> None:
        async with aclosing(self._unnamed(report, store)) as keys:
            await for_each(keys, partial(self._check, report, store), self.at_once)

    async def matches(self, report: BackendReport, store: BlobStore) -> bool:
        """Return whether the database names most objects of a sample: the first ones, because keys are random."""
        async with aclosing(_pages(report, store)) as pages:
            async for page in pages:
                return 2 * len(await self.named(report.counts.backend, page)) >= len(page)
        return False

    async def _unnamed(self, report: BackendReport, store: BlobStore) -> AsyncGenerator[ObjectKey]:
        async with aclosing(_pages(report, store)) as pages:
            async for page in pages:
                named = await self.named(report.counts.backend, page)
                known = await self.recognise(report.counts.backend)
                for key in page:
                    report.counts.objects += known is None or key not in known.keys
                    report.listener.reached(f"objects on {report.counts.backend}", key)
                    if key not in named:
                        yield key

    async def _check(self, report: BackendReport, store: BlobStore, key: ObjectKey) -> None:
        location = Location(report.counts.backend, key)
        try:
            stored, there = await _look(store, key)
        except BlobError as error:
            report.add(Finding(Defect.UNREADABLE, location, report.record_failure(error)))
            return
        report.record_success()
        if there:
            orphan = Finding(Defect.ORPHAN, location, LEFTOVER if stored is None else UNNAMED, stored=stored)
            report.add(await self._repaired(report, store, orphan))

    async def _repaired(self, report: BackendReport, store: BlobStore, orphan: Finding) -> Finding:
        key = orphan.location.key
        if report.repair is None:
            return orphan
        if why := self._why_it_stays(orphan.stored, report.repair.older_than):
            return replace(orphan, detail=f"{orphan.detail} {why}")
        if key in await self.named(orphan.location.backend, [key]):
            return replace(
                orphan, detail="Nothing named it, and now something does. This is a bug: report it to the developers."
            )
        try:
            if not await self.may_delete(orphan.location.backend):
                report.forbid_repair(taken(orphan.location.backend))
                return orphan
            await store.delete(key)
        except BlobError as error:
            return replace(orphan, detail=f"It can't be removed: {error.detail}")
        return replace(orphan, repaired=True)

    def _why_it_stays(self, stored: Stored | None, older_than: timedelta) -> str:
        if not older_than:
            return ""
        if stored is None or stored.modified_at is None:
            return "It stays, because its age is unknown."
        return "" if self.now() - stored.modified_at > older_than else "It stays, because it is too young."


async def _pages(report: BackendReport, store: BlobStore) -> AsyncGenerator[list[ObjectKey]]:
    """Yield the keys of a storage in pages. If it can't be listed to its end, stop its verification."""
    page: list[ObjectKey] = []
    try:
        async for key in store.list():
            page.append(key)
            if len(page) == PAGE:
                yield page
                page = []
    except BlobError as error:
        report.stop(error)
    if page:
        yield page


async def _look(store: BlobStore, key: ObjectKey) -> tuple[Stored | None, bool]:
    """Return the object, and whether anything is there: `stat` does not find the leftovers of an unfinished upload."""
    with suppress(NotFound):
        return await store.stat(key), True
    return None, await is_listed(store, key)
