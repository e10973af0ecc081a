"""The use of share links: downloads, with a page for the password, and uploads."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from litestar import HttpMethod, Response, get, post, put, route
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, RequestBody, Schema
from litestar.types import ASGIApp

from application.access.failures import FailedAuthentications
from application.access.rates import RequestRates
from application.access.shares import Shares as SharesOf
from application.attempts import record
from application.blobs.fetch import FetchBlob
from application.blobs.store import StoreBlob
from domain.access import NOBODY, Action, Grant, Share
from domain.blob import BlobId
from domain.errors import InvalidId, ShareLocked, ShareNotFound
from domain.precondition import ANY
from entrypoints.http.middleware.routes.failures import count_failure
from entrypoints.http.openapi.components import (
    CONDITIONS,
    DIGESTS,
    MAX_FILENAME,
    NO_CONTROL_CHARACTERS,
    RANGE,
    RESUMABLE,
    STATE,
    parameter,
    response,
    text,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.addresses import client_address
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.fields.conditional import NotModified
from entrypoints.http.protocol.fields.headers import check_framing, fields
from entrypoints.http.protocol.fields.upload_fields import upload_fields
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.streaming import BlobResponse, ShortResponse, not_modified
from entrypoints.http.rest import raw_form
from entrypoints.http.rest.access import share_pages
from entrypoints.http.rest.described import BODY, BYTES, MALFORMED, HttpRequest
from entrypoints.http.rest.json_bodies import FORM, form_text
from entrypoints.http.rest.raw_form import DownloadForm
from entrypoints.http.rest.stored import Reply
from entrypoints.http.rest.uploads.resumable import Resumption, complete_length_agrees, whole

Shares = NamedDependency[SharesOf]
ClientPace = NamedDependency[Pace]
TOKEN_OF_EXAMPLE = f"ab2cd3ef4gh5ij6k-{'a2' * 13}"
MAX_FORM = 8 * 1024  # bytes; a password has up to 1,024, percent-encoded

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
_STORED = ["integrity", "read_only"]
_DOWNLOADING = [*_READING, *_OF_LINK, *_FAILING]
_HEADERS = ["ETag", "Vary", "Content-Length"]
DOWNLOAD = operation(
    takes=[_LINK, *CONDITIONS, *RANGE],
    responses={
        "200": response(
            "The bytes. To a browser, for a link with a password or for uploads: a page for them.",
            {"*/*": BYTES},
            required=_HEADERS[1:],
            optional=_HEADERS[:1],
        ),
        "206": response("The range.", {"*/*": BYTES}, required=["Content-Range", *_HEADERS]),
        "304": response("The client has this version already.", required=["ETag", "Vary"], optional=["Last-Modified"]),
    }
    | problems("range_not_satisfiable", *_STORED, *_DOWNLOADING, path=_LINK_PATH),
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
    """Fetch the bytes of the blob. If the link has a limit, each request counts, also one for a range.

    A read-only server can't count, and refuses such links.
    """
    if request.scope["share"].action is Action.WRITE and share_pages.is_wanted(request.scope):  # type: ignore[typeddict-item]
        return share_pages.UPLOAD.response().to_asgi_response(app=None, request=request)
    return await _download(_share_of(request, Action.READ), request.auth, shares, fetch, pace)


async def _download(
    share: Share, grant: Grant, shares: SharesOf, fetch: FetchBlob, pace: Pace, *, is_whole: bool = False
) -> ASGIApp:
    await shares.use(share)
    representation = DownloadForm(share.filename, share.expires_at, shows_metadata=False, is_whole=is_whole)
    return BlobResponse(partial(fetch, grant, BlobId(share.ids)), representation, pace)


def on_locked(request: HttpRequest, error: ShareLocked) -> Response[str]:
    """Respond to a browser that opens a link with a password: with the page for it."""
    return (share_pages.UPLOAD if error.takes_uploads else share_pages.PASSWORD).response()


def _unlocking() -> Mapping[str, OpenAPIResponse]:
    refused = problems("forbidden", "not_found", *_OF_LINK, *MALFORMED, *_FAILING, *_STORED, path=_LINK_PATH)
    del refused["401"]  # the page is there instead
    page = {share_pages.HTML: OpenAPIMediaType(text(), example="<!doctype html>")}
    refused["403"].content = {**(refused["403"].content or {}), **page}
    return {"200": response("The bytes.", {"*/*": BYTES}, required=_HEADERS)} | refused


UNLOCK = operation(
    takes=[_LINK],
    body=RequestBody(
        {
            FORM: OpenAPIMediaType(
                Schema(
                    type=OpenAPIType.OBJECT,
                    properties={"password": text()},
                    required=["password"],
                    additional_properties=False,
                ),
                example={"password": "for Ada"},
            )
        },
        required=True,
    ),
    responses=_unlocking(),
)


@post(
    "/s/{link:str}",
    operation_id="downloadWithPassword",
    summary="Download by a share link with a password",
    operation_class=UNLOCK,
    security=[{}],
    status_code=HTTPStatus.OK,
)
async def download_with_password(
    request: HttpRequest,
    shares: Shares,
    fetch: NamedDependency[FetchBlob],
    rates: NamedDependency[RequestRates],
    failures: NamedDependency[FailedAuthentications],
    pace: ClientPace,
) -> ASGIApp:
    """Fetch the bytes of the blob, as the form does that browsers get for such a link."""
    password, client = await _password(request, pace), client_address(request.scope)
    try:
        share, grant = await shares.open(request.path_params["link"], password, client)
    except ShareNotFound:
        record(NOBODY, "open_link", is_granted=False)
        raise
    except ShareLocked:
        await count_failure(request.scope, failures)
        page = share_pages.PASSWORD.response(HTTPStatus.FORBIDDEN, share_pages.WRONG)
        return page.to_asgi_response(app=None, request=request)
    rates.admit(grant)
    request.scope["share"] = share  # type: ignore[typeddict-unknown-key]
    return await _download(_share_of(request, Action.READ), grant, shares, fetch, pace, is_whole=True)


async def _password(request: HttpRequest, pace: Pace) -> bytes:
    content = await form_text(request, pace, limit=MAX_FORM)
    try:
        values = parse_qs(content.decode(), keep_blank_values=True, errors="strict", max_num_fields=1).get("password")
    except ValueError:
        values = None
    if not values:
        raise HttpProblem("invalid_body", "Send a form with the field password, in percent-encoded UTF-8.")
    return values[0].encode()


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
        conditional.check_reading(fields(request.scope), blob, conditional.etag)
    except NotModified:
        return not_modified(representation, blob)
    return ShortResponse(representation.headers(blob))


_NAME = replace(
    parameter(
        "query",
        "name",
        "The rest of the id, after the prefix of the link.",
        text(min_length=1, max_length=MAX_FILENAME, pattern=NO_CONTROL_CHARACTERS),
        "report.pdf",
    ),
    required=True,
)
UPLOAD = operation(
    takes=[_LINK, _NAME, *DIGESTS, *RESUMABLE],
    body=RequestBody({"*/*": BYTES}, "The bytes. Their Content-Type is kept."),
    responses={
        "201": response(
            "Stored, or with `Upload-Complete: ?0` begun. Then Location is a signed URL of the upload.", optional=STATE
        )
    }
    | problems(
        *("invalid_id", "invalid_parameter", "invalid_header", "digest_mismatch", "size_mismatch", "already_exists"),
        *(
            "inconsistent_length",
            "interrupted",
            "no_master_key",
            "unsupported_media_type",
            "lease_lost",
            "integrity",
            "invalid_metadata",
            "invalid_expiry",
        ),
        *("no_space", "quota_exceeded", "commit_unknown", "rolled_back", "read_only", "forbidden"),
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
    request: HttpRequest,
    shares: Shares,
    store: NamedDependency[StoreBlob],
    resumable: NamedDependency[Resumption],
    pace: ClientPace,
) -> Response[Any]:
    """Store the bytes of the body as a new blob below the prefix of the link. The response reveals nothing of it.

    With `Upload-Complete: ?0`, a resumable upload begins, whose URL needs neither the link nor its password.
    """
    share = _share_of(request, Action.WRITE)
    blob_id = _below(share, _name(request.scope["query_string"]))
    headers = fields(request.scope)
    is_complete = upload_fields(headers).is_complete
    if is_complete is False:
        await shares.use(share)
        unconditional = {name: value for name, value in headers.items() if name not in conditional.CONDITIONS}
        return (await resumable.create(request, blob_id, unconditional)).response()
    check_framing(request.scope, headers)
    if is_complete:
        complete_length_agrees(headers)
    new = raw_form.new_blob(blob_id, headers, Meter(pace).chunks(request.receive))
    new = replace(new, precondition=ANY)  # which would tell whether a name is in use, without storing anything
    await shares.use(share)
    done = await store(request.auth, new)
    reply = Reply(HTTPStatus.CREATED)
    return (whole(reply, headers, done.blob.size) if is_complete else reply).response()


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
