"""Liveness and readiness, for load balancers and orchestrators."""

import asyncio
import time
from collections.abc import Sequence
from typing import Literal

import msgspec
import structlog
from litestar import Response, get
from litestar.di import NamedDependency

from application.checks.readiness import CheckReady, ReadinessProblem, Severity
from entrypoints.http.openapi.components import answer, json_of
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.problems import RETRY_AFTER, HttpProblem
from entrypoints.server.shutdown import GracefulShutdown

LOG = structlog.get_logger()
FRESH = 1.0  # seconds for which an answer serves all who ask: they need no token, and each check costs writes


class Health(msgspec.Struct):
    """All is well."""

    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct):
    """Blobs are read and deleted. `degraded`: something else does not work, for the reason given by part."""

    status: Literal["ok", "degraded"] = "ok"
    reasons: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class Readiness:
    """The outcome of the check, which runs at most once in `FRESH` seconds, however many clients ask."""

    def __init__(self, check: CheckReady, stopping: GracefulShutdown) -> None:
        self._check = check
        self._stopping = stopping
        self._outcome: asyncio.Task[Sequence[ReadinessProblem]] | None = None
        self._taken = float("-inf")

    @property
    def is_stopping(self) -> bool:
        return self._stopping.has_begun

    async def findings(self) -> Sequence[ReadinessProblem]:
        """Problems that the check found; empty if there are none."""
        stale = time.monotonic() - self._taken > FRESH
        if self._outcome is None or (self._outcome.done() and stale):
            self._outcome = asyncio.create_task(self._take())
        return await asyncio.shield(self._outcome)

    async def _take(self) -> Sequence[ReadinessProblem]:
        findings = await self._check()
        self._taken = time.monotonic()
        for found in findings:
            log = LOG.error if found.severity is Severity.NOT_READY else LOG.warning
            log(found.severity.value.replace("_", " "), part=found.part, fault=found.detail)
        return findings


_OK = json_of("Health", {"status": "ok"})
LIVE = operation(answers={"200": answer("It does.", _OK)} | problems("invalid_parameter", path="/health/live"))


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
    answers={
        "200": answer(
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
    findings = await readiness.findings()
    if grave := [found for found in findings if found.severity is Severity.NOT_READY]:
        parts = " and ".join(f"the {found.part} ({found.reason})" for found in grave)
        raise _not_ready(f"Not ready: {parts}. The log has the details.")
    body = Ready("degraded", {found.part: found.reason for found in findings}) if findings else Ready()
    return Response(body, headers={"Cache-Control": "no-store"})


def _not_ready(detail: str) -> HttpProblem:
    return HttpProblem("not_ready", detail, headers=RETRY_AFTER)
