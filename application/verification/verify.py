"""Verify: every blob has its object, and every object has a blob, an upload, or waits to be deleted.

It may run beside servers, for any number of blobs, and changes nothing unless it is to repair. Two passes go through
all rows and through all objects, in the order of the keys, and keep no more than a page of either.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from application.checks.readiness import any_storage
from application.clock import utc_now
from application.maintenance.reap import always
from application.ports.blob_store import BlobStore
from application.ports.metadata import BacklogReader, BlobReader, KnownStorage, NamedReader, UnitOfWorkFactory
from application.stores import Stores
from application.verification.blobs import VerifyBlobs
from application.verification.drop_missing import DropMissing
from application.verification.findings import (
    BackendReport,
    Counts,
    Repair,
    VerificationListener,
    Verified,
    VerifyOptions,
)
from application.verification.objects import VerifyObjects
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
    """Any storage may be repaired."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Look at all that is `wanted`, and tell a watcher of each fault.

    A storage that can't be reached does not keep the others from being verified. `recognise` raises for a storage that
    is not the one that the database knows; `acquire` waits until the database may delete there, and raises if it may
    not; `may_delete` says whether it still may. `at_once`: how many objects are looked at, or read, at the same time.
    """

    units: UnitOfWorkFactory
    blobs: BlobReader
    named: NamedReader
    backlog: BacklogReader
    stores: Stores
    recognise: Callable[[str], Awaitable[KnownStorage | None]] = any_storage
    acquire: Callable[[str, Callable[[timedelta], Awaitable[None]]], Awaitable[None]] = acquired
    may_delete: Callable[[str], Awaitable[bool]] = always
    now: Callable[[], datetime] = utc_now
    at_once: int = AT_ONCE

    async def __call__(self, wanted: VerifyOptions, watcher: VerificationListener) -> Verified:
        sides: dict[str, BackendReport] = {}

        def side_of(backend: str) -> BackendReport | None:
            if wanted.backends is not None and backend not in wanted.backends:
                return None
            if backend not in sides:
                store = self.stores.by_name.get(backend)
                counts = Counts(backend, unverified="" if store else NOT_CONFIGURED)
                sides[backend] = BackendReport(counts, store, watcher)
            return sides[backend]

        stopped = ""
        try:
            for backend in self.stores.by_name:
                if side := side_of(backend):
                    await self._begin(side, wanted.repair)
            await VerifyBlobs(self.blobs, side_of, wanted.deep, self.at_once)()
            for side in [*sides.values()]:
                await DropMissing(self.units, self.recognise)(side)
                if side.store is not None and not side.tally.unverified:
                    await self._objects(side, side.store)
            await self._count_backlog(sides)
        except BlobError as fault:
            stopped = str(fault)
        for side in sides.values():
            side.tell_held()
        return Verified(tuple(sides[name].tally for name in sorted(sides)), stopped)

    @property
    def _objects(self) -> VerifyObjects:
        return VerifyObjects(self.named, self.recognise, self.may_delete, self.now, self.at_once)

    async def _begin(self, side: BackendReport, repair: Repair | None) -> None:
        assert side.store is not None
        try:
            await self.recognise(side.tally.backend)
            await side.store.check()
        except BlobError as fault:
            side.give_up(fault)
            return
        if repair is not None:
            await self._allow(side, side.store, repair)

    async def _allow(self, side: BackendReport, store: BlobStore, repair: Repair) -> None:
        """Let the storage be repaired, or note why not."""
        try:
            await self.acquire(side.tally.backend, wait)
        except BlobError as fault:
            side.tally.not_repaired = fault.detail
            return
        if repair.even_if_most_are or await self._objects.matches(side, store):
            side.repair = repair
        elif not side.tally.unverified:
            side.tally.not_repaired = NO_MATCH

    async def _count_backlog(self, sides: dict[str, BackendReport]) -> None:
        for backlog in await self.backlog():
            if side := sides.get(backlog.backend):
                side.tally.uploads, side.tally.garbage = backlog.uploads, backlog.garbage
