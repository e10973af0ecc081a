"""Share links: the link in the path is the credential, with a password where it has one."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any

from litestar.types import ASGIApp, HTTPScope, Scope

from application.access.failures import FailedAuthentications
from application.access.rates import RequestRates
from application.access.shares import Shares
from application.attempts import record
from domain.access import NOBODY
from domain.errors import ShareLocked, ShareNotFound
from entrypoints.http.middleware.routes.failures import count_failure
from entrypoints.http.middleware.routes.guard import GuardMiddleware
from entrypoints.http.protocol.addresses import client_address
from entrypoints.http.protocol.problems import HttpProblem

PREFIX = b"/s/"
CHALLENGE = {"WWW-Authenticate": 'Basic realm="Drivebay share link", charset="UTF-8"'}


class ShareLinkMiddleware(GuardMiddleware):
    """ASGI middleware that admits requests by a share link. Its grant becomes the scope's `auth`, the link `share`.

    `page`: whether a browser wants a page. Then ShareLocked is raised for a link with a password.

    Any user name is accepted (RFC 7617). Wrong passwords are slowed like wrong tokens. Links can't be guessed.
    """

    def __init__(
        self,
        app: ASGIApp,
        shares: Shares,
        rates: RequestRates,
        failures: FailedAuthentications,
        page: Callable[[HTTPScope], bool] | None = None,
    ) -> None:
        super().__init__(app)
        self._page = page
        self._shares = shares
        self._rates = rates
        self._failures = failures

    def enter(self, scope: Scope) -> Awaitable[None]:
        return self._admit(scope)

    async def _admit(self, scope: Any) -> None:
        token = scope["raw_path"].removeprefix(PREFIX).decode("latin-1")
        try:
            share, grant = await self._shares.open(token, _password(scope["headers"]), client_address(scope))
        except ShareLocked as error:
            if not error.is_wrong and self._page is not None and self._page(scope):
                raise  # the browser gets a page, which asks for the password
            if error.is_wrong:
                await count_failure(scope, self._failures)
            raise HttpProblem(error.kind.value, headers=CHALLENGE) from None
        except ShareNotFound:
            record(NOBODY, "open_link", is_granted=False)
            raise
        self._rates.admit(grant)
        scope["auth"] = grant
        scope["share"] = share


def _password(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """Return the password in the only value of Authorization, or None."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, encoded = values[0].partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        return base64.b64decode(encoded.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return None
