"""Find out whether a blob could be stored now: the database and the active storage each take a write."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Self

from application.blobs.store import abandon
from application.ports.metadata import KeySource, UnitOfWorkFactory
from application.stores import Stores
from domain.blob import Location
from domain.errors import BlobError, Kind, TimedOut

DEADLINE = timedelta(seconds=5)
PROBE_LEASE = timedelta(minutes=1)


class Severity(Enum):
    """How bad a finding is for those who ask for blobs."""

    DEGRADED = "degraded"
    """Blobs are read and deleted as ever. Something else does not work."""
    NOT_READY = "not_ready"


@dataclass(frozen=True, slots=True)
class ReadinessProblem:
    """Something that is wrong with a part. `reason` is a stable word for clients, `detail` is for the log."""

    part: str
    reason: str
    detail: str
    severity: Severity = Severity.NOT_READY

    @classmethod
    def of_error(cls, part: str, error: BlobError) -> Self:
        """A full disk takes nothing new and gives out all that it has; any other error may be one for readers too."""
        severity = Severity.DEGRADED if error.kind is Kind.NO_SPACE else Severity.NOT_READY
        return cls(part, error.kind.value, str(error), severity)


async def any_storage(_: str) -> None:
    """Nothing is known of it."""


@dataclass(frozen=True, slots=True)
class CheckReady:
    """Try each part within `deadline`, and return what is wrong: nothing, if all is well.

    `recognise` raises if the storage is not the one that the database knows. The probe goes the way of an upload that
    is given up, so one that is cut off is cleaned up like any other.
    """

    units: UnitOfWorkFactory
    stores: Stores
    new_key: KeySource
    deadline: timedelta = DEADLINE
    recognise: Callable[[str], Awaitable[object]] = any_storage

    async def __call__(self) -> Sequence[ReadinessProblem]:
        location = Location(self.stores.active, self.new_key())
        if found := await self._find("database", self._reserve(location)):
            # Where it has no room for a row, nothing may be written to the storage either.
            return [found, *await self._others(found)]
        probes = (("storage", self._recognise), ("storage", self._write), ("database", self._give_up))
        for part, probe in probes:
            if found := await self._find(part, probe(location)):
                return [found]
        return []

    async def _others(self, found: ReadinessProblem) -> Sequence[ReadinessProblem]:
        if found.severity is Severity.NOT_READY:
            return []
        other = await self._find("storage", self.stores.by_name[self.stores.active].check())
        return [other] if other else []

    async def _find(self, part: str, probe: Coroutine[None, None, None]) -> ReadinessProblem | None:
        error = await self._within_deadline(probe)
        if error:
            error.locate(self.stores.active if part == "storage" else part, "")
        return ReadinessProblem.of_error(part, error) if error else None

    async def _reserve(self, location: Location) -> None:
        async with self.units() as work:
            await work.uploads.add(location, PROBE_LEASE)
            await work.commit()

    async def _recognise(self, location: Location) -> None:
        try:
            await self.recognise(location.backend)
        except BlobError:
            await self._give_up(location)
            raise

    async def _write(self, location: Location) -> None:
        store = self.stores.holding(location)
        try:
            await store.put(location.key, _probe())
            await store.delete(location.key)
        except BlobError:
            await abandon(self.units, location)
            raise

    async def _give_up(self, location: Location) -> None:
        async with self.units() as work:
            await work.uploads.remove(location.key)
            await work.commit()

    async def _within_deadline(self, probe: Coroutine[None, None, None]) -> BlobError | None:
        task = asyncio.create_task(probe)
        # Not asyncio.timeout: it would wait for a cancelled probe to clean up, for as long as a dead disk hangs.
        done, _ = await asyncio.wait({task}, timeout=self.deadline.total_seconds())
        if not done:
            task.add_done_callback(lambda late: late.cancelled() or late.exception())  # it is told already
            task.cancel()
            return TimedOut(f"It took no write within {self.deadline.total_seconds():g} s.")
        match task.exception():
            case None | BlobError() as fault:
                return fault
            case bug:
                raise bug


async def _probe() -> AsyncIterator[bytes]:
    yield b"ready?"
