"""Bearer authentication (RFC 6750), before anything else of a request is read."""

from collections.abc import Awaitable, Iterable

from litestar.types import ASGIApp, Scope

from application.access.authenticate import Authenticate
from entrypoints.http.middleware.guard import GuardMiddleware
from entrypoints.http.protocol.problems import HttpProblem


class AuthenticationMiddleware(GuardMiddleware):
    """ASGI middleware that admits requests with a valid bearer token. Its grant becomes the scope's `auth`.

    A guard would make the framework copy the route for each request.
    """

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        super().__init__(app)
        self._authenticate = authenticate

    def enter(self, scope: Scope) -> Awaitable[None]:
        token = _bearer(scope["headers"])
        if token is None:
            raise HttpProblem("unauthorized", headers={"WWW-Authenticate": "Bearer"})
        return self._admit(scope, token)

    async def _admit(self, scope: Scope, token: bytes) -> None:
        grant = await self._authenticate(token)
        if grant is None:
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise HttpProblem("unauthorized", "The bearer token is not valid here.", headers=headers)
        scope["auth"] = grant


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(b" ")
    return token.strip() or None if scheme.lower() == b"bearer" else None
