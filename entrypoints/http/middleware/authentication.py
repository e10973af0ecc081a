"""Bearer authentication (RFC 6750), before anything else is looked at."""

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from litestar.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.protocol.problems import HttpProblem


class BearerAuthenticationMiddleware:
    """ASGI middleware that lets pass who has one of the tokens whose SHA-256 are `hashes`.

    All are compared, in constant time each.

    Not a guard: the framework runs those in threads, and copies the route for each request that has one.
    """

    def __init__(self, app: ASGIApp, hashes: Sequence[bytes]) -> None:
        self._app = app
        self._hashes = tuple(hashes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = _bearer(scope["headers"])
        if given is None:
            raise _unauthorized("Send the header Authorization: Bearer <token>, once.", "")
        given_hash = hashlib.sha256(given).digest()
        matches = [hmac.compare_digest(given_hash, each) for each in self._hashes]
        if not any(matches):
            raise _unauthorized("The bearer token is not valid here.", ' error="invalid_token"')
        await self._app(scope, receive, send)


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(b" ")
    return token.strip() or None if scheme.lower() == b"bearer" else None


def _unauthorized(detail: str, fault: str) -> HttpProblem:
    headers = {"WWW-Authenticate": f"Bearer{fault}"}
    return HttpProblem("unauthorized", detail, headers=headers)
