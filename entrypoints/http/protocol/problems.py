"""Errors as problem details (RFC 9457)."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Send

from domain.errors import BlobError, NotGranted, QuotaExceeded, RateLimited, ReadOnly
from entrypoints.http.protocol.catalogue import CATALOGUE, STATUSES

LOG = structlog.get_logger()
RETRY_AFTER = {"Retry-After": "5"}  # seconds
PROBLEM = "application/problem+json"


class Required(msgspec.Struct, frozen=True):
    """The right that the credentials lack: an action on the blobs whose ids begin with `prefix`."""

    action: str
    prefix: str


class Problem(msgspec.Struct, frozen=True):
    """The body of every error. `code` is stable, for programs; `detail` is for people.

    `operation` is the number, from 0, of the failed operation of a commit, or of the missing id of a zip. `required`:
    see the code `forbidden`. The offsets: see the type `mismatching-upload-offset`.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    operation: int | msgspec.UnsetType = msgspec.UNSET
    required: Required | msgspec.UnsetType = msgspec.UNSET
    expected_offset: int | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="expected-offset")
    provided_offset: int | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="provided-offset")


class HttpProblem(Exception):
    """A refused request, by its `code` in the catalogue. Without a `detail` it has the catalogue's text.

    `status`: for codes of the framework, which the catalogue lacks. `operation` and `required`: as in `Problem`.
    `type`, `title`: of a registered type. `offsets`: the expected and the provided one.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        status: HTTPStatus | None = None,
        headers: Mapping[str, str] | None = None,
        operation: int | None = None,
        required: Required | None = None,
        type: str = "about:blank",  # noqa: A002 - the name in RFC 9457
        title: str = "",
        offsets: tuple[int, int] | None = None,
    ) -> None:
        self.code = code
        self.status = status or CATALOGUE[code].status
        self.detail = detail or CATALOGUE[code].text
        self.headers = dict(headers or {})
        self.operation = operation
        self.required = required
        self.type = type
        self.title = title or self.status.phrase
        self.offsets = offsets
        super().__init__(self.detail)


class ClientGone(Exception):
    """The request ended before it was complete, mostly because the client left: then nobody receives a response."""


def problem_response(request: Request[Any, Any, Any], problem: HttpProblem) -> Response[bytes]:
    """Return the response that describes `problem`."""
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
    expected, provided = problem.offsets or (msgspec.UNSET, msgspec.UNSET)
    return msgspec.json.encode(
        Problem(
            type=problem.type,
            title=problem.title,
            status=problem.status,
            detail=problem.detail,
            instance=raw_path.decode("ascii", "backslashreplace"),
            code=problem.code,
            operation=msgspec.UNSET if problem.operation is None else problem.operation,
            required=problem.required or msgspec.UNSET,
            expected_offset=expected,
            provided_offset=provided,
        )
    )


def on_blob_error(request: Request[Any, Any, Any], error: BlobError) -> Response[bytes]:
    """Respond to an error of the domain. The details of one on the server's side go to the log only."""
    status = STATUSES[error.kind]
    if isinstance(error, RateLimited):
        headers = {"Retry-After": str(math.ceil(error.retry_after))}
        return problem_response(request, HttpProblem(error.kind.value, error.detail, headers=headers))
    if isinstance(error, ReadOnly):
        return problem_response(request, HttpProblem(error.kind.value, headers=RETRY_AFTER))
    if status < HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, QuotaExceeded):
        # The holder of a link learns nothing of ids.
        has_key = isinstance(error, NotGranted) and "share" not in request.scope
        required = Required(error.operation, str(error.subject)) if has_key else None
        problem = HttpProblem(error.kind.value, error.detail, operation=error.index, required=required)
        return problem_response(request, problem)
    LOG.error("a request failed", fault=str(error), cause=error.__cause__)
    return problem_response(request, HttpProblem(error.kind.value, headers=RETRY_AFTER if error.temporary else {}))


def on_http_problem(request: Request[Any, Any, Any], error: HttpProblem) -> Response[bytes]:
    return problem_response(request, error)


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Respond to a refusal by the framework: an unknown route, a wrong method, a malformed request."""
    status = HTTPStatus(error.status_code)
    code = {HTTPStatus.NOT_FOUND: "unknown_route"}.get(status, status.name.lower())
    detail = "" if code in CATALOGUE else error.detail
    return problem_response(request, HttpProblem(code, detail, status=status, headers=error.headers))


def on_client_gone(request: Request[Any, Any, Any], error: ClientGone) -> Response[bytes]:
    return problem_response(request, HttpProblem("client_gone"))


def on_bug(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Respond to a bug in general terms. The log has its traceback."""
    LOG.error("a request hit a fault in Drivebay", exc_info=error)
    return problem_response(request, HttpProblem("internal_error"))


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    BlobError: on_blob_error,
    HttpProblem: on_http_problem,
    HTTPException: on_http_exception,
    ClientGone: on_client_gone,
    Exception: on_bug,
}
