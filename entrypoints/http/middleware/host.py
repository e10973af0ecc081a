"""The Host of a request (RFC 9112, section 3.2)."""

import string

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from entrypoints.http.protocol.problems import HttpProblem, send_problem

# RFC 3986, section 3.2: names, addresses, their percent-encoding, brackets, and a port. No user.
IN_HOSTS = f"{string.ascii_letters}{string.digits}-._~%!$&'()*+,;=:[]".encode()
INVALID = HttpProblem("invalid_header", "Send the header Host once, with the name or the address of the server.")


class HostMiddleware:
    """ASGI middleware that refuses a request whose Host is missing, repeated, or invalid.

    A proxy may take another of two hosts than the server does. HTTP/1.0 has no Host. granian adds an empty one where
    there is none, so that an empty one, which no request to a server may have, is refused too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or _is_valid(scope):
            await self._app(scope, receive, send)
            return
        await send_problem(scope, send, INVALID)


def _is_valid(scope: HTTPScope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    may_be_missing = scope["http_version"] in ("1", "1.0")
    if len(hosts) != 1 or not hosts[0]:
        return may_be_missing and not any(hosts)
    return not hosts[0].translate(None, delete=IN_HOSTS)
