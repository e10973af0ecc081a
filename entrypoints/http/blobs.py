"""The routes of blobs: HTTP translated into the use cases' words and back, and nothing decided."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from litestar import Request, Response, get, post
from litestar.types import ASGIApp

from application.fetch_blob import FetchBlob
from application.store_blob import NewBlob, StoreBlob
from domain.precondition import CREATE_ONLY
from entrypoints.http import json_form, openapi
from entrypoints.http.blob_ids import ROUTE, blob_id
from entrypoints.http.json_form import JsonBlob, StoredBody

# More than this is decoded in a thread, beside other requests.
PARSE_IN_THREAD = 256 * 1024


@post("/v1/blobs", summary="Store a blob", operation_class=openapi.StoreOperation, responses=openapi.STORE_RESPONSES)
async def store_blob(request: Request[Any, Any, Any], store: StoreBlob) -> Response[StoredBody]:
    """Store a blob under an id that is not in use yet. A request may have up to 64 MiB."""
    body = await json_form.read_body(request.scope, request.receive)
    if len(body) < PARSE_IN_THREAD:
        new_id, data = json_form.parse(body)
    else:
        new_id, data = await asyncio.to_thread(json_form.parse, body)
    blob = await store(NewBlob(new_id, _once(data), precondition=CREATE_ONLY))
    headers = {"Location": f"/v1/blobs/{quote(blob.id.value, safe='')}", "ETag": f'"{blob.etag}"'}
    return Response(json_form.stored_body(blob), headers=headers)


@get(ROUTE, summary="Fetch a blob", responses=openapi.FETCH_RESPONSES)
async def fetch_blob(request: Request[Any, Any, Any], fetch: FetchBlob) -> ASGIApp:
    """Fetch a blob."""
    return JsonBlob(await fetch(blob_id(request.scope["raw_path"])))


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
