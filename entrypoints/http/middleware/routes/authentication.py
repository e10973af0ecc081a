"""Authentication, before anything else of a request is read: bearer tokens (RFC 6750), signed URLs, and sessions."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from litestar.types import ASGIApp, Scope

from application.access.authenticate import Authenticate
from application.access.failures import FailedAuthentications
from application.access.rates import RequestRates
from application.access.sessions import Sessions
from application.access.sign import Signatures, narrowed
from application.access.upload_rights import UploadRights
from entrypoints.http.middleware.routes.failures import count_failure
from entrypoints.http.middleware.routes.guard import GuardMiddleware
from entrypoints.http.protocol.fields.session_cookies import session_in
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.signed_urls import invalid_signature, is_signed, signed_request
from entrypoints.http.protocol.urls.upload_urls import is_upload, signed_upload

if TYPE_CHECKING:
    from entrypoints.composition.container import Container

CHALLENGE = {"WWW-Authenticate": "Bearer"}


class AuthenticationMiddleware(GuardMiddleware):
    """ASGI middleware that admits requests with a valid credential. Its grant becomes the scope's `auth`.

    Of a signed URL, the query keeps what its route takes, and the scope gets the time of its end as `signed_until`. The
    cookie of a session counts only without another credential. It is not a guard of the framework, which would
    copy the route for each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticate: Authenticate,
        signatures: Signatures,
        uploads: UploadRights,
        sessions: Sessions,
        rates: RequestRates,
        failures: FailedAuthentications,
    ) -> None:
        super().__init__(app)
        self._authenticate = authenticate
        self._signatures = signatures
        self._uploads = uploads
        self._sessions = sessions
        self._rates = rates
        self._failures = failures

    def enter(self, scope: Scope) -> Awaitable[None]:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        if scope["query_string"] and is_signed(scope["query_string"]):
            if values:
                raise HttpProblem("two_credentials")
            is_for_upload = is_upload(scope["raw_path"])
            return self._admit_to_upload(scope) if is_for_upload else self._admit_signed(scope)
        if len(values) == 1:
            scheme, _, token = values[0].partition(b" ")
            if scheme.lower() == b"bearer" and (token := token.strip()):
                return self._admit(scope, token)
        if not values and (session := session_in(scope)) is not None:
            return self._admit_session(scope, session)
        raise HttpProblem("unauthorized", headers=CHALLENGE)

    async def _admit(self, scope: Scope, token: bytes) -> None:
        grant = await self._authenticate(token)
        if grant is None:
            await count_failure(scope, self._failures)
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise HttpProblem("unauthorized", "The bearer token is not valid here.", headers=headers)
        self._rates.admit(grant)
        scope["auth"] = grant

    async def _admit_session(self, scope: Any, text: str) -> None:
        session = await self._sessions.open(text)
        if session is None:
            if not self._sessions.has_ended(text):  # its browser has guessed nothing
                await count_failure(scope, self._failures)
            raise HttpProblem("unauthorized", "The session has ended. Sign in again.", headers=CHALLENGE)
        self._rates.admit(session.grant)
        scope["auth"] = session.grant
        scope["session_until"] = session.expires_at

    async def _admit_signed(self, scope: Any) -> None:
        request = signed_request(scope["method"], scope["raw_path"], scope["query_string"])
        grant = await self._signatures.verify(request.key_id, request.message, request.signature, request.expires_at)
        if grant is None:
            await count_failure(scope, self._failures)
            raise invalid_signature()
        self._rates.admit(grant)
        scope["auth"] = narrowed(grant, request.action, request.prefix, request.conditions)
        scope["query_string"] = request.rest
        scope["signed_until"] = grant.expires_at

    async def _admit_to_upload(self, scope: Any) -> None:
        request = signed_upload(scope["method"], scope["raw_path"], scope["query_string"])
        found = await self._uploads.verify(
            request.upload,
            request.share_id,
            request.key_id,
            request.message,
            request.signature,
            request.expires_at,
        )
        if found is None:
            await count_failure(scope, self._failures)
            raise invalid_signature()
        grant, share = found
        self._rates.admit(grant)
        scope["auth"] = grant
        scope["query_string"] = b""
        scope["signed_until"] = grant.expires_at
        if share is not None:  # the holder of a link learns nothing of ids
            scope["share"] = share


def authentication_of(container: "Container") -> Callable[[ASGIApp], AuthenticationMiddleware]:
    """Return a function that puts the authentication in front of a route."""
    credentials = (container.authenticate(), container.signatures(), container.upload_rights(), container.sessions())
    rates, failures = container.request_rates(), container.failed_authentications()

    def authentication(app: ASGIApp) -> AuthenticationMiddleware:  # a function, because the framework copies objects
        return AuthenticationMiddleware(app, *credentials, rates, failures)

    return authentication
