"""Find out whether a blob could be stored now: the database and the active storage each take a write."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta

from application.ports.metadata import KeySource, UnitOfWorkFactory
from application.store_blob import abandon
from application.stores import Stores
from domain.blob import Location
from domain.errors import DriveError, Kind

DEADLINE = timedelta(seconds=5)
PROBE_LEASE = timedelta(minutes=1)


async def any_storage(_: str) -> None:
    """Nothing is known of it."""


@dataclass(frozen=True, slots=True)
class CheckReady:
    """Try each part within `deadline`, and return the faults by the part's name: none, if all is well.

    `recognise` raises if the storage is not the one that the database knows. The probe goes the way of an upload that
    is given up, so one that is cut off is cleaned up like any other.
    """

    units: UnitOfWorkFactory
    stores: Stores
    new_key: KeySource
    deadline: timedelta = DEADLINE
    recognise: Callable[[str], Awaitable[object]] = any_storage

    async def __call__(self) -> Mapping[str, DriveError]:
        location = Location(self.stores.active, self.new_key())
        faults: dict[str, DriveError] = {}
        for part, probe in (
            ("database", self._reserve),
            ("storage", self._recognise),
            ("storage", self._write),
            ("database", self._give_up),
        ):
            if not faults and (fault := await self._within_deadline(probe(location))):
                faults[part] = fault
        return faults

    async def _reserve(self, location: Location) -> None:
        async with self.units() as work:
            await work.uploads.add(location, PROBE_LEASE)
            await work.commit()

    async def _recognise(self, location: Location) -> None:
        try:
            await self.recognise(location.backend)
        except DriveError:
            await self._give_up(location)
            raise

    async def _write(self, location: Location) -> None:
        store = self.stores.holding(location)
        try:
            await store.put(location.key, _probe())
            await store.delete(location.key)
        except DriveError:
            await abandon(self.units, location)
            raise

    async def _give_up(self, location: Location) -> None:
        async with self.units() as work:
            await work.uploads.remove(location.key)
            await work.commit()

    async def _within_deadline(self, probe: Coroutine[None, None, None]) -> DriveError | None:
        task = asyncio.create_task(probe)
        # Not asyncio.timeout: it would wait for a cancelled probe to clean up, for as long as a dead disk hangs.
        done, _ = await asyncio.wait({task}, timeout=self.deadline.total_seconds())
        if not done:
            task.add_done_callback(lambda late: late.cancelled() or late.exception())  # it is told already
            task.cancel()
            return DriveError(Kind.TIMEOUT, f"It took no write within {self.deadline.total_seconds():g} s.")
        match task.exception():
            case None | DriveError() as fault:
                return fault
            case bug:
                raise bug


async def _probe() -> AsyncIterator[bytes]:
    yield b"ready?"
