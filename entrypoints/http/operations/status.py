"""The status of a server, for the pages of operators."""

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from litestar import HttpMethod, Request, Response, get, route
from litestar.di import NamedDependency

from application.checks import status as checks
from application.checks.readiness import Severity
from application.ports.metadata import Backlog
from application.ports.verifications import Verification
from domain.access import Grant
from entrypoints.http.openapi.components import json_of, response
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.operations.health import Readiness
from entrypoints.telemetry.disks import Disks
from entrypoints.telemetry.prometheus.totals import BackendUse, Process, Requests

if TYPE_CHECKING:
    from entrypoints.telemetry.prometheus.page import MetricsPage

PATH = "/v1/status"


class PartStatus(msgspec.Struct):
    """A database or a storage. `degraded`: it can be read, but not written, for the `reason`."""

    name: str
    status: Literal["ok", "degraded", "failing"]
    reason: str = ""

    @classmethod
    def of(cls, health: checks.Health) -> "PartStatus":
        """Return the status of a part."""
        if health.severity is None:
            return cls(health.name, "ok")
        return cls(health.name, "degraded" if health.severity is Severity.DEGRADED else "failing", health.reason)


class BacklogBody(msgspec.Struct):
    """The backlog of a storage. `uploads`: in progress, or abandoned. `garbage`: objects to be deleted.

    `due`: those to be deleted now, for up to `overdue_seconds`.
    """

    storage: str
    uploads: int
    garbage: int
    due: int
    overdue_seconds: float

    @classmethod
    def of(cls, backlog: Backlog) -> "BacklogBody":
        """Return the backlog of a storage."""
        overdue = backlog.overdue.total_seconds()
        return cls(backlog.backend, backlog.uploads, backlog.garbage, backlog.due, overdue)


class DiskBody(msgspec.Struct):
    """The disk of a folder: of the bytes of `blobs`, or of the `rows` of SQLite."""

    name: str
    free_bytes: int
    size_bytes: int


class VerificationBody(msgspec.Struct):
    """The last run of `drivebay verify` for a storage. `deep`: all bytes were read.

    `complete`: all of it could be verified. `blobs`, `bytes` and `objects` were verified. `missing`, `damaged`,
    `orphans` and `unreadable` were found, and `repaired` of these were repaired.
    """

    storage: str
    ended_at: datetime
    seconds: float
    deep: bool
    complete: bool
    blobs: int
    bytes: int
    objects: int
    missing: int
    damaged: int
    orphans: int
    unreadable: int
    repaired: int

    @classmethod
    def of(cls, found: Verification) -> "VerificationBody":
        """Return the last verification of a storage."""
        seconds = max(0.0, (found.ended_at - found.begun_at).total_seconds())
        return cls(
            found.storage,
            found.ended_at,
            seconds,
            found.deep,
            found.complete,
            found.blobs,
            found.bytes,
            found.objects,
            found.missing,
            found.damaged,
            found.orphans,
            found.unreadable,
            found.repaired,
        )


class StatusBody(msgspec.Struct):
    """The status of this server. New blobs go to the storage `active`.

    `backlog`, `digests` (contents whose SHA-256 is still to be computed) and `verifications` are null if the database
    can't be read. A storage that was never verified has none. Numbers of all workers since their start are null with
    `METRICS=false`.
    """

    active: str
    database: PartStatus
    storages: list[PartStatus]
    disks: list[DiskBody]
    backlog: list[BacklogBody] | None
    digests: int | None
    verifications: list[VerificationBody] | None
    requests: Requests | None
    backends: list[BackendUse] | None
    process: Process | None


class StatusPage:
    """The status, as it is now."""

    def __init__(
        self, show: checks.ShowStatus, readiness: Readiness, disks: Disks, metrics: "MetricsPage | None"
    ) -> None:
        self._show = show
        self._readiness = readiness
        self._disks = disks
        self._metrics = metrics

    async def body(self, grant: Grant) -> StatusBody:
        """Return the status. Raises FORBIDDEN."""
        found = await self._show(grant, self._readiness.problems)
        measured = await self._disks.measured()
        numbers = None if self._metrics is None else await self._metrics.summary()
        return StatusBody(
            found.active,
            PartStatus.of(found.database),
            [PartStatus.of(each) for each in found.storages],
            [DiskBody(*each) for each in measured],
            None if found.backlog is None else [BacklogBody.of(each) for each in found.backlog],
            found.undigested,
            None if found.verifications is None else [VerificationBody.of(each) for each in found.verifications],
            *((None, None, None) if numbers is None else (numbers.requests, numbers.backends, numbers.process)),
        )


_STATUS = {
    "active": "fs",
    "database": {"name": "database", "status": "ok", "reason": ""},
    "storages": [{"name": "fs", "status": "degraded", "reason": "no_space"}],
    "disks": [{"name": "blobs", "free_bytes": 100_000_000, "size_bytes": 500_000_000_000}],
    "backlog": [{"storage": "fs", "uploads": 1, "garbage": 20, "due": 0, "overdue_seconds": 0.0}],
    "digests": 0,
    "verifications": [
        {
            "storage": "fs",
            "ended_at": "2023-10-28T03:00:12Z",
            "seconds": 12.5,
            "deep": True,
            "complete": True,
            "blobs": 1000,
            "bytes": 12_000_000,
            "objects": 1001,
            "missing": 0,
            "damaged": 0,
            "orphans": 1,
            "unreadable": 0,
            "repaired": 0,
        }
    ],
    "requests": msgspec.to_builtins(Requests(in_flight=1, total=12, seconds=0.5, by_status={"2xx": 12})),
    "backends": [msgspec.to_builtins(BackendUse("fs", operations=12, seconds=0.1))],
    "process": msgspec.to_builtins(Process(workers=1, cpu_seconds=2.5, resident_bytes=130_000_000)),
}
_CODES = [
    *("unauthorized", "invalid_signature", "two_credentials", "forbidden", "cross_origin", "invalid_parameter"),
    *("rate_limited", "internal_error", "unavailable", "timeout", "overloaded"),
]
STATUS = operation(
    responses={"200": response("The status.", json_of("StatusBody", _STATUS), required=["Cache-Control"])}
    | problems(*_CODES, path=PATH)
)


@get("/status", operation_id="showStatus", summary="The status of this server", operation_class=STATUS)
async def show_status(request: Request[Any, Grant, Any], page: NamedDependency[StatusPage]) -> Response[StatusBody]:
    """The health of the database and all storages, what is still to be done, and the main numbers of `/metrics`.

    It takes a key with the action `admin` for all blobs.
    """
    return Response(await page.body(request.auth), headers={"Cache-Control": "no-store"})


@route("/status", http_method=HttpMethod.OPTIONS, include_in_schema=False)
async def options() -> Response[None]:
    """List the methods of the status."""
    return Response(None, headers={"Allow": "GET, HEAD, OPTIONS"}, status_code=HTTPStatus.NO_CONTENT)
