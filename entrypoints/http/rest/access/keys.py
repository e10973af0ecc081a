"""Keys: named credentials with limited rights."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Link, OpenAPIResponse

from application.access.keys import (
    HIGHEST_RATE,
    LEAST_RATE,
    MAX_NAME,
    MAX_OVERLAP,
    MAX_PREFIXES,
    MAX_SIZE,
    IssuedKey,
    NewKey,
)
from application.access.keys import Keys as KeysOf
from application.clock import utc_now
from domain.access import UNLIMITED, AccessKey, Action, Limits
from domain.errors import KeyNotFound
from entrypoints.http.openapi import components
from entrypoints.http.openapi.bodies import documented, json_request
from entrypoints.http.openapi.components import header, json_of, page, parameter, response, text
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields.headers import fields, has_no_body
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest import pages
from entrypoints.http.rest.described import CHANGING, CREATED_AT, EVERYWHERE, MALFORMED, HttpRequest
from entrypoints.http.rest.descriptions import expiry_from
from entrypoints.http.rest.json_bodies import json_body
from entrypoints.http.rest.members import FutureTime, Prefix, Seconds

Keys = NamedDependency[KeysOf]
ClientPace = NamedDependency[Pace]
KEY = "ab2cd3ef4gh5ij6k"
PATH = f"/v1/keys/{KEY}"
PARAMETERS = ("limit", "cursor")
OVERLAP = 3600  # seconds
LONGEST_OVERLAP = int(MAX_OVERLAP.total_seconds())

Name = Annotated[str, documented(minLength=1, maxLength=MAX_NAME, description="For people. It need not be unique.")]
Prefixes = Annotated[
    list[Prefix],
    documented(minItems=1, maxItems=MAX_PREFIXES, description="How the ids begin. Without it, all ids are included."),
]
ActionName = Literal["read", "list", "write", "delete", "admin"]
Actions = Annotated[list[ActionName], documented(minItems=1)]
Rate = Annotated[float, documented(minimum=LEAST_RATE, maximum=HIGHEST_RATE)]
Bytes = Annotated[int, documented(minimum=0, maximum=MAX_SIZE)]
Overlap = Annotated[
    int,
    documented(
        minimum=0,
        maximum=LONGEST_OVERLAP,
        description="The former secret stays valid for so many seconds.",
    ),
]


class LimitsBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Limits of a key. `requests_per_second`: in each process of a server. `quota_bytes`: of all its current blobs."""

    requests_per_second: Rate | None = None
    max_blob_bytes: Bytes | None = None
    quota_bytes: Bytes | None = None

    def limits(self) -> Limits:
        """Return the limits."""
        return Limits(self.requests_per_second, self.max_blob_bytes, self.quota_bytes)


class KeyBody(msgspec.Struct, forbid_unknown_fields=True):
    """A key to create."""

    SCHEMA: ClassVar = {
        "not": {
            "required": ["expires_in", "expires_at"],
            "properties": {"expires_in": {"type": "integer"}, "expires_at": {"type": "string"}},
        }
    }

    name: Name
    actions: Actions
    prefixes: Prefixes | None = None
    expires_in: Seconds | None = None
    expires_at: FutureTime | None = None
    limits: LimitsBody | None = None

    def new_key(self) -> NewKey:
        """Return the key. Raises HttpProblem 400 and INVALID_EXPIRY."""
        if self.prefixes == []:
            raise HttpProblem("invalid_key", "Name at least one prefix, or leave the prefixes out for all blobs.")
        expiry = expiry_from(self.expires_in, self.expires_at)
        expires_at = utc_now() + expiry.after if expiry.after is not None else expiry.at
        limits = UNLIMITED if self.limits is None else self.limits.limits()
        actions = frozenset(map(Action, self.actions))
        return NewKey(self.name, actions, tuple(self.prefixes or ()), expires_at, limits)


class RotationBody(msgspec.Struct, forbid_unknown_fields=True):
    """A rotation. The former secret stays valid for `overlap` seconds."""

    overlap: Overlap = OVERLAP


class KeyDescription(msgspec.Struct, omit_defaults=True):
    """A key, without its secret. `used_at` is up to ten minutes old. Without `prefixes` the key is for all blobs.

    `former_until`: until then, the secret before the last rotation is valid too. `stored_bytes`: what counts against
    the quota, if there is one.
    """

    key: str
    name: str
    actions: list[str]
    created_at: datetime
    generation: int
    prefixes: list[str] | None = None
    expires_at: datetime | None = None
    former_until: datetime | None = None
    used_at: datetime | None = None
    limits: LimitsBody | None = None
    stored_bytes: int | None = None


class IssuedKeyDescription(KeyDescription):
    """A key with its secret, which is shown only now. `token` is for the header Authorization."""

    secret: str | None = None
    token: str | None = None


class KeyList(msgspec.Struct):
    """A page of keys. `next_cursor` is null on the last one."""

    keys: list[KeyDescription]
    next_cursor: str | None


def whole(time: datetime | None) -> datetime | None:
    """Return a time in whole seconds, as the interface shows it."""
    return None if time is None else time.astimezone(UTC).replace(microsecond=0)


def described_limits(limits: Limits) -> LimitsBody:
    """Return limits, as the interface shows them."""
    return LimitsBody(limits.requests_per_second, limits.max_blob_bytes, limits.quota_bytes)


def _values(key: AccessKey) -> dict[str, Any]:
    limits = key.limits
    return {
        "key": key.id,
        "name": key.name,
        "actions": [action.value for action in Action if action in key.actions],
        "created_at": whole(key.created_at),
        "generation": key.generation,
        "prefixes": None if key.prefixes == ("",) else list(key.prefixes),
        "expires_at": whole(key.expires_at),
        "former_until": whole(key.former_until),
        "used_at": whole(key.used_at),
        "limits": None if limits == UNLIMITED else described_limits(limits),
        "stored_bytes": None if limits.quota_bytes is None else key.stored_bytes,
    }


def description(key: AccessKey) -> KeyDescription:
    """Return the description of a key, as the interface shows it."""
    return KeyDescription(**_values(key))


def issued(key: IssuedKey) -> IssuedKeyDescription:
    """Return the description of a key with its secret."""
    return IssuedKeyDescription(**_values(key.key), secret=key.secret, token=key.token)


_DESCRIBED = {
    "key": KEY,
    "name": "ci",
    "actions": ["read", "list"],
    "created_at": CREATED_AT,
    "generation": 1,
    "prefixes": ["films/"],
    "expires_at": "2024-01-25T10:00:00Z",
}
_SHOWN_ONCE = "a2" * 26
_ISSUED = {**_DESCRIBED, "secret": _SHOWN_ONCE, "token": f"dby_{KEY}_{_SHOWN_ONCE}"}
_KEY_PARAMETER = parameter("path", "key", "The id of the key.", text(pattern="^[a-z2-7]{16}$"), KEY)
_OF_KEY = ["key_not_found", "unknown_route"]
_ISSUING = ["invalid_key", "no_master_key", *MALFORMED, *CHANGING]


def _created() -> OpenAPIResponse:
    created = response("Created.", json_of("IssuedKeyDescription", _ISSUED))
    location = header("Where the key is.", pattern="^/v1/keys/[a-z2-7]{16}$", examples=[PATH])
    created.headers = (created.headers or {}) | {"Location": components.always(location)}
    links = {"findKey", "rotateKey", "revokeKey"}
    created.links = {name: Link(operation_id=name, parameters={"key": "$response.body#/key"}) for name in sorted(links)}
    return created


CREATE = operation(
    body=json_request(KeyBody, example={"name": "ci", "actions": ["read", "list"], "prefixes": ["films/"]}),
    responses={"201": _created()} | problems("invalid_expiry", *_ISSUING, path="/v1/keys"),
)


@post("/keys", operation_id="createKey", summary="Create a key", operation_class=CREATE)
async def create_key(request: HttpRequest, keys: Keys, pace: ClientPace) -> Response[IssuedKeyDescription]:
    """Create a key with some of your own rights. It is valid at once, on all replicas."""
    body = await json_body(request, pace, KeyBody)
    key = await keys.create(request.auth, body.new_key())
    headers = {"Location": f"/v1/keys/{key.key.id}", "Cache-Control": "no-store"}
    return Response(issued(key), status_code=HTTPStatus.CREATED, headers=headers)


LIST = operation(
    takes=page("key-cursor")[1:],
    responses={"200": response("A page.", json_of("KeyList", {"keys": [_DESCRIBED], "next_cursor": None}))}
    | problems("invalid_parameter", *EVERYWHERE, path="/v1/keys"),
)


@get("/keys", operation_id="listKeys", summary="List keys", operation_class=LIST, parameters=PARAMETERS)
async def list_keys(request: HttpRequest, keys: Keys) -> Response[KeyList]:
    """List the keys for blobs that are yours to manage, in the order of their ids."""
    query = pages.page_query(request.scope)
    position = pages.position(query.cursor)
    found = await keys.list(request.auth, position[1] if position else "", query.limit + 1)
    shown = found[: query.limit]
    cursor = pages.cursor("", shown[-1].id) if len(found) > len(shown) else None
    return Response(KeyList([description(key) for key in shown], cursor))


FIND = operation(
    takes=[_KEY_PARAMETER],
    responses={"200": response("The key.", json_of("KeyDescription", _DESCRIBED))}
    | problems(*_OF_KEY, *EVERYWHERE, path=PATH),
)


@get("/keys/{key:str}", operation_id="findKey", summary="Show a key", operation_class=FIND)
async def find_key(request: HttpRequest, keys: Keys) -> Response[KeyDescription]:
    """Describe a key. Its secret is not shown again: rotate the key if it is lost."""
    return Response(description(await keys.find(request.auth, _id(request))))


REVOKE = operation(
    takes=[_KEY_PARAMETER],
    responses={"204": response("Revoked.")} | problems(*_OF_KEY, "invalid_parameter", *CHANGING, path=PATH),
)


@delete("/keys/{key:str}", operation_id="revokeKey", summary="Revoke a key", operation_class=REVOKE)
async def revoke_key(request: HttpRequest, keys: Keys) -> None:
    """Revoke a key, and all that was signed with it. All replicas refuse it within five seconds."""
    await keys.revoke(request.auth, _id(request))


ROTATE = operation(
    takes=[_KEY_PARAMETER],
    body=json_request(RotationBody, example={"overlap": OVERLAP}, required=False),
    responses={"200": response("Rotated.", json_of("IssuedKeyDescription", {**_ISSUED, "generation": 2}))}
    | problems(*_OF_KEY, *_ISSUING, path=f"{PATH}/rotate"),
)


@post(
    "/keys/{key:str}/rotate",
    operation_id="rotateKey",
    summary="Rotate a key",
    operation_class=ROTATE,
    status_code=HTTPStatus.OK,
)
async def rotate_key(request: HttpRequest, keys: Keys, pace: ClientPace) -> Response[IssuedKeyDescription]:
    """Give a key a new secret. The former one stays valid for a while. The body may be empty."""
    body = RotationBody()
    if not has_no_body(request.scope, fields(request.scope)):
        body = await json_body(request, pace, RotationBody)
    seconds = max(-1, min(body.overlap, LONGEST_OVERLAP + 1))  # whatever else is not valid either
    key = await keys.rotate(request.auth, _id(request), timedelta(seconds=seconds))
    return Response(issued(key), status_code=HTTPStatus.OK, headers={"Cache-Control": "no-store"})


def _id(request: HttpRequest) -> str:
    key_id: str = request.path_params["key"]
    if len(key_id) != len(KEY):
        raise KeyNotFound
    return key_id
