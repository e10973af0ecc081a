"""The Host of a request (RFC 9112, section 3.2)."""

import string

from entrypoints.http.middleware.base.exchange import Exchange, Responder
from entrypoints.http.middleware.base.stack import Middleware
from entrypoints.http.protocol.problems import HttpProblem, send_problem

# RFC 3986, section 3.2: names, addresses, their percent-encoding, brackets, and a port. No user.
IN_HOSTS = f"{string.ascii_letters}{string.digits}-._~%!$&'()*+,;=:[]".encode()
INVALID = HttpProblem("invalid_header", "Send the header Host once, with the name or the address of the server.")


class HostMiddleware(Middleware):
    """Refuses a request whose Host is missing, repeated, or invalid.

    A proxy may take another of two hosts than the server does. HTTP/1.0 has no Host. granian adds an empty one where
    there is none, so that an empty one, which no request to a server may have, is refused too.
    """

    def on_request(self, exchange: Exchange) -> Responder | None:
        hosts = [value for name, value in exchange.scope["headers"] if name == b"host"]
        if len(hosts) == 1 and hosts[0]:
            is_valid = not hosts[0].translate(None, delete=IN_HOSTS)
        else:
            is_valid = exchange.scope["http_version"] in ("1", "1.0") and not any(hosts)
        return None if is_valid else _refuse


async def _refuse(exchange: Exchange) -> None:
    await send_problem(exchange.scope, exchange.send, INVALID)
