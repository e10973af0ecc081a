"""Bearer authentication (RFC 6750), before anything else of a request is read."""

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from litestar.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.protocol.problems import HttpProblem


class BearerAuthenticationMiddleware:
    """ASGI middleware that admits requests with a bearer token whose SHA-256 is in `hashes`.

    The token is compared with all of them, each in constant time. A guard would make the framework copy the route for
    each request.
    """

    def __init__(self, app: ASGIApp, hashes: Sequence[bytes]) -> None:
        self._app = app
        self._hashes = tuple(hashes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = _bearer(scope["headers"])
        if given is None:
            raise HttpProblem("unauthorized", headers={"WWW-Authenticate": "Bearer"})
        given_hash = hashlib.sha256(given).digest()
        matches = [hmac.compare_digest(given_hash, each) for each in self._hashes]
        if not any(matches):
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise HttpProblem("unauthorized", "The bearer token is not valid here.", headers=headers)
        await self._app(scope, receive, send)


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(b" ")
    return token.strip() or None if scheme.lower() == b"bearer" else None
