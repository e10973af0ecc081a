"""Uploads in progress: list, describe and discard them."""

from typing import Any

import msgspec
from litestar import HttpMethod, Response, delete, get, route
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIType, Schema

from application.blobs.multipart.parts import MAX_APPENDED
from application.blobs.multipart.uploads import MultipartUploads
from domain.blob import ObjectKey
from entrypoints.http.openapi.components import (
    STATE,
    json_of,
    page,
    parameter,
    response,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.fields.header_values import is_digits
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.upload_urls import upload_key
from entrypoints.http.rest import pages
from entrypoints.http.rest.described import CHANGING, EVERYWHERE, HttpRequest
from entrypoints.http.rest.uploads.descriptions import UploadList, UploadParts, described, part_description
from entrypoints.http.rest.uploads.openapi import KEY_PARAMETER, OF_UPLOAD, PART, PATH, UPLOAD
from entrypoints.http.rest.uploads.resumable import Resumption

Resuming = NamedDependency[Resumption]
Uploads = NamedDependency[MultipartUploads]
LIST = operation(
    takes=page("upload-cursor"),
    responses={"200": response("A page.", json_of("UploadList", {"uploads": [UPLOAD], "next_cursor": None}))}
    | problems("invalid_parameter", *EVERYWHERE, path="/v1/uploads"),
)


@get(
    "/uploads",
    operation_id="listUploads",
    summary="List uploads in progress",
    operation_class=LIST,
    parameters=pages.PARAMETERS,
)
async def list_uploads(request: HttpRequest, uploads: Uploads) -> Response[UploadList]:
    """List the uploads in progress, in the order of their ids. Those without an id come first."""
    query = pages.page_query(request.scope)
    position = pages.position(query.cursor)
    after = None if position is None else (position[0], _cursor_key(position[1]))
    found = await uploads.list(request.auth, query.prefix, after, query.limit + 1)
    page = found[: query.limit]
    cursor = None
    if len(found) > len(page):
        cursor = pages.cursor(page[-1].id.value if page[-1].id else "", page[-1].key.value)
    return Response(UploadList([described(each, uploads.max_bytes) for each in page], cursor))


def _cursor_key(value: str) -> ObjectKey:
    try:
        return ObjectKey(value)
    except ValueError:
        raise pages.bad_cursor() from None


FIND = operation(
    takes=[
        KEY_PARAMETER,
        parameter(
            "query",
            "after",
            "Show the parts after this number, 1,000 at most.",
            Schema(type=OpenAPIType.INTEGER, minimum=0, maximum=MAX_APPENDED, default=0),
        ),
    ],
    responses={"200": response("The upload.", json_of("UploadParts", {**UPLOAD, "parts": [PART]}))}
    | problems(*OF_UPLOAD, *EVERYWHERE, path=PATH),
)


@get(
    "/uploads/{upload:str}",
    operation_id="findUpload",
    summary="An upload and its parts",
    operation_class=FIND,
    parameters=("after",),
)
async def find_upload(request: HttpRequest, uploads: Uploads) -> Response[UploadParts]:
    """Return an upload in progress, with up to 1,000 of its parts."""
    key = upload_key(request.path_params["upload"])
    after = request.query_params.get("after", "0")
    if not is_digits(after) or len(after) > 6 or int(after) > MAX_APPENDED:
        raise HttpProblem("invalid_parameter", "after takes the number of a part.")
    upload = await uploads.find(request.auth, key)
    parts = await uploads.parts(request.auth, key, int(after), pages.MAX_LIMIT + 1)
    shown = parts[: pages.MAX_LIMIT]
    members = msgspec.structs.asdict(described(upload, uploads.max_bytes))
    following = shown[-1].number if len(parts) > len(shown) else None
    return Response(UploadParts(**members, parts=[part_description(part) for part in shown], next_after=following))


PROGRESS = operation(
    takes=[KEY_PARAMETER],
    responses={"204": response("How far it is.", required=["Cache-Control", *STATE], optional=["Upload-Length"])}
    | problems(
        *("precondition_failed", "already_exists", "digest_mismatch", "invalid_expiry", "integrity"),
        *(*OF_UPLOAD, *CHANGING),
        body=False,
        path=PATH,
    ),
)


@route(
    "/uploads/{upload:str}",
    http_method=HttpMethod.HEAD,
    operation_id="uploadProgress",
    summary="How many bytes an upload has",
    operation_class=PROGRESS,
)
async def upload_progress(request: HttpRequest, resumable: Resuming) -> Response[Any]:
    """Return the offset at which to go on. A request that is appending to a resumable upload ends before."""
    return (await resumable.progress(request, upload_key(request.path_params["upload"]))).response()


DISCARD = operation(
    takes=[KEY_PARAMETER],
    responses={"204": response("Discarded.")} | problems(*OF_UPLOAD, *CHANGING, path=PATH),
)


@delete("/uploads/{upload:str}", operation_id="discardUpload", summary="Discard an upload", operation_class=DISCARD)
async def discard_upload(request: HttpRequest, resumable: Resuming) -> None:
    """Discard an upload and all of its parts. One that has finished is forgotten, and its blob stays."""
    await resumable.uploads.discard(request.auth, upload_key(request.path_params["upload"]))
