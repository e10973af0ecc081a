"""Errors of the client: a class for each status that programs tell apart, with the `code` of the server's problem.

DrivebayError
  BadRequest                 400 and other statuses below 500
    DigestMismatch           the bytes are not those whose digest was declared
  Unauthorized               401
  Forbidden                  403, a PermissionError
  NotFound                   404, a FileNotFoundError
  Conflict                   409
    AlreadyExists            a FileExistsError
  PreconditionFailed         412
    BlobChanged              another version is current, while one was read
  TooLarge                   413
  RangeNotSatisfiable        416
  RateLimited                429
  ServerError                5xx
    NoSpace                  507: the storage or a quota is full
  ConnectionFailed           no response, or not all of one
"""

import json
from collections.abc import Mapping
from typing import Any


class DrivebayError(Exception):
    """An error of a request.

    `code` is stable, for programs; `detail` is for people. `status` is 0 if there was no response. `problem` has all
    members of the problem document (RFC 9457); `retry_after`: the seconds that the server asks to wait.
    """

    code: str = "error"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str = "",
        status: int = 0,
        problem: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.status = status
        self.problem = dict(problem or {})
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.detail


class BadRequest(DrivebayError):
    """The request is not one that the server takes."""


class DigestMismatch(BadRequest):
    """The bytes that arrived differ from the bytes that were sent. Nothing was stored, or the file was not kept."""

    code = "digest_mismatch"


class Unauthorized(DrivebayError):
    """There is no token, or it is not valid."""


class Forbidden(DrivebayError, PermissionError):
    """The token does not allow this action on these ids."""


class NotFound(DrivebayError, FileNotFoundError):
    """There is no such blob, upload or link."""


class Conflict(DrivebayError):
    """The request contradicts the current state."""


class AlreadyExists(Conflict, FileExistsError):
    """The id is in use."""

    code = "already_exists"


class PreconditionFailed(DrivebayError):
    """The current version is not the one that the request is for."""


class BlobChanged(PreconditionFailed):
    """The blob was replaced while it was read. Read it again from the start."""

    code = "blob_changed"


class TooLarge(DrivebayError):
    """The blob is larger than the server or the key allows."""


class RangeNotSatisfiable(DrivebayError):
    """The range starts after the end of the blob."""


class RateLimited(DrivebayError):
    """There were too many requests with this key."""


class ServerError(DrivebayError):
    """The server can't do this now."""


class NoSpace(ServerError):
    """The storage is full, or the quota of the key is used up."""


class ConnectionFailed(DrivebayError):
    """There was no response, or it broke off.

    `was_sent`: whether the server may have received the request. Then a change may have been made. `is_timeout`:
    whether the server has sent nothing for the timeout of the client.
    """

    code = "connection_failed"

    def __init__(self, detail: str = "", *, was_sent: bool = True, is_timeout: bool = False) -> None:
        super().__init__(detail)
        self.was_sent = was_sent
        self.is_timeout = is_timeout


_BY_STATUS: Mapping[int, type[DrivebayError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: TooLarge,
    416: RangeNotSatisfiable,
    429: RateLimited,
    507: NoSpace,
}
_BY_CODE: Mapping[str, type[DrivebayError]] = {"already_exists": AlreadyExists, "digest_mismatch": DigestMismatch}
_WITHOUT_BODY: Mapping[int, tuple[str, str]] = {
    401: ("unauthorized", "The token is missing, or not valid."),
    403: ("forbidden", "The token does not allow this action on these ids. Use one that does."),
    404: ("not_found", "There is no such blob."),
    412: ("precondition_failed", "The blob has another version than you named. Fetch it again before you retry."),
    503: ("unavailable", "The server can't be used now. Try again later."),
}
"""Codes and details of responses to HEAD, which have no body."""
UNCHANGED = frozenset({"rate_limited", "overloaded", "rolled_back", "read_only"})
"""Codes of refusals that have changed nothing, so that any request may be repeated."""


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> DrivebayError:
    """Return the error that a response describes. A code that is not known here gets the class of its status."""
    problem = _problem(content)
    code, detail = problem.get("code"), problem.get("detail")
    if not isinstance(code, str) or not isinstance(detail, str):
        code, detail = _WITHOUT_BODY.get(status, (f"http_{status}", f"The server responded with the status {status}."))
        if 300 <= status < 400 and "location" in headers:
            detail = f"The server redirects to {headers['location']}. Use the URL of that server."
    of_status = _BY_STATUS.get(status, ServerError if status >= 500 else BadRequest)
    found = _BY_CODE.get(code, of_status)
    return found(detail, code=code, status=status, problem=problem, retry_after=_seconds(headers.get("retry-after")))


def _problem(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(value: str | None) -> float | None:
    """Return Retry-After in seconds. A date, which Drivebay does not send, means nothing here (RFC 9110, 10.2.3)."""
    return float(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 10 else None
