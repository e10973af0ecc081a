"""The list of blobs: pages of JSON."""

import base64
import binascii
import hashlib
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import parse_qs

import msgspec
from litestar import MediaType, Response, get
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIResponse
from litestar.types import ASGIApp, Scope
from msgspec import Meta

from application.blobs.list import ListBlobs
from domain.blob import NEXT
from domain.text import CONTROL_CHARACTER
from entrypoints.http.openapi.components import ETAG, PAGE, SHA_256, TAGS, header, json_of, parameter, response
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields.conditional import is_current
from entrypoints.http.protocol.fields.headers import fields
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.blobs.zip import ZIPPED, Collect, zip_of_prefix
from entrypoints.http.rest.blobs.zip_form.response import MEDIA_TYPE
from entrypoints.http.rest.described import EVERYWHERE, KNOWN, HttpRequest
from entrypoints.http.rest.descriptions import BlobDescription, brief_description, description

MAX_LIMIT = 1000
OF_PAGES = ("delimiter", "limit", "cursor", "fields")
PARAMETERS = ("prefix", *OF_PAGES, "format")


class ListBody(msgspec.Struct):
    """A page. `next_cursor` is null on the last one."""

    blobs: list[BlobDescription]
    prefixes: list[str]
    next_cursor: str | None


class Selection(msgspec.Struct):
    """The query of a list."""

    prefix: str = ""
    delimiter: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 100
    cursor: str = ""
    fields: Literal["", "metadata"] = ""
    format: Literal["json", "zip"] = "json"


def _selection(scope: Scope) -> Selection:
    try:
        found = parse_qs(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
        repeated = [name for name in PARAMETERS if len(found.get(name, "")) > 1]
        if repeated:
            raise _invalid(f"{repeated[0]} is given more than once.")
        selection = msgspec.convert(
            {name: found[name][0] for name in PARAMETERS if name in found}, Selection, strict=False
        )
        if selection.format == "zip" and (named := [name for name in OF_PAGES if name in found]):
            raise _invalid(f"A zip file has all blobs with the prefix, and no pages: {named[0]} is for lists.")
        for name in ("prefix", "delimiter"):
            if CONTROL_CHARACTER.search(getattr(selection, name)):
                raise _invalid(f"{name} has a control character in it; no id has.")
        return selection
    except (UnicodeDecodeError, ValueError) as error:
        raise _invalid(f"The query is not as it should be: {error}.") from None


_LISTED = {**KNOWN, "content_type": "application/octet-stream", "sha256": SHA_256, "etag": ETAG, "backend": "fs"}
_LIST = json_of("ListBody", {"blobs": [_LISTED], "prefixes": ["my-films/"], "next_cursor": "bXktZmlsbXMw"})
_TAG = "0123456789abcdef0123456789abcdef"
_CONDITIONS = [
    parameter("header", "If-Match", "The page only if it has one of these entity tags; `*`: any.", TAGS, f'"{_TAG}"'),
    parameter("header", "If-None-Match", "The page only if it has none of these entity tags: 304 otherwise.", TAGS),
]


def _tagged(described: OpenAPIResponse) -> OpenAPIResponse:
    """Add the entity tag of a page. A zip file has none."""
    tag = header("Of a page: the entity tag of its bytes.", pattern='^"[0-9a-f]{32}"$', examples=[f'"{_TAG}"'])
    described.headers = (described.headers or {}) | {"ETag": tag}
    return described


LIST = operation(
    takes=[*PAGE, *_CONDITIONS],
    responses={
        "200": _tagged(response("A page, or a zip file.", {**_LIST, MEDIA_TYPE: ZIPPED})),
        "304": _tagged(response("The client has this page already.")),
    }
    | problems(
        *("invalid_parameter", "invalid_header", "invalid_prefix", "not_found", "precondition_failed"),
        *("integrity", "no_space", *EVERYWHERE),
        path="/v1/blobs",
    ),
)


@get(
    operation_id="listBlobs",
    summary="List blobs",
    operation_class=LIST,
    responses={200: ResponseSpec(ListBody, False)},  # which the return type does not name
    parameters=PARAMETERS,
    dependencies={"selection": Provide(_selection, sync_to_thread=False)},
)
async def list_blobs(
    request: HttpRequest,
    selection: NamedDependency[Selection],
    listing: NamedDependency[ListBlobs],
    collect: Collect,
    pace: NamedDependency[Pace],
) -> ASGIApp:
    """List the blobs whose ids begin with a prefix, in the order of the ids' bytes. `format=zip` sends the blobs.

    With If-None-Match, a page that has not changed is not sent again. See `POST /v1/zip` for the zip file, which has no
    entity tag. Its names are relative to the folder of the prefix.
    """
    if selection.format == "zip":
        is_current(fields(request.scope), None)  # refuses a version, because a zip file has none
        return zip_of_prefix(request, collect, selection.prefix, pace)
    start = _start(selection.cursor)
    page = await listing(request.auth, selection.prefix, selection.delimiter, selection.limit, start)
    cursor = None if page.following is None else base64.urlsafe_b64encode(page.following.encode()).decode().rstrip("=")
    describe = description if selection.fields else brief_description
    body = msgspec.json.encode(ListBody([describe(blob) for blob in page.blobs], page.prefixes, cursor))
    return _page(request, body).to_asgi_response(app=None, request=request)


def _page(request: HttpRequest, body: bytes) -> Response[bytes | None]:
    """Return the response with a page, or 304. The entity tag is of the bytes, which differ between rights, too."""
    tag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"ETag": f'"{tag}"'}
    if is_current(fields(request.scope), tag):
        return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, media_type=MediaType.JSON, headers=headers)


def _start(cursor: str) -> str:
    try:
        start = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        if CONTROL_CHARACTER.search(start.removesuffix(NEXT)):
            raise ValueError
        return start
    except (binascii.Error, ValueError):
        raise _invalid("cursor takes the next_cursor of an earlier page, as it is.") from None


def _invalid(detail: str) -> HttpProblem:
    return HttpProblem("invalid_parameter", detail)
