"""Uploads of several parts: begin, send parts in any order, and publish them by a commit."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, ClassVar

import msgspec
from litestar import Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Link, OpenAPIResponse, OpenAPIType, RequestBody, Schema

from application.blobs.uploads import MAX_PARTS, MultipartUploads, NewPart, NewUpload
from application.ports.contents import MultipartUpload, Part
from domain.blob import ObjectKey
from domain.properties import Properties
from entrypoints.http.openapi import components
from entrypoints.http.openapi.bodies import json_request
from entrypoints.http.openapi.components import DIGESTS, ID, SHA_256, header, json_of, page, parameter, response, text
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.header_values import is_digits
from entrypoints.http.protocol.headers import check_framing, content_length, fields
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest import descriptions, pages, raw_form
from entrypoints.http.rest.changes import MALFORMED, upload_key
from entrypoints.http.rest.described import BODY, BYTES, CHANGING, CREATED_AT, EVERYWHERE, HttpRequest
from entrypoints.http.rest.json_bodies import json_body, optional_id
from entrypoints.http.rest.json_form.response import Sha256, Size
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
            raw_form.content_type(self.content_type),
            raw_form.content_encoding(self.content_encoding),
            descriptions.language(self.content_language),
            descriptions.disposition(self.content_disposition) if self.content_disposition else "",
            descriptions.visible("cache_control", self.cache_control),
            self.metadata,
        )
        expiry = descriptions.expiry_from(self.expires_in, self.expires_at)
        return NewUpload(optional_id(self.id), properties, expiry, self.size)


class PartDescription(msgspec.Struct):
    """A part that is durable: its number, its size in bytes, and its SHA-256."""

    n: int
    size: Size
    sha256: Sha256


class UploadDescription(msgspec.Struct, omit_defaults=True):
    """An upload in progress. `received` counts the bytes of its parts. Without any request it ends at `expires_at`."""

    upload: str
    received: Size
    created_at: datetime
    expires_at: datetime
    max_part_bytes: Size
    max_parts: int
    content_type: str
    id: str | None = None
    size: Size | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class UploadParts(UploadDescription):
    """An upload with its parts, in the order of their numbers. More follow after `next_after`, if that is there."""

    parts: list[PartDescription] = msgspec.field(default_factory=list)
    next_after: int | None = None


class UploadList(msgspec.Struct):
    """A page of uploads. `next_cursor` is null on the last one."""

    uploads: list[UploadDescription]
    next_cursor: str | None


def _described(upload: MultipartUpload, max_bytes: int) -> UploadDescription:
    return UploadDescription(
        upload=upload.key.value,
        received=upload.received,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        max_part_bytes=max_bytes,
        max_parts=MAX_PARTS,
        content_type=upload.properties.content_type,
        id=upload.id.value if upload.id else None,
        size=upload.size,
        metadata=dict(upload.properties.metadata),
    )


def _part(part: Part) -> PartDescription:
    return PartDescription(part.number, part.size, part.digest.hex)


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
    begun = response("Begun.", json_of("UploadDescription", _UPLOAD))
    location = header("Where the upload is.", pattern="^/v1/uploads/[0-9a-f]{32}$", examples=[PATH])
    begun.headers = (begun.headers or {}) | {"Location": components.always(location)}
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


BEGIN = operation(
    body=json_request(UploadBody, example={"id": ID, "content_type": "text/plain", "metadata": {"author": "Ada"}}),
    responses={"201": _begun()}
    | problems(
        *("invalid_id", "invalid_header", "invalid_metadata", "invalid_expiry"),
        *MALFORMED,
        *CHANGING,
        path="/v1/uploads",
    ),
)


@post("/uploads", operation_id="beginUpload", summary="Begin an upload of several parts", operation_class=BEGIN)
async def begin_upload(request: HttpRequest, uploads: Uploads, pace: ClientPace) -> Response[UploadDescription]:
    """Begin an upload. Send its parts by PUT, in any order and concurrently, and publish it by a commit with `put`."""
    body = await json_body(request, pace, UploadBody)
    upload = await uploads.begin(request.auth, body.new_upload())
    headers = {"Location": f"/v1/uploads/{upload.key}"}
    return Response(_described(upload, uploads.max_bytes), status_code=HTTPStatus.CREATED, headers=headers)


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
    return Response(UploadList([_described(each, uploads.max_bytes) for each in page], cursor))


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
            Schema(type=OpenAPIType.INTEGER, minimum=0, maximum=MAX_PARTS, default=0),
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
    if not is_digits(after) or len(after) > 5 or int(after) > MAX_PARTS:
        raise HttpProblem("invalid_parameter", "after takes the number of a part.")
    upload = await uploads.find(request.auth, key)
    parts = await uploads.parts(request.auth, key, int(after), pages.MAX_LIMIT + 1)
    shown = parts[: pages.MAX_LIMIT]
    described = msgspec.structs.asdict(_described(upload, uploads.max_bytes))
    following = shown[-1].number if len(parts) > len(shown) else None
    return Response(UploadParts(**described, parts=[_part(part) for part in shown], next_after=following))


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
    return Response(_part(part), status_code=HTTPStatus.OK)


_OFFSET_PARAMETER = parameter(
    "header",
    UPLOAD_OFFSET,
    "The number of bytes before these: `received` of the upload.",
    text(pattern="^[0-9]{1,19}$"),
    "0",
)
_OFFSET_PARAMETER.required = True
APPEND = operation(
    takes=[
        _KEY_PARAMETER,
        _OFFSET_PARAMETER,
        *DIGESTS,
    ],
    body=RequestBody({"*/*": BYTES}, "The bytes of the next part."),
    responses={"200": response("Stored.", json_of("UploadDescription", _UPLOAD))}
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
async def append_to_upload(request: HttpRequest, uploads: Uploads, pace: ClientPace) -> Response[UploadDescription]:
    """Store the bytes of the body as the next part, if they start where the parts end: at `Upload-Offset`."""
    key = upload_key(request.path_params["upload"])
    offset = fields(request.scope).get(UPLOAD_OFFSET.lower(), "")
    if not is_digits(offset) or len(offset) > 19:
        raise HttpProblem("invalid_header", f"Send {UPLOAD_OFFSET}, the number of bytes that the upload has.")
    upload = await uploads.append(request.auth, key, int(offset), _new_part(request, pace))
    return Response(_described(upload, uploads.max_bytes), status_code=HTTPStatus.OK)


def _new_part(request: HttpRequest, pace: Pace) -> NewPart:
    headers = fields(request.scope)
    check_framing(request.scope, headers)
    return NewPart(Meter(pace).chunks(request.receive), content_length(headers), raw_form.declared_digest(headers))


DISCARD = operation(
    takes=[_KEY_PARAMETER],
    responses={"204": response("Discarded.")} | problems(*_OF_UPLOAD, *CHANGING, path=PATH),
)


@delete("/uploads/{upload:str}", operation_id="discardUpload", summary="Discard an upload", operation_class=DISCARD)
async def discard_upload(request: HttpRequest, uploads: Uploads) -> None:
    """Discard an upload and all of its parts."""
    await uploads.discard(request.auth, upload_key(request.path_params["upload"]))
