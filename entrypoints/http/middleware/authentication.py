"""Bearer authentication (RFC 6750), before anything else of a request is read."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from litestar.types import ASGIApp, Scope

from domain.access import Grant
from entrypoints.http.middleware.guard import GuardMiddleware
from entrypoints.http.protocol.problems import HttpProblem


class BearerAuthenticationMiddleware(GuardMiddleware):
    """ASGI middleware that admits requests with a bearer token whose SHA-256 is in `grants`.

    The token's grant becomes the scope's `auth`. The token is compared with all of them, each in constant time. A guard
    would make the framework copy the route for each request.
    """

    def __init__(self, app: ASGIApp, grants: Mapping[bytes, Grant]) -> None:
        super().__init__(app)
        self._grants = dict(grants)

    def enter(self, scope: Scope) -> None:
        token = _bearer(scope["headers"])
        if token is None:
            raise HttpProblem("unauthorized", headers={"WWW-Authenticate": "Bearer"})
        digest = hashlib.sha256(token).digest()
        found = None
        for each, grant in self._grants.items():
            if hmac.compare_digest(digest, each):
                found = grant
        if found is None:
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise HttpProblem("unauthorized", "The bearer token is not valid here.", headers=headers)
        scope["auth"] = found


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(b" ")
    return token.strip() or None if scheme.lower() == b"bearer" else None
