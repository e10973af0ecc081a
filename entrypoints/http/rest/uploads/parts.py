"""Uploads of several parts: begin, send parts in any order, and publish them by a commit."""

from http import HTTPStatus
from typing import Annotated, Any, ClassVar
from urllib.parse import unquote_to_bytes

import msgspec
from litestar import HttpMethod, Response, delete, get, patch, post, put, route
from litestar.di import NamedDependency
from litestar.openapi.spec import Link, OpenAPIResponse, OpenAPIType, RequestBody, Schema

from application.blobs.multipart.uploads import MAX_APPENDED, MAX_PARTS, MultipartUploads, NewPart, NewUpload
from domain.blob import BlobId, ObjectKey
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
    SHA_256,
    STATE,
    either_of,
    json_of,
    page,
    parameter,
    response,
    text,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.fields.header_values import is_digits
from entrypoints.http.protocol.fields.headers import check_framing, content_length, fields
from entrypoints.http.protocol.fields.media_types import media_type
from entrypoints.http.protocol.fields.upload_fields import upload_fields
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest import descriptions, pages, raw_form
from entrypoints.http.rest.described import BODY, BYTES, CHANGING, CREATED_AT, EVERYWHERE, MALFORMED, HttpRequest
from entrypoints.http.rest.json_bodies import json_body, optional_id, upload_key
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
from entrypoints.http.rest.uploads.descriptions import (
    PartDescription,
    UploadList,
    UploadParts,
    described,
    part_description,
)
from entrypoints.http.rest.uploads.resumable import Resumption, id_from_filename, is_partial

Resuming = NamedDependency[Resumption]
Uploads = NamedDependency[MultipartUploads]
ClientPace = NamedDependency[Pace]
UPLOAD_OFFSET = "Upload-Offset"
KEY = "0123456789abcdef0123456789abcdef"
PATH = f"/v1/uploads/{KEY}"


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


_PART = {"n": 1, "size": 12, "sha256": SHA_256}
_UPLOAD = {
    "upload": KEY,
    "received": 12,
    "created_at": CREATED_AT,
    "expires_at": "2023-10-28T10:00:00Z",
    "max_part_bytes": 5368709120,
    "max_parts": MAX_PARTS,
    "content_type": "text/plain",
    "id": ID,
}
_KEY_PARAMETER = parameter("path", "upload", "The key of the upload.", text(pattern=components.KEY), KEY)
_NUMBER_PARAMETER = parameter(
    "path",
    "n",
    "The number of the part. Parts are joined in the order of their numbers.",
    Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_PARTS),
    1,
)
_OF_UPLOAD = ["upload_not_found", "unknown_route", "invalid_parameter"]
_LINKS: dict[str, dict[str, Any]] = {
    "putPart": {"n": 1},
    "findUpload": {},
    "appendToUpload": {UPLOAD_OFFSET: "0"},
    "discardUpload": {},
}


def _begun() -> OpenAPIResponse:
    """Describe the upload; with `Upload-Complete`, it may have all of its bytes, and is a blob then."""
    begun = response("Begun.", either_of("UploadDescription", _UPLOAD, "StoredBody"), optional=["ETag", *STATE])
    begun.headers = (begun.headers or {}) | {"Location": components.always(LOCATION_OF_BOTH)}
    begun.links = {
        name: Link(operation_id=name, parameters={"upload": "$response.body#/upload", **more})
        for name, more in _LINKS.items()
    }
    return begun


def _put() -> OpenAPIResponse:
    put = response("Stored. A part of the same number is replaced.", json_of("PartDescription", _PART))
    publish = {"operations": [{"put": {"id": ID, "upload": "$request.path.upload"}}]}
    put.links = {"commit": Link(operation_id="commit", request_body=publish)}
    return put


_STORED = {"message": "Blob stored successfully", "id": ID, "size": 12, "created_at": CREATED_AT, "sha256": SHA_256}
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
            json_of("StoredBody", _STORED),
            required=["Location", "ETag", *STATE[:2]],
        ),
        "201": _begun(),
    }
    | problems(
        *("inconsistent_length", "digest_mismatch", "precondition_failed", "already_exists"),
        *("lease_lost", "invalid_parts", "integrity"),
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


LIST = operation(
    takes=page("upload-cursor"),
    responses={"200": response("A page.", json_of("UploadList", {"uploads": [_UPLOAD], "next_cursor": None}))}
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
        _KEY_PARAMETER,
        parameter(
            "query",
            "after",
            "Show the parts after this number, 1,000 at most.",
            Schema(type=OpenAPIType.INTEGER, minimum=0, maximum=MAX_APPENDED, default=0),
        ),
    ],
    responses={"200": response("The upload.", json_of("UploadParts", {**_UPLOAD, "parts": [_PART]}))}
    | problems(*_OF_UPLOAD, *EVERYWHERE, path=PATH),
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
    takes=[_KEY_PARAMETER],
    responses={"204": response("How far it is.", required=["Cache-Control", *STATE], optional=["Upload-Length"])}
    | problems(
        *(*_OF_UPLOAD, "precondition_failed", "already_exists", "digest_mismatch", "integrity", *CHANGING),
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


PUT_PART = operation(
    takes=[_KEY_PARAMETER, _NUMBER_PARAMETER, *DIGESTS],
    body=RequestBody({"*/*": BYTES}, "The bytes of the part. An empty part is allowed."),
    responses={"200": _put()}
    | problems(
        *(
            *_OF_UPLOAD,
            "invalid_parts",
            "invalid_header",
            "digest_mismatch",
            "size_mismatch",
            "lease_lost",
            "integrity",
        ),
        *BODY,
        *CHANGING,
        path=f"{PATH}/1",
    ),
)


@put(
    "/uploads/{upload:str}/{n:str}",
    operation_id="putPart",
    summary="Send a part of an upload",
    operation_class=PUT_PART,
)
async def put_part(request: HttpRequest, uploads: Uploads, pace: ClientPace) -> Response[PartDescription]:
    """Store the bytes of the body as a part. The response comes once they are durable."""
    key, number = upload_key(request.path_params["upload"]), request.path_params["n"]
    if not is_digits(number) or len(number) > 9:
        raise HttpProblem("invalid_parts", f"Parts have numbers from 1 to {MAX_PARTS:,}.")
    part = await uploads.write(request.auth, key, int(number), _new_part(request, pace))
    return Response(part_description(part), status_code=HTTPStatus.OK)


_OFFSET_PARAMETER = parameter(
    "header",
    UPLOAD_OFFSET,
    "The number of bytes before these: `received` of the upload.",
    text(pattern="^[0-9]{1,19}$"),
    "0",
)
_OFFSET_PARAMETER.required = True
APPEND = operation(
    takes=[_KEY_PARAMETER, _OFFSET_PARAMETER, *DIGESTS, *RESUMABLE],
    body=RequestBody({"*/*": BYTES}, "The bytes of the next part. `application/partial-upload`: see below."),
    responses={
        "200": response(
            "Stored. With `application/partial-upload`: the blob is stored, in the place of another version.",
            either_of("UploadDescription", _UPLOAD, "StoredBody"),
            optional=["Location", "ETag", *STATE],
        ),
        "201": response(
            "With `application/partial-upload`: the blob is stored. A holder of a share link gets an empty body.",
            json_of("StoredBody", _STORED),
            required=STATE[:2],
            optional=["Location", "ETag"],
        ),
        "204": response(
            "With `application/partial-upload`: the bytes are stored, or the upload had ended before.",
            required=STATE[:2],
            optional=["Upload-Limit", "Location", "ETag"],
        ),
    }
    | problems(
        *("inconsistent_length", "precondition_failed", "already_exists"),
        *(
            *_OF_UPLOAD,
            "invalid_parts",
            "invalid_header",
            "digest_mismatch",
            "size_mismatch",
            "lease_lost",
            "integrity",
        ),
        *("offset_mismatch", *BODY, *CHANGING),
        path=PATH,
    ),
)


@patch(
    "/uploads/{upload:str}",
    operation_id="appendToUpload",
    summary="Append to an upload",
    operation_class=APPEND,
)
async def append_to_upload(
    request: HttpRequest, uploads: Uploads, resumable: Resuming, pace: ClientPace
) -> Response[Any]:
    """Store the bytes of the body as the next part, if they start where the parts end: at `Upload-Offset`.

    With the Content-Type `application/partial-upload`, this resumes an upload that was begun with `Upload-Complete`:
    what arrives is kept, also if the connection breaks, and `Upload-Complete: ?1` publishes the blob.
    """
    key = upload_key(request.path_params["upload"])
    if is_partial(fields(request.scope)):
        return (await resumable.append(request, key)).response()
    offset = fields(request.scope).get(UPLOAD_OFFSET.lower(), "")
    if not is_digits(offset) or len(offset) > 19:
        raise HttpProblem("invalid_header", f"Send {UPLOAD_OFFSET}, the number of bytes that the upload has.")
    upload = await uploads.append(request.auth, key, int(offset), _new_part(request, pace))
    return Response(described(upload, uploads.max_bytes), status_code=HTTPStatus.OK)


def _new_part(request: HttpRequest, pace: Pace) -> NewPart:
    headers = fields(request.scope)
    check_framing(request.scope, headers)
    return NewPart(Meter(pace).chunks(request.receive), content_length(headers), raw_form.declared_digest(headers))


DISCARD = operation(
    takes=[_KEY_PARAMETER],
    responses={"204": response("Discarded.")} | problems(*_OF_UPLOAD, *CHANGING, path=PATH),
)


@delete("/uploads/{upload:str}", operation_id="discardUpload", summary="Discard an upload", operation_class=DISCARD)
async def discard_upload(request: HttpRequest, resumable: Resuming) -> None:
    """Discard an upload and all of its parts. One that has finished is forgotten, and its blob stays."""
    await resumable.uploads.discard(request.auth, upload_key(request.path_params["upload"]))
