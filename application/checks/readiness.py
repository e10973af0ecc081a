"""Check whether a blob could be stored now: with a write to the database, and one to the active storage."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Self

from application.ports.metadata import KeySource
from application.stores import any_storage
from application.uploads.lifecycle import Uploads
from domain.blob import Location
from domain.errors import BlobError, Kind, TimedOut

DEADLINE = timedelta(seconds=5)
PROBE_LEASE = timedelta(minutes=1)


class Severity(Enum):
    """The effect of a problem on clients."""

    DEGRADED = "degraded"
    """Blobs can be read and deleted. Something else does not work."""
    NOT_READY = "not_ready"


@dataclass(frozen=True, slots=True)
class ReadinessProblem:
    """A problem of a part. `reason` is a stable word for clients, `detail` is for the log."""

    part: str
    reason: str
    detail: str
    severity: Severity = Severity.NOT_READY

    @classmethod
    def of_error(cls, part: str, error: BlobError) -> Self:
        """Take a full disk, or rows that are moved, for degraded: blobs are read. Other errors may affect readers."""
        severity = Severity.DEGRADED if error.kind in (Kind.NO_SPACE, Kind.READ_ONLY) else Severity.NOT_READY
        return cls(part, error.kind.value, str(error), severity)


@dataclass(frozen=True, slots=True)
class CheckReady:
    """Try each part, for up to `deadline` each, and return the problems found.

    The probe is an upload that is never published, so the reaper cleans up after one that is cut off. `uploads` should
    have a lease of PROBE_LEASE. `recognise` raises if the storage is not the one that the database knows. With `look`,
    which reads from the database, nothing is written: for a server that is read-only.
    """

    uploads: Uploads
    new_key: KeySource
    deadline: timedelta = DEADLINE
    recognise: Callable[[str], Awaitable[object]] = any_storage
    look: Callable[[str], Awaitable[object]] | None = None

    async def __call__(self) -> Sequence[ReadinessProblem]:
        location = Location(self.uploads.stores.active, self.new_key())
        if self.look is not None:
            return await self._look(location.backend, self.look)
        if found := await self._find("database", self.uploads.begin(location)):
            # Without a row, nothing may be written to the storage.
            return [found, *await self._others(found)]
        probes = (("storage", self._recognise), ("storage", self._write), ("database", self._release))
        for part, probe in probes:
            if found := await self._find(part, probe(location)):
                return [found]
        return []

    async def _look(self, backend: str, look: Callable[[str], Awaitable[object]]) -> Sequence[ReadinessProblem]:
        for part, probe in (("database", look), ("storage", self._open)):
            if found := await self._find(part, probe(backend)):
                return [found]
        return []

    async def _others(self, found: ReadinessProblem) -> Sequence[ReadinessProblem]:
        if found.severity is Severity.NOT_READY:
            return []
        other = await self._find("storage", self._open(self.uploads.stores.active))
        return [other] if other else []

    async def _open(self, backend: str) -> None:
        await self.recognise(backend)  # before the check, which makes a folder that is missing, and accepts it
        await self.uploads.stores.by_name[backend].check()

    async def _find(self, part: str, probe: Awaitable[object]) -> ReadinessProblem | None:
        error = await self._within_deadline(probe)
        if error:
            error.locate(self.uploads.stores.active if part == "storage" else part, "")
        return ReadinessProblem.of_error(part, error) if error else None

    async def _recognise(self, location: Location) -> None:
        try:
            await self.recognise(location.backend)
        except BlobError:
            await self._release(location)
            raise

    async def _write(self, location: Location) -> None:
        store = self.uploads.stores.holding(location)
        try:
            await store.put(location.key, _probe())
            await store.delete(location.key)
        except BlobError:
            await self.uploads.discard(location)
            raise

    async def _release(self, location: Location) -> None:
        await self.uploads.release(location)

    async def _within_deadline(self, probe: Awaitable[object]) -> BlobError | None:
        task = asyncio.ensure_future(probe)
        # asyncio.timeout would wait until a cancelled probe has cleaned up, which takes as long as a dead disk hangs.
        done, _ = await asyncio.wait({task}, timeout=self.deadline.total_seconds())
        if not done:
            task.add_done_callback(lambda late: late.cancelled() or late.exception())  # reported already
            task.cancel()
            return TimedOut(f"It did not respond within {self.deadline.total_seconds():g} s.")
        match task.exception():
            case None | BlobError() as error:
                return error
            case bug:
                raise bug


async def _probe() -> AsyncIterator[bytes]:
    yield b"ready?"
