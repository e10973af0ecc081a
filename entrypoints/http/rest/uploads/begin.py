"""Begin an upload: of parts, or one that is resumed."""

from http import HTTPStatus
from typing import Annotated, Any, ClassVar
from urllib.parse import unquote_to_bytes

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Link, OpenAPIResponse

from application.blobs.multipart.uploads import MultipartUploads, NewUpload
from domain.blob import BlobId
from domain.properties import Properties
from entrypoints.http.openapi import components
from entrypoints.http.openapi.bodies import json_request
from entrypoints.http.openapi.components import (
    CONTENT_ENCODING,
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
    STATE,
    either_of,
    json_of,
    parameter,
    response,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields.headers import fields
from entrypoints.http.protocol.fields.media_types import media_type
from entrypoints.http.protocol.fields.upload_fields import upload_fields
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest import descriptions, raw_form
from entrypoints.http.rest.described import CHANGING, MALFORMED, HttpRequest
from entrypoints.http.rest.json_bodies import json_body, optional_id
from entrypoints.http.rest.json_form.response import Size
from entrypoints.http.rest.members import (
    OF_METADATA,
    CacheControl,
    Codings,
    Disposition,
    FutureTime,
    Id,
    Languages,
    MediaType,
    MetadataName,
    MetadataValue,
    Seconds,
)
from entrypoints.http.rest.uploads.descriptions import described
from entrypoints.http.rest.uploads.openapi import STORED, UPLOAD, UPLOAD_OFFSET
from entrypoints.http.rest.uploads.resumable import Resumption, id_from_filename

Resuming = NamedDependency[Resumption]
Uploads = NamedDependency[MultipartUploads]
ClientPace = NamedDependency[Pace]
_LINKS: dict[str, dict[str, Any]] = {
    "putPart": {"n": 1},
    "findUpload": {},
    "appendToUpload": {UPLOAD_OFFSET: "0"},
    "discardUpload": {},
}


def _begun() -> OpenAPIResponse:
    """Describe the upload; with `Upload-Complete`, it may have all of its bytes, and is a blob then."""
    begun = response("Begun.", either_of("UploadDescription", UPLOAD, "StoredBody"), optional=["ETag", *STATE])
    begun.headers = (begun.headers or {}) | {"Location": components.always(LOCATION_OF_BOTH)}
    begun.links = {
        name: Link(operation_id=name, parameters={"upload": "$response.body#/upload", **more})
        for name, more in _LINKS.items()
    }
    return begun


class UploadBody(msgspec.Struct, forbid_unknown_fields=True):
    """An upload to begin, with the properties of the blob. `id` may come later; `size`: of the whole, in bytes."""

    SCHEMA: ClassVar = {
        "not": {
            "required": ["expires_in", "expires_at"],
            "properties": {"expires_in": {"type": "integer"}, "expires_at": {"type": "string"}},
        }
    }

    id: Id | None = None
    size: Size | None = None
    content_type: MediaType = ""
    content_encoding: Codings = ""
    content_language: Languages = ""
    content_disposition: Disposition = ""
    cache_control: CacheControl = ""
    metadata: Annotated[dict[MetadataName, MetadataValue], OF_METADATA] = msgspec.field(default_factory=dict)
    expires_in: Seconds | None = None
    expires_at: FutureTime | None = None

    def new_upload(self) -> NewUpload:
        """Return the upload. Raises HttpProblem 400, INVALID_ID, INVALID_METADATA and INVALID_EXPIRY."""
        properties = Properties(
            media_type(self.content_type),
            raw_form.content_encoding(self.content_encoding),
            descriptions.language(self.content_language),
            descriptions.disposition(self.content_disposition) if self.content_disposition else "",
            descriptions.visible("cache_control", self.cache_control),
            self.metadata,
        )
        expiry = descriptions.expiry_from(self.expires_in, self.expires_at)
        return NewUpload(optional_id(self.id), properties, expiry, self.size)


BEGIN = operation(
    takes=[
        parameter("query", "id", "With `Upload-Complete`: the id of the blob.", components.id_schema(), ID),
        *(IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE),
        *(*DIGESTS, CONTENT_ENCODING, *PROPERTIES, *METADATA, *EXPIRY, *RESUMABLE),
    ],
    body=json_request(UploadBody, example={"id": ID, "content_type": "text/plain", "metadata": {"author": "Ada"}}),
    responses={
        "200": response(
            "With `Upload-Complete`: stored, in the place of another version.",
            json_of("StoredBody", STORED),
            required=["Location", "ETag", *STATE[:2]],
        ),
        "201": _begun(),
    }
    | problems(
        *("inconsistent_length", "digest_mismatch", "precondition_failed", "already_exists"),
        *("lease_lost", "interrupted", "invalid_parts", "integrity"),
        *("invalid_id", "invalid_header", "invalid_metadata", "invalid_expiry"),
        *MALFORMED,
        *CHANGING,
        path="/v1/uploads",
    ),
)


@post(
    "/uploads",
    operation_id="beginUpload",
    summary="Begin an upload",
    operation_class=BEGIN,
    parameters=("id",),
)
async def begin_upload(request: HttpRequest, uploads: Uploads, resumable: Resuming, pace: ClientPace) -> Response[Any]:
    """Begin an upload. Send its parts by PUT, in any order and concurrently, and publish it by a commit with `put`.

    With `Upload-Complete`, the body is not JSON, but the first bytes of a resumable upload, whose id is `id`, or that
    in Content-Disposition, below a prefix of your key. It is published once its last bytes have come by PATCH.
    """
    headers = fields(request.scope)
    if upload_fields(headers).is_complete is not None:
        blob_id = _id_of(request) or id_from_filename(request.auth, headers)
        return (await resumable.create(request, blob_id, headers)).response()
    if request.scope["query_string"]:
        raise HttpProblem("invalid_parameter", "id goes with Upload-Complete. Otherwise it is a member of the body.")
    body = await json_body(request, pace, UploadBody)
    upload = await uploads.begin(request.auth, body.new_upload())
    headers = {"Location": f"/v1/uploads/{upload.key}"}
    return Response(described(upload, uploads.max_bytes), status_code=HTTPStatus.CREATED, headers=headers)


def _id_of(request: HttpRequest) -> BlobId | None:
    """Return the id in the query, or None. Raises HttpProblem 400 and INVALID_ID."""
    name, _, value = request.scope["query_string"].partition(b"=")
    if not name:
        return None
    if name != b"id" or b"&" in value:
        raise HttpProblem("invalid_parameter", "Give id once.")
    try:
        return BlobId(unquote_to_bytes(value.replace(b"+", b" ")).decode())
    except UnicodeDecodeError:
        raise HttpProblem("invalid_parameter", "id is not percent-encoded UTF-8.") from None
