"""Whether the process lives, and whether it could store a blob now. For load balancers and orchestrators: no token."""

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

import msgspec
import structlog
from litestar import Response, get
from litestar.di import NamedDependency

from application.check_ready import CheckReady
from domain.errors import DriveError
from entrypoints.http import openapi
from entrypoints.http.problems import RETRY_AFTER, HttpProblem
from entrypoints.stopping import Stopping

LOG = structlog.get_logger()
FRESH = 1.0  # seconds for which an answer serves all who ask: they need no token, and each check costs writes


class Health(msgspec.Struct):
    """All is well."""

    status: Literal["ok"] = "ok"


class Readiness:
    """The last outcome of the check, taken anew at most once in `FRESH` seconds, however many ask."""

    def __init__(self, check: CheckReady, stopping: Stopping) -> None:
        self._check = check
        self._stopping = stopping
        self._outcome: asyncio.Task[Mapping[str, DriveError]] | None = None
        self._taken = float("-inf")

    @property
    def is_stopping(self) -> bool:
        return self._stopping.has_begun

    async def faults(self) -> Mapping[str, DriveError]:
        """The faults by the name of the part that has them."""
        stale = time.monotonic() - self._taken > FRESH
        if self._outcome is None or (self._outcome.done() and stale):
            self._outcome = asyncio.create_task(self._take())
        return await asyncio.shield(self._outcome)

    async def _take(self) -> Mapping[str, DriveError]:
        faults = await self._check()
        self._taken = time.monotonic()
        for part, fault in faults.items():
            LOG.error("not ready", part=part, fault=str(fault))
        return faults


@get(
    "/health/live",
    operation_id="isLive",
    summary="Does the process answer?",
    operation_class=openapi.LIVE,
    tags=["operations"],
    security=[{}],
)
async def live() -> Health:
    """The process answers."""
    return Health()


@get(
    "/health/ready",
    operation_id="isReady",
    summary="Could a blob be stored now?",
    operation_class=openapi.READY,
    tags=["operations"],
    security=[{}],
)
async def ready(readiness: NamedDependency[Readiness]) -> Response[Health]:
    """The database and the storage for new blobs took a write just now."""
    if readiness.is_stopping:
        raise _not_ready("Not ready: it is about to stop. Ask another server.")
    if faults := await readiness.faults():
        parts = " and ".join(f"the {part} ({fault.kind.value})" for part, fault in faults.items())
        raise _not_ready(f"Not ready: {parts}. The log has the details.")
    return Response(Health(), headers={"Cache-Control": "no-store"})


def _not_ready(detail: str) -> HttpProblem:
    return HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", detail, headers=RETRY_AFTER)
