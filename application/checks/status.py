"""The status of the database and of all storages, for operators."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.authorize import authorize
from application.checks.readiness import DEADLINE, ReadinessProblem, Severity
from application.ports.metadata import Backlog, BacklogReader, DigestBacklogReader, KeySource
from application.ports.verifications import Verification, VerificationReader
from application.stores import Stores
from domain.access import Action, Grant
from domain.errors import BlobError, NotFound, TimedOut

Problems = Callable[[], Awaitable[Sequence[ReadinessProblem]]]


@dataclass(frozen=True, slots=True)
class Health:
    """The health of a part. `reason` is a stable word, empty if all is well. `severity` is None then."""

    name: str
    severity: Severity | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """`backlog`, `undigested` and `verifications` are None if the database can't be read now."""

    database: Health
    storages: Sequence[Health]
    active: str
    backlog: Sequence[Backlog] | None
    undigested: int | None
    verifications: Sequence[Verification] | None


@dataclass(frozen=True, slots=True)
class ShowStatus:
    """Show the status, to callers with the right `admin` on all blobs.

    The database and the active storage are tried by a write (see `CheckReady`), the other storages by a look at an
    object that is not there. Each is tried for up to `deadline`. Raises FORBIDDEN.
    """

    stores: Stores
    backlog: BacklogReader
    undigested: DigestBacklogReader
    verifications: VerificationReader
    new_key: KeySource
    deadline: timedelta = DEADLINE

    async def __call__(self, grant: Grant, problems: Problems) -> Status:
        authorize(grant, Action.ADMIN, "", purpose="show_status")
        active = self.stores.active
        others = [name for name in self.stores.by_name if name != active]
        found, health = await asyncio.gather(problems(), asyncio.gather(*map(self._look, others)))
        by_part = {problem.part: problem for problem in found}
        storages = [_health(active, by_part.get("storage")), *health]
        database = _health("database", by_part.get("database"))
        try:
            async with asyncio.timeout(self.deadline.total_seconds()):
                readings = await asyncio.gather(self.backlog(), self.undigested(), self.verifications.last())
        except (BlobError, TimeoutError):
            return Status(database, storages, active, None, None, None)
        return Status(database, storages, active, *readings)

    async def _look(self, name: str) -> Health:
        error: BlobError
        try:
            async with asyncio.timeout(self.deadline.total_seconds()):
                await self.stores.by_name[name].stat(self.new_key())
        except NotFound:
            return Health(name)
        except TimeoutError:
            error = TimedOut()
        except BlobError as found:
            error = found
        else:
            return Health(name)
        return Health(name, Severity.NOT_READY, error.kind.value)


def _health(name: str, problem: ReadinessProblem | None) -> Health:
    return Health(name) if problem is None else Health(name, problem.severity, problem.reason)
