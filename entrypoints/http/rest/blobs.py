"""The routes of blobs: HTTP translated into the use cases' words and back, and nothing decided."""

from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from litestar import HttpMethod, Request, Response, delete, get, post, put, route
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.types import ASGIApp

from application.blobs.delete import DeleteBlob
from application.blobs.fetch import FetchBlob
from application.blobs.store import StoreBlob, StoredBlob
from application.ports.metadata import BlobReader
from entrypoints.http.protocol import conditional
from entrypoints.http.protocol.blob_paths import ROUTE, blob_id
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.conditional import NotModified
from entrypoints.http.protocol.headers import check_framing, fields
from entrypoints.http.protocol.streaming import BlobResponse, EmptyResponse, Representation, not_modified
from entrypoints.http.rest import operations, raw_form
from entrypoints.http.rest.json_form import request as json_request
from entrypoints.http.rest.json_form.response import JSON, StoredBody, stored_body
from entrypoints.http.rest.multipart_form import request as form_request
from entrypoints.http.rest.negotiation import PARAMETERS, wants_bytes
from entrypoints.http.rest.raw_form import RAW

HttpRequest = Request[Any, Any, Any]
Store = NamedDependency[StoreBlob]
ClientPace = NamedDependency[Pace]
Blobs = NamedDependency[SkipValidation[BlobReader]]  # protocols can't be checked at run time


@post("/v1/blobs", operation_id="storeBlob", summary="Store a blob", operation_class=operations.STORE)
async def store_blob(request: HttpRequest, store: Store, pace: ClientPace) -> Response[StoredBody]:
    """Store a blob under an id that is not in use yet. Members and fields may come in any order.

    With `id` first, an id that is in use is refused before the bytes are read.
    """
    form = form_request if form_request.is_form(fields(request.scope)) else json_request
    body = Meter(pace).chunks(request.receive)
    return _stored(await store(await form.new_blob(request.scope, body, store.max_bytes)))


@put(ROUTE, operation_id="putBlob", summary="Store or replace a blob", operation_class=operations.PUT)
async def put_blob(request: HttpRequest, store: Store, pace: ClientPace) -> Response[StoredBody]:
    """Store the bytes of the body, and replace what is under the id, if that is in use."""
    headers = fields(request.scope)
    check_framing(request.scope, headers)
    chunks = Meter(pace).chunks(request.receive)
    return _stored(await store(raw_form.new_blob(blob_id(request.scope["raw_path"]), headers, chunks)))


def _stored(stored: StoredBlob) -> Response[StoredBody]:
    blob = stored.blob
    headers = {"Location": f"/v1/blobs/{quote(blob.id.value, safe='')}", "ETag": conditional.etag(blob)}
    status = HTTPStatus.OK if stored.replaced else HTTPStatus.CREATED
    return Response(stored_body(blob), headers=headers, status_code=status)


@get(
    ROUTE,
    operation_id="fetchBlob",
    summary="Fetch a blob",
    operation_class=operations.FETCH,
    responses=operations.SCHEMAS,
    parameters=PARAMETERS,
)
async def fetch_blob(request: HttpRequest, fetch: NamedDependency[FetchBlob], pace: ClientPace) -> ASGIApp:
    """Fetch a blob as JSON; or as its bytes, if `alt` is `media` or Accept prefers application/octet-stream to JSON."""
    representation = _representation(request)
    return BlobResponse(partial(fetch, blob_id(request.scope["raw_path"])), representation, pace)


@route(
    ROUTE,
    http_method=HttpMethod.HEAD,
    operation_id="describeBlob",
    summary="What is known of a blob",
    operation_class=operations.HEAD,
    parameters=PARAMETERS,
)
async def describe_blob(request: HttpRequest, blobs: Blobs) -> ASGIApp:
    """Answer as GET does to the same request without a range, but for the body."""
    representation = _representation(request)
    blob = await blobs.get(blob_id(request.scope["raw_path"]))
    try:
        conditional.check_reading(fields(request.scope), blob)
    except NotModified:
        return not_modified(representation, blob)
    return EmptyResponse(representation.headers(blob))


def _representation(request: HttpRequest) -> Representation:
    return RAW if wants_bytes(request) else JSON


@delete(ROUTE, operation_id="deleteBlob", summary="Delete a blob", operation_class=operations.DELETE)
async def delete_blob(request: HttpRequest, delete: NamedDependency[DeleteBlob]) -> None:
    """Delete a blob."""
    await delete(blob_id(request.scope["raw_path"]), conditional.precondition(fields(request.scope)))


@route(["/v1/blobs", ROUTE], http_method=HttpMethod.OPTIONS, include_in_schema=False, sync_to_thread=False)
def options(request: HttpRequest) -> Response[None]:
    """The methods of a path. The framework's own handler lists only those registered before it."""
    template = request.scope["path_template"]
    [methods] = (route.methods for route in request.app.routes if route.path_format == template)
    return Response(None, headers={"Allow": ", ".join(sorted(methods))}, status_code=HTTPStatus.NO_CONTENT)


# Options come first, or the framework adds its own.
ROUTES = [options, store_blob, put_blob, fetch_blob, describe_blob, delete_blob]
