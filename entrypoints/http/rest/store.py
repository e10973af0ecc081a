"""Store a blob: POST under an id that is not in use, PUT under any id."""

from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote

import msgspec
from litestar import post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Link,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    RequestBody,
    Schema,
)
from litestar.types import ASGIApp

from application.blobs.store import StoreBlob, StoredBlob
from application.contents.expiry import NEVER
from entrypoints.http.direct import DIRECT
from entrypoints.http.openapi.components import (
    BASE64,
    BLOB_ID,
    CONTENT_ENCODING,
    DATA,
    DIGESTS,
    EXPIRY,
    ID,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    METADATA,
    PROPERTIES,
    SHA_256,
    id_schema,
    json_of,
    response,
    text,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol import conditional
from entrypoints.http.protocol.blob_paths import ID_PATH, blob_id
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.headers import check_framing, fields
from entrypoints.http.protocol.problems import Problem
from entrypoints.http.protocol.streaming import ShortResponse
from entrypoints.http.rest import raw_form
from entrypoints.http.rest.described import BODY, BYTES, CHANGING, KNOWN, HttpRequest
from entrypoints.http.rest.descriptions import expiry_of, metadata_of
from entrypoints.http.rest.json_form import request as json_request
from entrypoints.http.rest.json_form.response import JSON_TYPE, StoredBody, stored_body
from entrypoints.http.rest.multipart_form import request as form_request

Store = NamedDependency[StoreBlob]
ClientPace = NamedDependency[Pace]

_STORED = json_of("StoredBody", {"message": "Blob stored successfully", **KNOWN, "sha256": SHA_256})
_STORING = [
    "invalid_id",
    "invalid_parameter",
    "lease_lost",
    "integrity",
    "invalid_metadata",
    "invalid_expiry",
    *BODY,
    *CHANGING,
]
_FORM = OpenAPIMediaType(
    Schema(
        type=OpenAPIType.OBJECT,
        required=["id", "file"],
        properties={
            "id": id_schema(),
            "file": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="The bytes."),
        },
        additional_properties=False,
        description="The Content-Type of `file` is kept. Its filename is not.",
    )
)


def _stored(description: str) -> OpenAPIResponse:
    stored = response(description, _STORED, required=["Location", "ETag"])
    stored.links = {
        operation: Link(operation_id=operation, parameters={"id": "$response.body#/id"})
        for operation in ("fetchBlob", "describeBlob", "putBlob", "deleteBlob")
    }
    return stored


STORE = operation(
    takes=[*METADATA, *EXPIRY],
    body=RequestBody(
        {
            "application/json": OpenAPIMediaType(
                Schema(
                    type=OpenAPIType.OBJECT,
                    required=["id", "data"],
                    properties={
                        "id": id_schema(),
                        "data": text(pattern=BASE64, content_encoding="base64", description="RFC 4648, section 4."),
                    },
                    additional_properties=False,
                ),
                example={"id": ID, "data": DATA},
            ),
            "multipart/form-data": _FORM,
        },
        required=True,
    ),
    responses={"201": _stored("Stored.")}
    | problems(
        *(
            "invalid_json",
            "invalid_body",
            "invalid_base64",
            "invalid_form",
            "invalid_header",
            "already_exists",
            "unsupported_media_type",
            *_STORING,
        ),
        path="/v1/blobs",
    ),
)


@post(
    operation_id="storeBlob",
    summary="Store a blob",
    opt=DIRECT,
    operation_class=STORE,
    responses={201: ResponseSpec(StoredBody, False), 400: ResponseSpec(Problem, False)},
)
async def store_blob(request: HttpRequest, store: Store, pace: ClientPace) -> ASGIApp:
    """Store a blob under an id that is not in use yet. Members and fields may come in any order.

    With `id` first, an id that is in use is refused before the bytes are read.
    """
    headers = fields(request.scope)
    form = form_request if form_request.is_form(headers) else json_request
    body = Meter(pace).chunks(request.receive)
    metadata, expiry = metadata_of(headers), expiry_of(headers)
    new = await form.new_blob(request.scope, headers, body, store.max_bytes)
    if metadata or expiry != NEVER:
        new = replace(new, properties=replace(new.properties, metadata=metadata), expiry=expiry)
    return _stored_response(await store(request.auth, new))


PUT = operation(
    takes=[
        BLOB_ID,
        IF_MATCH,
        IF_NONE_MATCH,
        IF_UNMODIFIED_SINCE,
        *DIGESTS,
        CONTENT_ENCODING,
        *PROPERTIES,
        *METADATA,
        *EXPIRY,
    ],
    body=RequestBody({"*/*": BYTES}, "The bytes, or nothing for the empty blob. Their Content-Type is kept."),
    responses={"200": _stored("Stored, in the place of another version."), "201": _stored("Stored.")}
    | problems(
        *("invalid_header", "digest_mismatch", "size_mismatch", "precondition_failed", "unsupported_media_type"),
        "already_exists",  # of a signed URL that only creates
        *_STORING,
    ),
)


@put(
    ID_PATH,
    operation_id="putBlob",
    summary="Store or replace a blob",
    opt=DIRECT,
    operation_class=PUT,
    responses={200: ResponseSpec(StoredBody, False), 400: ResponseSpec(Problem, False)},
)
async def put_blob(request: HttpRequest, store: Store, pace: ClientPace) -> ASGIApp:
    """Store the bytes of the body, and replace what is under the id, if that is in use."""
    headers = fields(request.scope)
    check_framing(request.scope, headers)
    chunks = Meter(pace).chunks(request.receive)
    new = raw_form.new_blob(blob_id(request.scope["raw_path"]), headers, chunks)
    return _stored_response(await store(request.auth, new))


def _stored_response(stored: StoredBlob) -> ShortResponse:
    blob = stored.blob
    body = msgspec.json.encode(stored_body(blob))
    headers = [
        (b"location", f"/v1/blobs/{quote(blob.id.value, safe='')}".encode()),
        (b"etag", conditional.etag(blob).encode()),
        JSON_TYPE,
        (b"content-length", b"%d" % len(body)),
    ]
    return ShortResponse(headers, HTTPStatus.OK if stored.replaced else HTTPStatus.CREATED, body)
