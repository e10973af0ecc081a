"""Errors as problem details (RFC 9457): a table from the domain's kinds to HTTP, and the same form for all others."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Send

from domain.errors import BlobError, Kind

LOG = structlog.get_logger()
RETRY_AFTER = {"Retry-After": "5"}  # seconds
PROBLEM = "application/problem+json"

STATUSES: Mapping[Kind, HTTPStatus] = {
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    Kind.PRECONDITION_FAILED: HTTPStatus.PRECONDITION_FAILED,
    Kind.INVALID_ID: HTTPStatus.BAD_REQUEST,
    Kind.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Kind.SIZE_MISMATCH: HTTPStatus.BAD_REQUEST,
    Kind.DIGEST_MISMATCH: HTTPStatus.BAD_REQUEST,
    Kind.RANGE_NOT_SATISFIABLE: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    Kind.INTEGRITY: HTTPStatus.INTERNAL_SERVER_ERROR,
    Kind.NO_SPACE: HTTPStatus.INSUFFICIENT_STORAGE,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.TIMEOUT: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.LEASE_LOST: HTTPStatus.REQUEST_TIMEOUT,
    Kind.COMMIT_UNKNOWN: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.ROLLED_BACK: HTTPStatus.SERVICE_UNAVAILABLE,
}

# What is told of the faults on our side. The details, with paths and hosts, are for the log.
TOLD = {
    Kind.INTEGRITY: "The stored bytes of this blob are missing or damaged. Tell the operator; the log has the details.",
    Kind.NO_SPACE: "The storage is full. Tell the operator, or try again later. Nothing was changed.",
    Kind.UNAVAILABLE: "The storage or the database can't be used now. Try again later.",
    Kind.TIMEOUT: "The storage or the database did not answer in time. Try again later.",
    Kind.COMMIT_UNKNOWN: "The connection to the database was lost. Fetch the blob to see whether it was stored.",
    Kind.ROLLED_BACK: "Other requests were changing the same blob. Nothing was changed. Try again.",
}


class Problem(msgspec.Struct, frozen=True):
    """The body of every error. `code` is stable, for programs; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str


class HttpProblem(Exception):
    """A request that HTTP itself is enough to refuse."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


class ClientGone(Exception):
    """The request ended before it was complete: mostly because the client went away, and nobody is left to answer."""


def problem_response(request: Request[Any, Any, Any], problem: HttpProblem) -> Response[bytes]:
    """The answer that tells of `problem`."""
    return Response(
        _body(problem, request.scope["raw_path"]),
        status_code=problem.status,
        headers=problem.headers | {"Content-Type": PROBLEM},
        media_type=MediaType.JSON,
    )


async def send_problem(scope: HTTPScope, send: Send, problem: HttpProblem) -> None:
    """Refuse a request outside of the framework."""
    body = _body(problem, scope["raw_path"])
    headers = problem.headers | {"content-type": PROBLEM, "content-length": str(len(body))}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _body(problem: HttpProblem, raw_path: bytes) -> bytes:
    return msgspec.json.encode(
        Problem(
            type="about:blank",
            title=problem.status.phrase,
            status=problem.status,
            detail=problem.detail,
            instance=raw_path.decode("ascii", "backslashreplace"),
            code=problem.code,
        )
    )


def on_drive_error(request: Request[Any, Any, Any], error: BlobError) -> Response[bytes]:
    """An error of the domain, as its kind's row says."""
    status = STATUSES[error.kind]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        LOG.error("a request failed", fault=str(error), cause=error.__cause__)
    retry = RETRY_AFTER if error.temporary and status >= HTTPStatus.INTERNAL_SERVER_ERROR else {}
    told = TOLD.get(error.kind, error.detail)
    return problem_response(request, HttpProblem(status, error.kind.value, told, headers=retry))


def on_http_problem(request: Request[Any, Any, Any], error: HttpProblem) -> Response[bytes]:
    return problem_response(request, error)


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework refuses: an unknown route, a wrong method, a malformed request."""
    status = HTTPStatus(error.status_code)
    code, detail = {
        HTTPStatus.NOT_FOUND: (
            "unknown_route",
            "There is nothing at this path. The interface is described at /docs.",
        ),
        HTTPStatus.METHOD_NOT_ALLOWED: (
            "method_not_allowed",
            "This method is not known here. See the header Allow.",
        ),
    }.get(status, (status.name.lower(), error.detail))
    return problem_response(request, HttpProblem(status, code, detail, headers=error.headers))


def on_client_gone(request: Request[Any, Any, Any], error: ClientGone) -> Response[bytes]:
    detail = "The request ended before its body did, or the body is not chunked as it should be."
    return problem_response(request, HttpProblem(HTTPStatus.BAD_REQUEST, "client_gone", detail))


def on_bug(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A bug: described in general terms in the response, and by its traceback in the log."""
    LOG.error("a request hit a fault in Drivebay", exc_info=error)
    detail = "Drivebay has a fault here. Tell the operator; the log has the details."
    return problem_response(request, HttpProblem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail))


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    BlobError: on_drive_error,
    HttpProblem: on_http_problem,
    HTTPException: on_http_exception,
    ClientGone: on_client_gone,
    Exception: on_bug,
}
