"""Liveness and readiness, for load balancers and orchestrators."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import structlog
from litestar import Response, get
from litestar.di import NamedDependency

from application.checks.readiness import CheckReady, ReadinessProblem, Severity
from entrypoints.http.openapi.components import json_of, response
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.problems import RETRY_AFTER, HttpProblem
from entrypoints.server.shutdown import GracefulShutdown
from entrypoints.shared_result import SharedResult

LOG = structlog.get_logger()
FRESH = 1.0  # seconds; clients need no token, and each check costs writes


class Health(msgspec.Struct):
    """All is well."""

    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct):
    """Blobs are read and deleted. `degraded`: something else does not work, for the reason given by part."""

    status: Literal["ok", "degraded"] = "ok"
    reasons: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class Readiness:
    """Outcomes of the check, each of which serves all clients for `FRESH` seconds."""

    def __init__(self, check: CheckReady, shutdown: GracefulShutdown) -> None:
        self._check = check
        self._shutdown = shutdown
        self._problems = SharedResult(self._find, FRESH)

    @property
    def is_stopping(self) -> bool:
        return self._shutdown.has_begun

    async def problems(self) -> Sequence[ReadinessProblem]:
        """Return the problems that the check found."""
        return await self._problems.get()

    async def _find(self) -> Sequence[ReadinessProblem]:
        found = await self._check()
        for problem in found:
            log = LOG.error if problem.severity is Severity.NOT_READY else LOG.warning
            log(problem.severity.value.replace("_", " "), part=problem.part, fault=problem.detail)
        return found


_OK = json_of("Health", {"status": "ok"})
LIVE = operation(responses={"200": response("It does.", _OK)} | problems("invalid_parameter", path="/health/live"))


@get(
    "/health/live",
    operation_id="isLive",
    summary="Does the process answer?",
    operation_class=LIVE,
)
async def live() -> Health:
    """The process answers."""
    return Health()


_READY = json_of("Ready", {"status": "degraded", "reasons": {"storage": "no_space"}})
READY = operation(
    responses={
        "200": response(
            "Blobs are read, and stored: `ok`. Or they are read and deleted, but for a reason that is named, such as"
            " `no_space`, none is stored: `degraded`.",
            _READY,
            required=["Cache-Control"],
        )
    }
    | problems("invalid_parameter", "not_ready", "internal_error", path="/health/ready")
)


@get(
    "/health/ready",
    operation_id="isReady",
    summary="Can blobs be read, and stored?",
    operation_class=READY,
)
async def ready(readiness: NamedDependency[Readiness]) -> Response[Ready]:
    """The database and the storage for new blobs took a write just now, or can be read at least."""
    if readiness.is_stopping:
        raise _not_ready("Not ready: it is about to stop. Ask another server.")
    found = await readiness.problems()
    if grave := [each for each in found if each.severity is Severity.NOT_READY]:
        parts = " and ".join(f"the {each.part} ({each.reason})" for each in grave)
        raise _not_ready(f"Not ready: {parts}. The log has the details.")
    body = Ready("degraded", {each.part: each.reason for each in found}) if found else Ready()
    return Response(body, headers={"Cache-Control": "no-store"})


def _not_ready(detail: str) -> HttpProblem:
    return HttpProblem("not_ready", detail, headers=RETRY_AFTER)
