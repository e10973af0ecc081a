"""Share links: for people, to one blob, or for uploads below a prefix."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, ClassVar
from urllib.parse import parse_qs

import msgspec
from litestar import HttpMethod, Response, delete, get, post, put, route
from litestar.di import NamedDependency
from litestar.openapi.spec import Link, OpenAPIResponse, RequestBody
from litestar.types import ASGIApp

from application.access.passwords import MAX_BYTES as MAX_PASSWORD
from application.access.shares import LONGEST, MAX_USES, NewShare, SharedLink
from application.access.shares import Shares as SharesOf
from application.blobs.fetch import FetchBlob
from application.blobs.store import StoreBlob
from domain.access import Action, Share
from domain.blob import BlobId
from domain.errors import InvalidId, ShareNotFound
from domain.precondition import ANY
from entrypoints.http.openapi import components
from entrypoints.http.openapi.bodies import documented, json_request
from entrypoints.http.openapi.components import (
    CONDITIONS,
    DIGESTS,
    ID,
    MAX_FILENAME,
    NO_CONTROL_CHARACTERS,
    RANGE,
    header,
    json_of,
    page,
    parameter,
    response,
    text,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol import conditional
from entrypoints.http.protocol.addresses import origin
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.conditional import NotModified
from entrypoints.http.protocol.headers import check_framing, fields
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.streaming import BlobResponse, ShortResponse, not_modified
from entrypoints.http.rest import pages, raw_form
from entrypoints.http.rest.changes import MALFORMED
from entrypoints.http.rest.described import BODY, BYTES, CHANGING, CREATED_AT, EVERYWHERE, HttpRequest
from entrypoints.http.rest.json_bodies import json_body
from entrypoints.http.rest.members import Id, Prefix
from entrypoints.http.rest.negotiation import is_filename
from entrypoints.http.rest.raw_form import DownloadForm

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
            raise HttpProblem("invalid_body", f"filename has 1 to {MAX_FILENAME} characters, none of them for control.")
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
    """A link. Anybody who has `url` may use it until `expires_at`. `uses` is counted if there is a limit."""

    share: str
    url: str
    created_at: datetime
    expires_at: datetime
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
        f"{base}/s/{link.token}",
        share.created_at.replace(microsecond=0),
        share.expires_at.replace(microsecond=0),
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


_LINK = parameter(
    "path",
    "link",
    "The token in the URL of the link.",
    text(pattern="^[a-z2-7]{16}-[a-z2-7]{26}$"),
    TOKEN_OF_EXAMPLE,
)
_OF_LINK = ["share_not_found", "unknown_route", "share_locked", "method_not_allowed"]
_LINK_PATH = f"/s/{TOKEN_OF_EXAMPLE}"
_FAILING = ["rate_limited", "internal_error", "unavailable", "timeout", "overloaded"]
_READING = ["forbidden", "not_found", "invalid_parameter", "invalid_header", "precondition_failed"]
_DOWNLOADING = [*_READING, *_OF_LINK, *_FAILING]
_HEADERS = ["ETag", "Vary", "Content-Length"]
DOWNLOAD = operation(
    takes=[_LINK, *CONDITIONS, *RANGE],
    responses={
        "200": response("The bytes.", {"*/*": BYTES}, required=_HEADERS),
        "206": response("The range.", {"*/*": BYTES}, required=["Content-Range", *_HEADERS]),
        "304": response("The client has this version already.", required=["ETag", "Vary"], optional=["Last-Modified"]),
    }
    | problems("range_not_satisfiable", "integrity", *_DOWNLOADING, path=_LINK_PATH),
)


def _share_of(request: HttpRequest, action: Action) -> Share:
    share: Share = request.scope["share"]  # type: ignore[typeddict-item]
    if share.action is not action:
        raise HttpProblem("method_not_allowed", headers={"Allow": "PUT" if action is Action.READ else "GET, HEAD"})
    return share


@get(
    "/s/{link:str}",
    operation_id="download",
    summary="Download by a share link",
    operation_class=DOWNLOAD,
    security=[{}],
)
async def download(
    request: HttpRequest, shares: Shares, fetch: NamedDependency[FetchBlob], pace: ClientPace
) -> ASGIApp:
    """Fetch the bytes of the blob. If the link has a limit, each request counts, also one for a range."""
    share = _share_of(request, Action.READ)
    await shares.use(share)
    representation = DownloadForm(share.filename, share.expires_at, shows_metadata=False)
    return BlobResponse(partial(fetch, request.auth, BlobId(share.ids)), representation, pace)


DESCRIBE = operation(
    takes=[_LINK, *CONDITIONS],
    responses={
        "200": response("There is such a blob.", required=_HEADERS),
        "304": response("The client has this version already.", required=["ETag", "Vary"], optional=["Last-Modified"]),
    }
    | problems(*_DOWNLOADING, body=False, path=_LINK_PATH),
)


@route(
    "/s/{link:str}",
    http_method=HttpMethod.HEAD,
    operation_id="describeDownload",
    summary="The headers of a download",
    operation_class=DESCRIBE,
    security=[{}],
)
async def describe_download(request: HttpRequest, fetch: NamedDependency[FetchBlob]) -> ASGIApp:
    """Answer as GET does, without a body. It is not counted."""
    share = _share_of(request, Action.READ)
    if share.max_uses is not None and share.uses >= share.max_uses:
        raise ShareNotFound
    representation = DownloadForm(share.filename, share.expires_at, shows_metadata=False)
    blob = await fetch.stat(request.auth, BlobId(share.ids))
    try:
        conditional.check_reading(fields(request.scope), blob)
    except NotModified:
        return not_modified(representation, blob)
    return ShortResponse(representation.headers(blob))


_NAME = parameter(
    "query",
    "name",
    "The rest of the id, after the prefix of the link.",
    text(min_length=1, max_length=MAX_FILENAME, pattern=NO_CONTROL_CHARACTERS),
    "report.pdf",
)
UPLOAD = operation(
    takes=[_LINK, _NAME, *DIGESTS],
    body=RequestBody({"*/*": BYTES}, "The bytes. Their Content-Type is kept."),
    responses={"201": response("Stored.")}
    | problems(
        *("invalid_id", "invalid_parameter", "invalid_header", "digest_mismatch", "size_mismatch", "already_exists"),
        *("unsupported_media_type", "lease_lost", "integrity", "invalid_metadata", "invalid_expiry"),
        *("no_space", "quota_exceeded", "commit_unknown", "rolled_back", "forbidden"),
        *BODY,
        *_OF_LINK,
        *_FAILING,
        path=_LINK_PATH,
    ),
)


@put(
    "/s/{link:str}",
    operation_id="upload",
    summary="Upload by a share link",
    operation_class=UPLOAD,
    security=[{}],
    status_code=HTTPStatus.CREATED,
    parameters=("name",),
)
async def upload(
    request: HttpRequest, shares: Shares, store: NamedDependency[StoreBlob], pace: ClientPace
) -> Response[bytes]:
    """Store the bytes of the body as a new blob below the prefix of the link. The response reveals nothing of it."""
    share = _share_of(request, Action.WRITE)
    blob_id = _below(share, _name(request.scope["query_string"]))
    headers = fields(request.scope)
    check_framing(request.scope, headers)
    new = raw_form.new_blob(blob_id, headers, Meter(pace).chunks(request.receive))
    new = replace(new, precondition=ANY)  # which would tell whether a name is in use, without storing anything
    await shares.use(share)
    await store(request.auth, new)
    return Response(b"", status_code=HTTPStatus.CREATED)


def _below(share: Share, name: str) -> BlobId:
    """Return the id of an upload. Errors do not tell how long the prefix is."""
    try:
        return BlobId(share.ids + name)
    except InvalidId:
        raise InvalidId("This name can't be used: it has control characters in it, or is too long.") from None


def _name(query: bytes) -> str:
    try:
        names = parse_qs(query.decode("ascii"), keep_blank_values=True, errors="strict").get("name", [])
    except UnicodeDecodeError:
        raise HttpProblem("invalid_parameter", "The query is not percent-encoded UTF-8.") from None
    if len(names) != 1 or not 0 < len(names[0]) <= MAX_FILENAME:
        raise HttpProblem("invalid_parameter", f"name takes 1 to {MAX_FILENAME} characters, once.")
    return names[0]
