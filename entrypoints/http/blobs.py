"""The routes of blobs: HTTP translated into the use cases' words and back, and nothing decided."""

from typing import Any
from urllib.parse import quote

from litestar import Request, Response, get, post
from litestar.types import ASGIApp

from application.fetch_blob import FetchBlob
from application.store_blob import StoreBlob
from entrypoints.http import json_form, openapi
from entrypoints.http.blob_ids import ROUTE, blob_id
from entrypoints.http.json_form import JsonBlob, StoredBody
from entrypoints.http.json_request import new_blob


@post("/v1/blobs", summary="Store a blob", operation_class=openapi.StoreOperation, responses=openapi.STORE_RESPONSES)
async def store_blob(request: Request[Any, Any, Any], store: StoreBlob) -> Response[StoredBody]:
    """Store a blob under an id that is not in use yet. The members may come in any order.

    With `id` before `data`, an id that is in use is refused before the data is read.
    """
    blob = await store(await new_blob(request.scope, request.receive, store.max_bytes))
    headers = {"Location": f"/v1/blobs/{quote(blob.id.value, safe='')}", "ETag": f'"{blob.etag}"'}
    return Response(json_form.stored_body(blob), headers=headers)


@get(ROUTE, summary="Fetch a blob", responses=openapi.FETCH_RESPONSES)
async def fetch_blob(request: Request[Any, Any, Any], fetch: FetchBlob) -> ASGIApp:
    """Fetch a blob."""
    return JsonBlob(await fetch(blob_id(request.scope["raw_path"])))
