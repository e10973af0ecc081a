"""Verify objects: each is named by a blob, an upload or garbage, or it is an orphan.

An object is listed only after its upload was noted, so one that is named by nothing a moment later was given up, and
can't be published any more: publishing must find the upload. It is an orphan for good, or gone already. Age is asked
for only in case the database is not the one that knows, such as one that was restored from a backup.
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
from application.verification.findings import BackendReport, Defect, Finding
from domain.blob import Location, ObjectKey
from domain.errors import BlobError, NotFound

PAGE = 1000
UNNAMED = "No blob, no upload and no garbage names this object."
LEFTOVER = "No upload names what is left here of one that was cut off."


@dataclass(frozen=True, slots=True)
class VerifyObjects:
    """Look for what is named by nothing."""

    named: NamedReader
    recognise: Callable[[str], Awaitable[KnownStorage | None]]
    may_delete: Callable[[str], Awaitable[bool]]
    now: Callable[[], datetime]
    at_once: int

    async def __call__(self, side: BackendReport, store: BlobStore) -> None:
        async with aclosing(self._unnamed(side, store)) as keys:
            await for_each(keys, partial(self._check, side, store), self.at_once)

    async def matches(self, side: BackendReport, store: BlobStore) -> bool:
        """Whether the database names most of the objects there, by a sample: the first ones, as keys are random."""
        async with aclosing(_pages(side, store)) as pages:
            async for page in pages:
                return 2 * len(await self.named(side.tally.backend, page)) >= len(page)
        return False

    async def _unnamed(self, side: BackendReport, store: BlobStore) -> AsyncGenerator[ObjectKey]:
        async with aclosing(_pages(side, store)) as pages:
            async for page in pages:
                named = await self.named(side.tally.backend, page)
                known = await self.recognise(side.tally.backend)
                for key in page:
                    side.tally.objects += known is None or key not in known.keys
                    side.watcher.reached(f"objects on {side.tally.backend}", key)
                    if key not in named:
                        yield key

    async def _check(self, side: BackendReport, store: BlobStore, key: ObjectKey) -> None:
        location = Location(side.tally.backend, key)
        try:
            stored, there = await _look(store, key)
        except BlobError as fault:
            side.tell(Finding(Defect.UNREADABLE, location, side.failed(fault)))
            return
        side.worked()
        if there:
            orphan = Finding(Defect.ORPHAN, location, LEFTOVER if stored is None else UNNAMED, stored=stored)
            side.tell(await self._repaired(side, store, orphan))

    async def _repaired(self, side: BackendReport, store: BlobStore, orphan: Finding) -> Finding:
        key = orphan.location.key
        if side.repair is None:
            return orphan
        if why := self._why_it_stays(orphan.stored, side.repair.older_than):
            return replace(orphan, detail=f"{orphan.detail} {why}")
        if key in await self.named(orphan.location.backend, [key]):
            return replace(orphan, detail="It was named by nothing, and now it is. This can't be: tell the developers.")
        try:
            if not await self.may_delete(orphan.location.backend):
                side.refuse(taken(orphan.location.backend))
                return orphan
            await store.delete(key)
        except BlobError as fault:
            return replace(orphan, detail=f"It can't be removed: {fault.detail}")
        return replace(orphan, repaired=True)

    def _why_it_stays(self, stored: Stored | None, older_than: timedelta) -> str:
        if not older_than:
            return ""
        if stored is None or stored.modified_at is None:
            return "It stays, for its age is not known."
        return "" if self.now() - stored.modified_at > older_than else "It stays, for it is too young."


async def _pages(side: BackendReport, store: BlobStore) -> AsyncGenerator[list[ObjectKey]]:
    """The keys of a storage. If it can't be listed to its end, that is noted, and these are all."""
    page: list[ObjectKey] = []
    try:
        async for key in store.keys():
            page.append(key)
            if len(page) == PAGE:
                yield page
                page = []
    except BlobError as fault:
        side.give_up(fault)
    if page:
        yield page


async def _look(store: BlobStore, key: ObjectKey) -> tuple[Stored | None, bool]:
    """What is known of an object, and whether anything is there: only a list shows what no object has become of."""
    with suppress(NotFound):
        return await store.stat(key), True
    return None, await is_listed(store, key)
