"""Authentication, before anything else of a request is read: bearer tokens (RFC 6750), and signed URLs."""

from collections.abc import Awaitable
from typing import Any

from litestar.types import ASGIApp, Scope

from application.access.authenticate import Authenticate
from application.access.failures import FailedAuthentications
from application.access.rates import RequestRates
from application.access.sign import Signatures, narrowed
from entrypoints.http.middleware.guard import GuardMiddleware
from entrypoints.http.protocol.addresses import client_address
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.signed_urls import invalid_signature, is_signed, signed_request


class AuthenticationMiddleware(GuardMiddleware):
    """ASGI middleware that admits requests with a valid credential. Its grant becomes the scope's `auth`.

    Of a signed URL, the query keeps what its route takes, and the scope gets the time of its end as `signed_until`. A
    guard would make the framework copy the route for each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticate: Authenticate,
        signatures: Signatures,
        rates: RequestRates,
        failures: FailedAuthentications,
    ) -> None:
        super().__init__(app)
        self._authenticate = authenticate
        self._signatures = signatures
        self._rates = rates
        self._failures = failures

    def enter(self, scope: Scope) -> Awaitable[None]:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        if scope["query_string"] and is_signed(scope["query_string"]):
            if values:
                raise HttpProblem("two_credentials")
            return self._admit_signed(scope)
        if len(values) == 1:
            scheme, _, token = values[0].partition(b" ")
            if scheme.lower() == b"bearer" and (token := token.strip()):
                return self._admit(scope, token)
        raise HttpProblem("unauthorized", headers={"WWW-Authenticate": "Bearer"})

    async def _admit(self, scope: Scope, token: bytes) -> None:
        grant = await self._authenticate(token)
        if grant is None:
            await self._failures.add(client_address(scope))
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise HttpProblem("unauthorized", "The bearer token is not valid here.", headers=headers)
        self._rates.admit(grant)
        scope["auth"] = grant

    async def _admit_signed(self, scope: Any) -> None:
        request = signed_request(scope["method"], scope["raw_path"], scope["query_string"])
        grant = await self._signatures.verify(request.key_id, request.message, request.signature, request.expires_at)
        if grant is None:
            await self._failures.add(client_address(scope))
            raise invalid_signature()
        self._rates.admit(grant)
        scope["auth"] = narrowed(grant, request.action, request.prefix, request.conditions)
        scope["query_string"] = request.rest
        scope["signed_until"] = grant.expires_at
