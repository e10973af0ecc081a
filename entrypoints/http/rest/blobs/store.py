"""Store a blob: POST under an id that is not in use, PUT under any id."""

from dataclasses import replace

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

from application.blobs.store import StoreBlob
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
    LOCATION_OF_BOTH,
    METADATA,
    PROPERTIES,
    RESUMABLE,
    SHA_256,
    STATE,
    always,
    either_of,
    id_schema,
    json_of,
    response,
    text,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.fields.headers import check_framing, fields
from entrypoints.http.protocol.fields.structured_fields import boolean
from entrypoints.http.protocol.problems import Problem
from entrypoints.http.protocol.urls.blob_paths import ID_PATH, blob_id
from entrypoints.http.rest import raw_form
from entrypoints.http.rest.described import BODY, BYTES, CHANGING, KNOWN, HttpRequest
from entrypoints.http.rest.descriptions import expiry_of, metadata_of
from entrypoints.http.rest.json_form import request as json_request
from entrypoints.http.rest.json_form.response import StoredBody
from entrypoints.http.rest.multipart_form import request as form_request
from entrypoints.http.rest.stored import stored
from entrypoints.http.rest.uploads.resumable import Resumption, complete_length_agrees, whole

Store = NamedDependency[StoreBlob]
ClientPace = NamedDependency[Pace]

_EXAMPLE = {"message": "Blob stored successfully", **KNOWN, "sha256": SHA_256}
_STORED = json_of("StoredBody", _EXAMPLE)
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
    return _with_links(response(description, _STORED, required=["Location", "ETag"], optional=STATE[:2]))


def _stored_or_begun() -> OpenAPIResponse:
    """Describe a response whose Location is that of an upload with `Upload-Complete: ?0`."""
    content = either_of("StoredBody", _EXAMPLE, "UploadDescription")
    made = response("Stored, or with `Upload-Complete: ?0` begun.", content, optional=["ETag", *STATE])
    made.headers = (made.headers or {}) | {"Location": always(LOCATION_OF_BOTH)}
    return _with_links(made)


def _with_links(stored: OpenAPIResponse) -> OpenAPIResponse:
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
    done = await store(request.auth, new)
    return stored(done.blob, replaced=done.replaced).asgi()


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
        *RESUMABLE,
    ],
    body=RequestBody({"*/*": BYTES}, "The bytes, or nothing for the empty blob. Their Content-Type is kept."),
    responses={"200": _stored("Stored, in the place of another version."), "201": _stored_or_begun()}
    | problems(
        *("invalid_header", "digest_mismatch", "size_mismatch", "precondition_failed", "unsupported_media_type"),
        "already_exists",  # of a signed URL that only creates
        *("inconsistent_length", "interrupted", "no_master_key"),  # of resumable uploads
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
async def put_blob(
    request: HttpRequest, store: Store, resumable: NamedDependency[Resumption], pace: ClientPace
) -> ASGIApp:
    """Store the bytes of the body, and replace what is under the id, if that is in use.

    With `Upload-Complete: ?0`, they are the first bytes of a resumable upload, and its URL is returned. The last bytes
    come by PATCH, and only then is the blob stored.
    """
    headers = fields(request.scope)
    blob, state = blob_id(request.scope["raw_path"]), headers.get("upload-complete")
    is_complete = None if state is None else boolean(state)
    if is_complete is False:
        return (await resumable.create(request, blob, headers)).asgi()
    check_framing(request.scope, headers)
    if is_complete:
        complete_length_agrees(headers)
    new = raw_form.new_blob(blob, headers, Meter(pace).chunks(request.receive))
    done = await store(request.auth, new)
    reply = stored(done.blob, replaced=done.replaced)
    return (whole(reply, headers, done.blob.size) if is_complete else reply).asgi()
