"""The status of a server, for the pages of operators."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from litestar import HttpMethod, Request, Response, get, route
from litestar.di import NamedDependency

from application.checks import status as checks
from application.checks.readiness import Severity
from application.ports.metadata import Backlog
from domain.access import Grant
from entrypoints.http.openapi.components import json_of, response
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.operations.health import Readiness
from entrypoints.telemetry import disks
from entrypoints.telemetry.totals import BackendUse, Process, Requests

if TYPE_CHECKING:
    from entrypoints.telemetry.prometheus_page import MetricsPage

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


class StatusBody(msgspec.Struct):
    """The status of this server. New blobs go to the storage `active`.

    `backlog` and `digests` (contents whose SHA-256 is still to be computed) are null if the database can't be read.
    Numbers of all workers since their start are null with `METRICS=false`.
    """

    active: str
    database: PartStatus
    storages: list[PartStatus]
    disks: list[DiskBody]
    backlog: list[BacklogBody] | None
    digests: int | None
    requests: Requests | None
    backends: list[BackendUse] | None
    process: Process | None


class StatusPage:
    """The status, as it is now."""

    def __init__(
        self, show: checks.ShowStatus, readiness: Readiness, folders: Mapping[str, Path], metrics: "MetricsPage | None"
    ) -> None:
        self._show = show
        self._readiness = readiness
        self._folders = folders
        self._metrics = metrics

    async def body(self, grant: Grant) -> StatusBody:
        """Return the status. Raises FORBIDDEN."""
        found = await self._show(grant, self._readiness.problems)
        measured = await asyncio.to_thread(lambda: [*disks.measured(self._folders)])
        numbers = None if self._metrics is None else await self._metrics.summary()
        return StatusBody(
            found.active,
            PartStatus.of(found.database),
            [PartStatus.of(each) for each in found.storages],
            [DiskBody(*each) for each in measured],
            None if found.backlog is None else [BacklogBody.of(each) for each in found.backlog],
            found.undigested,
            *((None, None, None) if numbers is None else (numbers.requests, numbers.backends, numbers.process)),
        )


_STATUS = {
    "active": "fs",
    "database": {"name": "database", "status": "ok", "reason": ""},
    "storages": [{"name": "fs", "status": "degraded", "reason": "no_space"}],
    "disks": [{"name": "blobs", "free_bytes": 100_000_000, "size_bytes": 500_000_000_000}],
    "backlog": [{"storage": "fs", "uploads": 1, "garbage": 20, "due": 0, "overdue_seconds": 0.0}],
    "digests": 0,
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
