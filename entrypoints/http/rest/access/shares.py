"""Share links: for people, to one blob, or for uploads below a prefix."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, ClassVar

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Link, OpenAPIResponse

from application.access.passwords import MAX_BYTES as MAX_PASSWORD
from application.access.shares import LONGEST, MAX_USES, NewShare, SharedLink
from application.access.shares import Shares as SharesOf
from domain.access import Action
from domain.blob import BlobId
from domain.errors import ShareNotFound
from entrypoints.http.openapi import components
from entrypoints.http.openapi.bodies import documented, json_request
from entrypoints.http.openapi.components import (
    ID,
    MAX_FILENAME,
    NO_CONTROL_CHARACTERS,
    header,
    json_of,
    page,
    parameter,
    response,
    text,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.addresses import origin
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest import pages
from entrypoints.http.rest.described import CHANGING, CREATED_AT, EVERYWHERE, MALFORMED, HttpRequest
from entrypoints.http.rest.json_bodies import json_body
from entrypoints.http.rest.members import Id, Prefix
from entrypoints.http.rest.negotiation import is_filename

Shares = NamedDependency[SharesOf]
ClientPace = NamedDependency[Pace]
SHARE = "ab2cd3ef4gh5ij6k"
TOKEN_OF_EXAMPLE = f"{SHARE}-{'a2' * 13}"
PATH = f"/v1/shares/{SHARE}"
PARAMETERS = ("limit", "cursor")

Lifetime = Annotated[int, documented(minimum=1, maximum=int(LONGEST.total_seconds()))]
Password = Annotated[str, documented(minLength=1, maxLength=MAX_PASSWORD // 4)]
Uses = Annotated[int, documented(minimum=1, maximum=MAX_USES)]
Bytes = Annotated[int, documented(minimum=0, maximum=2**63 - 1)]
Filename = Annotated[str, documented(minLength=1, maxLength=MAX_FILENAME, pattern=NO_CONTROL_CHARACTERS)]
_NULL = {"type": "null"}


class ShareBody(msgspec.Struct, forbid_unknown_fields=True):
    """A link to create: to the blob `id`, or for uploads below `prefix`. It is valid for `expires_in` seconds.

    `filename` is for downloads. `max_bytes`: the size of the largest upload.
    """

    SCHEMA: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"required": ["id"], "properties": {"id": {"type": "string"}, "prefix": _NULL, "max_bytes": _NULL}},
            {
                "required": ["prefix"],
                "properties": {"prefix": {"type": "string", "minLength": 1}, "id": _NULL, "filename": _NULL},
            },
        ]
    }

    id: Id | None = None
    prefix: Prefix | None = None
    expires_in: Lifetime = 7 * 86400
    password: Password | None = None
    max_uses: Uses | None = None
    filename: Filename | None = None
    max_bytes: Bytes | None = None

    def new_share(self) -> NewShare:
        """Return the link. Raises HttpProblem 400, and INVALID_ID."""
        if self.filename is not None and not is_filename(self.filename):
            raise HttpProblem("invalid_body", f"filename has 1 to {MAX_FILENAME} characters, no control characters.")
        lifetime = timedelta(seconds=max(-1, min(self.expires_in, 10**9)))
        password = None if self.password is None else self.password.encode()
        return NewShare(self._blobs(), lifetime, password, self.max_uses, self.filename, self.max_bytes)

    def _blobs(self) -> BlobId | str:
        if self.id is not None and self.prefix is None:
            return BlobId(self.id)
        if self.prefix is None or self.id is not None:
            raise HttpProblem("invalid_body", "Give the id of a blob, or a prefix, and not both.")
        return BlobId(self.prefix).value if self.prefix else ""


class ShareDescription(msgspec.Struct, omit_defaults=True):
    """A link. Anybody who has `url` may use it until `expires_at`. `uses` is counted if there is a limit.

    A list has no `url` of another key's link that allows more than your own key, or for longer.
    """

    share: str
    created_at: datetime
    expires_at: datetime
    url: str | None = None
    id: str | None = None
    prefix: str | None = None
    has_password: bool = False
    max_uses: int | None = None
    uses: int | None = None
    filename: str | None = None
    max_bytes: int | None = None


class ShareList(msgspec.Struct):
    """A page of links. `next_cursor` is null on the last one."""

    shares: list[ShareDescription]
    next_cursor: str | None


def _described(link: SharedLink, base: str) -> ShareDescription:
    share = link.share
    is_download = share.action is Action.READ
    return ShareDescription(
        share.id,
        share.created_at.replace(microsecond=0),
        share.expires_at.replace(microsecond=0),
        f"{base}/s/{link.token}" if link.token else None,
        share.ids if is_download else None,
        None if is_download else share.ids,
        bool(share.password),
        share.max_uses,
        None if share.max_uses is None else share.uses,
        share.filename,
        share.max_bytes,
    )


_SHARE = {
    "share": SHARE,
    "url": f"https://files.example.com/s/{TOKEN_OF_EXAMPLE}",
    "created_at": CREATED_AT,
    "expires_at": "2023-11-03T10:00:00Z",
    "id": ID,
    "max_uses": 10,
    "uses": 0,
}


def _created() -> OpenAPIResponse:
    created = response("Created.", json_of("ShareDescription", _SHARE))
    location = header("Where the link is managed.", pattern="^/v1/shares/[a-z2-7]{16}$", examples=[PATH])
    created.headers = (created.headers or {}) | {"Location": components.always(location)}
    created.links = {"revokeShare": Link(operation_id="revokeShare", parameters={"share": "$response.body#/share"})}
    return created


CREATE = operation(
    body=json_request(ShareBody, example={"id": ID, "expires_in": 86400, "max_uses": 10}),
    responses={"201": _created()}
    | problems(
        *("invalid_id", "invalid_share", "invalid_expiry", "no_master_key", *MALFORMED), *CHANGING, path="/v1/shares"
    ),
)


@post("/shares", operation_id="createShare", summary="Create a share link", operation_class=CREATE)
async def create_share(request: HttpRequest, shares: Shares, pace: ClientPace) -> Response[ShareDescription]:
    """Create a link with one of your own rights. It ends at its time, or before that with your key."""
    body = await json_body(request, pace, ShareBody)
    link = await shares.create(request.auth, body.new_share())
    headers = {"Location": f"/v1/shares/{link.share.id}", "Cache-Control": "no-store"}
    return Response(_described(link, origin(request.scope)), status_code=HTTPStatus.CREATED, headers=headers)


LIST = operation(
    takes=page("key-cursor")[1:],
    responses={"200": response("A page.", json_of("ShareList", {"shares": [_SHARE], "next_cursor": None}))}
    | problems("invalid_parameter", "no_master_key", *EVERYWHERE, path="/v1/shares"),
)


@get("/shares", operation_id="listShares", summary="List share links", operation_class=LIST, parameters=PARAMETERS)
async def list_shares(request: HttpRequest, shares: Shares) -> Response[ShareList]:
    """List your own links, and with the right `admin` all within your prefixes, in the order of their ids."""
    query = pages.page_query(request.scope)
    position = pages.position(query.cursor)
    found = await shares.list(request.auth, position[1] if position else "", query.limit + 1)
    shown = found[: query.limit]
    cursor = pages.cursor("", shown[-1].share.id) if len(found) > len(shown) else None
    base = origin(request.scope)
    return Response(ShareList([_described(link, base) for link in shown], cursor))


_SHARE_PARAMETER = parameter("path", "share", "The id of the link.", text(pattern="^[a-z2-7]{16}$"), SHARE)
REVOKE = operation(
    takes=[_SHARE_PARAMETER],
    responses={"204": response("Revoked.")}
    | problems("share_not_found", "unknown_route", "invalid_parameter", *CHANGING, path=PATH),
)


@delete("/shares/{share:str}", operation_id="revokeShare", summary="Revoke a share link", operation_class=REVOKE)
async def revoke_share(request: HttpRequest, shares: Shares) -> None:
    """Revoke a link. It ends at once, on all replicas."""
    share_id: str = request.path_params["share"]
    if len(share_id) != len(SHARE):
        raise ShareNotFound
    await shares.revoke(request.auth, share_id)
