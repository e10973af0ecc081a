"""The session of a browser: a cookie in place of a token."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIResponse

from application.access.failures import FailedAuthentications
from application.access.rates import RequestRates
from application.access.sessions import LIFETIME, Session
from application.access.sessions import Sessions as SessionsOf
from application.clock import utc_now
from domain.access import UNLIMITED, Action, Grant
from entrypoints.config.settings import Settings
from entrypoints.http.middleware.routes.failures import count_failure
from entrypoints.http.openapi import components
from entrypoints.http.openapi.bodies import documented, json_request
from entrypoints.http.openapi.components import header, json_of, response
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields.headers import content_length, fields
from entrypoints.http.protocol.fields.session_cookies import cookie, is_of_own_page, no_cookie
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.access.keys import LimitsBody, described_limits, whole
from entrypoints.http.rest.described import CREATED_AT, EVERYWHERE, MALFORMED, HttpRequest
from entrypoints.http.rest.json_bodies import json_body

PATH = "/v1/session"
MAX_REQUESTS = 64  # concurrent sign-ins in one worker; requests without a token must not use up the slots of others
Sessions = NamedDependency[SessionsOf]
Features = NamedDependency["FeaturesBody"]


class SessionBody(msgspec.Struct, forbid_unknown_fields=True):
    """The token with which a session begins."""

    token: Annotated[str, documented(minLength=1)]


class FeaturesBody(msgspec.Struct):
    """Features of this server: keys (with signed URLs and share links), S3, `/docs`, `/metrics`.

    Sizes are in bytes, times in seconds.
    """

    keys: bool
    s3: bool
    docs: bool
    metrics: bool
    max_blob_bytes: int
    trash_retention: int

    @classmethod
    def of(cls, settings: Settings, *, has_keys: bool) -> "FeaturesBody":
        """Return the features that the settings turn on."""
        retention = settings.readers_grace if settings.trash_retention is None else settings.trash_retention
        has_s3 = settings.s3_api != "off"
        return cls(has_keys, has_s3, settings.docs, settings.metrics, settings.max_blob_bytes, retention)


class SessionDescription(msgspec.Struct, omit_defaults=True):
    """The rights of the caller. A token of the settings has no `name`. Without `prefixes` they are for all blobs.

    `expires_at`: of the key, if it expires. `session_expires_at`: of the session, if the caller has one.
    """

    actions: list[str]
    features: FeaturesBody
    key: str = ""
    name: str = ""
    prefixes: list[str] | None = None
    expires_at: datetime | None = None
    session_expires_at: datetime | None = None
    limits: LimitsBody | None = None
    stored_bytes: int | None = None


async def _description(
    sessions: SessionsOf, grant: Grant, session_until: datetime | None, features: FeaturesBody
) -> SessionDescription:
    key = await sessions.key_of(grant)
    return SessionDescription(
        [action.value for action in Action if action in grant.actions],
        features,
        grant.key_id,
        key.name if key else "",
        None if grant.prefixes == ("",) else list(grant.prefixes),
        whole(grant.expires_at),
        session_until,
        None if grant.limits == UNLIMITED else described_limits(grant.limits),
        key.stored_bytes if key and key.limits.quota_bytes is not None else None,
    )


_FEATURES = {
    "keys": True,
    "s3": True,
    "docs": True,
    "metrics": True,
    "max_blob_bytes": 5 * 1024**3,
    "trash_retention": 600,
}
_SESSION = {
    "key": "ab2cd3ef4gh5ij6k",
    "name": "ada",
    "actions": ["read", "list"],
    "prefixes": ["films/"],
    "session_expires_at": CREATED_AT,
    "features": _FEATURES,
}
_SET_COOKIE = header(
    f"The session, for {LIFETIME.total_seconds() / 3600:.0f} hours, or until the key expires. Scripts can't read it.",
    pattern="^(?:__Host-)?drivebay_session=",
)


def _with_cookie(described: OpenAPIResponse) -> OpenAPIResponse:
    described.headers = (described.headers or {}) | {"Set-Cookie": components.always(_SET_COOKIE)}
    return described


_FAILING = ["rate_limited", "internal_error", "unavailable", "timeout", "overloaded"]
BEGIN = operation(
    body=json_request(SessionBody, example={"token": "dby_..."}, required=False),
    responses={"200": _with_cookie(response("Signed in.", json_of("SessionDescription", _SESSION)))}
    | problems("unauthorized", "cross_origin", "no_master_key", *MALFORMED, *_FAILING, path=PATH),
)


@post(
    "/session",
    operation_id="beginSession",
    summary="Sign in",
    operation_class=BEGIN,
    status_code=HTTPStatus.OK,
    security=[{"bearer": []}, {}],
)
async def begin_session(
    request: HttpRequest,
    sessions: Sessions,
    failures: NamedDependency[FailedAuthentications],
    rates: NamedDependency[RequestRates],
    features: Features,
    pace: NamedDependency[Pace],
) -> Response[SessionDescription]:
    """Begin a session with the token in the header Authorization or, without that header, in the body.

    The session has the rights of the token, and ends with it. It counts only for pages of this server itself.
    """
    _check_origin(request)
    session = await sessions.begin(await _token(request, pace))
    if session is None:
        await count_failure(request.scope, failures)
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise HttpProblem("unauthorized", "The token is not valid here.", headers=headers)
    rates.admit(session.grant)
    body = await _description(sessions, session.grant, session.expires_at, features)
    return Response(body, headers={"Set-Cookie": _cookie(request, session), "Cache-Control": "no-store"})


def _cookie(request: HttpRequest, session: Session) -> str:
    return cookie(request.scope, session.text, session.expires_at, utc_now())


async def _token(request: HttpRequest, pace: Pace) -> bytes:
    values = [value for name, value in request.scope["headers"] if name == b"authorization"]
    headers = fields(request.scope)
    has_body = "transfer-encoding" in headers or bool(content_length(headers))
    body = await json_body(request, pace, SessionBody) if has_body or not values else None
    if body is not None and not body.token.strip():
        raise HttpProblem("invalid_body", "token is empty.")
    if not values and body is not None:
        return body.token.strip().encode()
    scheme, _, token = values[0].partition(b" ")
    if len(values) > 1 or scheme.lower() != b"bearer":
        raise HttpProblem("unauthorized", headers={"WWW-Authenticate": "Bearer"})
    return token.strip()


def _check_origin(request: HttpRequest) -> None:
    if not is_of_own_page(request.scope, needs_proof=False):
        raise HttpProblem("cross_origin", "A session begins and ends only by a request from a page of this server.")


FIND = operation(
    responses={
        "200": response(
            "The rights of the caller.", json_of("SessionDescription", _SESSION), required=["Cache-Control"]
        )
    }
    | problems("invalid_parameter", *EVERYWHERE, path=PATH)
)


@get("/session", operation_id="findSession", summary="Show your rights", operation_class=FIND)
async def find_session(request: HttpRequest, sessions: Sessions, features: Features) -> Response[SessionDescription]:
    """Describe the rights of the caller, who may have a session or a token, and the features of this server."""
    until: datetime | None = request.scope.get("session_until")  # type: ignore[assignment]
    body = await _description(sessions, request.auth, until, features)
    return Response(body, headers={"Cache-Control": "no-store"})


END = operation(
    responses={"204": _with_cookie(response("Signed out."))}
    | problems("invalid_parameter", "cross_origin", "overloaded", "internal_error", path=PATH)
)


@delete("/session", operation_id="endSession", summary="Sign out", operation_class=END, security=[{}])
async def end_session(request: HttpRequest) -> Response[None]:
    """Remove the cookie from the browser. To end a copy of it elsewhere, rotate or revoke the key."""
    _check_origin(request)
    return Response(None, headers={"Set-Cookie": no_cookie(request.scope)}, status_code=HTTPStatus.NO_CONTENT)
