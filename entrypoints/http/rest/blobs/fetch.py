"""Fetch a blob, or its headers."""

from functools import partial
from typing import Any

from litestar import HttpMethod, get, route
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIResponse
from litestar.types import ASGIApp

from application.blobs.fetch import FetchBlob
from entrypoints.http.direct import DIRECT
from entrypoints.http.openapi.components import (
    ALT,
    BLOB_ID,
    CONDITIONS,
    DATA,
    FILENAME,
    ID,
    RANGE,
    RAW_ONLY,
    SOMETIMES,
    header,
    json_of,
    response,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.fields.conditional import NotModified
from entrypoints.http.protocol.fields.headers import fields
from entrypoints.http.protocol.problems import HttpProblem, Problem
from entrypoints.http.protocol.streaming import BlobResponse, Representation, ShortResponse, not_modified
from entrypoints.http.protocol.urls.blob_paths import ID_PATH, blob_id
from entrypoints.http.rest.described import BYTES, CREATED_AT, EVERYWHERE, HttpRequest
from entrypoints.http.rest.json_form.response import JSON, BlobBody
from entrypoints.http.rest.negotiation import PARAMETERS, filename, wants_bytes
from entrypoints.http.rest.raw_form import RAW, DownloadForm

Fetch = NamedDependency[FetchBlob]

# No route's return type names them, and without them the framework would not describe them.
SCHEMAS = {200: ResponseSpec(BlobBody, False), 400: ResponseSpec(Problem, False)}
_BLOB = json_of("BlobBody", {"id": ID, "data": DATA, "size": 12, "created_at": CREATED_AT})
_OF_BLOBS = ["ETag", "Vary", "Content-Length"]
_READING = ["invalid_id", "invalid_parameter", "invalid_header", "not_found", "precondition_failed", *EVERYWHERE]


def _raw(described: OpenAPIResponse) -> OpenAPIResponse:
    """Add the header that other responses have with another meaning."""
    stored = header("How to cache the blob, if it was stored with this header, in the raw form.")
    described.headers = (described.headers or {}) | {"Cache-Control": stored}
    return described


_UNCHANGED = {
    "304": _raw(response("The client has this version already.", required=["ETag", "Vary"], optional=["Last-Modified"]))
}
FETCH = operation(
    takes=[BLOB_ID, ALT, FILENAME, *CONDITIONS, *RANGE],
    responses={
        "200": _raw(
            response(
                "The blob: as JSON, or its bytes with the Content-Type that they were stored with.",
                _BLOB | {"*/*": BYTES},
                required=_OF_BLOBS,
                optional=[*RAW_ONLY, *SOMETIMES],
            )
        ),
        "206": _raw(
            response(
                "The range.",
                {"*/*": BYTES},
                required=["Content-Range", *_OF_BLOBS, *RAW_ONLY],
                optional=SOMETIMES,
            )
        ),
        **_UNCHANGED,
    }
    | problems("range_not_satisfiable", "integrity", *_READING),
)


@get(
    ID_PATH,
    operation_id="fetchBlob",
    summary="Fetch a blob",
    opt=DIRECT,
    operation_class=FETCH,
    responses=SCHEMAS,
    parameters=PARAMETERS,
)
async def fetch_blob(request: HttpRequest, fetch: Fetch, pace: NamedDependency[Pace]) -> ASGIApp:
    """Fetch a blob as JSON; or as its bytes, if `alt` is `media` or Accept prefers application/octet-stream to JSON."""
    representation = _representation(request.scope)
    return BlobResponse(partial(fetch, request.auth, blob_id(request.scope["raw_path"])), representation, pace)


def _representation(scope: Any) -> Representation:
    query = scope["query_string"]
    name = filename(scope) if b"filename" in query or b"%" in query else None
    signed_until = scope.get("signed_until")
    if not wants_bytes(scope):
        if name is not None:
            raise HttpProblem("invalid_parameter", "filename is for the bytes: add alt=media.")
        return JSON
    return RAW if name is None and signed_until is None else DownloadForm(name, signed_until)


HEAD = operation(
    takes=[BLOB_ID, ALT, FILENAME, *CONDITIONS],
    responses={
        "200": _raw(response("There is such a blob.", required=_OF_BLOBS, optional=[*RAW_ONLY, *SOMETIMES])),
        **_UNCHANGED,
    }
    | problems(*_READING, body=False),
)


@route(
    ID_PATH,
    http_method=HttpMethod.HEAD,
    operation_id="describeBlob",
    summary="The metadata of a blob",
    opt=DIRECT,
    operation_class=HEAD,
    parameters=PARAMETERS,
)
async def describe_blob(request: HttpRequest, fetch: Fetch) -> ASGIApp:
    """Answer as GET does to the same request without a range, but for the body."""
    representation = _representation(request.scope)
    blob = await fetch.stat(request.auth, blob_id(request.scope["raw_path"]))
    validator = conditional.json_etag if representation is JSON else conditional.etag
    try:
        conditional.check_reading(fields(request.scope), blob, validator)
    except NotModified:
        return not_modified(representation, blob)
    return ShortResponse(representation.headers(blob))
