"""Bearer authentication (RFC 6750), before anything else is looked at."""

import hmac
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from entrypoints.http.problems import HttpProblem

Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]


def bearer_guard(tokens: Sequence[str]) -> Guard:
    """A guard that lets pass who has one of `tokens`. All are compared, in constant time each."""
    accepted = [token.encode() for token in tokens]

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        given = _bearer(connection.scope["headers"])
        if given is None:
            raise _unauthorized("Send the header Authorization: Bearer <token>, once.", "")
        matches = [hmac.compare_digest(given, token) for token in accepted]
        if not any(matches):
            raise _unauthorized("The bearer token is not valid here.", ' error="invalid_token"')

    return guard


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(b" ")
    return token.strip() or None if scheme.lower() == b"bearer" else None


def _unauthorized(detail: str, fault: str) -> HttpProblem:
    headers = {"WWW-Authenticate": f"Bearer{fault}"}
    return HttpProblem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers=headers, close=True)
