"""Parts of an upload: sent in any order by their numbers, or appended. A commit publishes them."""

from http import HTTPStatus
from typing import Any

from litestar import Response, patch, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Link, OpenAPIResponse, OpenAPIType, RequestBody, Schema

from application.blobs.multipart.parts import MAX_PARTS
from application.blobs.multipart.uploads import MultipartUploads, NewPart
from entrypoints.http.openapi.components import (
    DIGESTS,
    ID,
    RESUMABLE,
    STATE,
    either_of,
    json_of,
    parameter,
    response,
    text,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.fields.header_values import is_digits
from entrypoints.http.protocol.fields.headers import check_framing, content_length, fields
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.upload_urls import upload_key
from entrypoints.http.rest import raw_form
from entrypoints.http.rest.described import BODY, BYTES, CHANGING, HttpRequest
from entrypoints.http.rest.uploads.descriptions import PartDescription, described, part_description
from entrypoints.http.rest.uploads.openapi import KEY_PARAMETER, OF_UPLOAD, PART, PATH, STORED, UPLOAD, UPLOAD_OFFSET
from entrypoints.http.rest.uploads.resumable import Resumption, is_partial

Resuming = NamedDependency[Resumption]
Uploads = NamedDependency[MultipartUploads]
ClientPace = NamedDependency[Pace]
_NUMBER_PARAMETER = parameter(
    "path",
    "n",
    "The number of the part. Parts are joined in the order of their numbers.",
    Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_PARTS),
    1,
)


def _put() -> OpenAPIResponse:
    put = response("Stored. A part of the same number is replaced.", json_of("PartDescription", PART))
    publish = {"operations": [{"put": {"id": ID, "upload": "$request.path.upload"}}]}
    put.links = {"commit": Link(operation_id="commit", request_body=publish)}
    return put


PUT_PART = operation(
    takes=[KEY_PARAMETER, _NUMBER_PARAMETER, *DIGESTS],
    body=RequestBody({"*/*": BYTES}, "The bytes of the part. An empty part is allowed."),
    responses={"200": _put()}
    | problems(
        *(
            *OF_UPLOAD,
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
    """Store the bytes of the body as a part. The response comes once they are durable.

    An upload that was begun with `Upload-Complete` or by tus takes no parts by number.
    """
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
    takes=[KEY_PARAMETER, _OFFSET_PARAMETER, *DIGESTS, *RESUMABLE],
    body=RequestBody({"*/*": BYTES}, "The bytes of the next part. `application/partial-upload`: see below."),
    responses={
        "200": response(
            "Stored. With `application/partial-upload`: the blob is stored, in the place of another version.",
            either_of("UploadDescription", UPLOAD, "StoredBody"),
            optional=["Location", "ETag", *STATE],
        ),
        "201": response(
            "With `application/partial-upload`: the blob is stored. A holder of a share link gets an empty body.",
            json_of("StoredBody", STORED),
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
        *("inconsistent_length", "precondition_failed", "already_exists", "invalid_expiry"),
        *(
            *OF_UPLOAD,
            "invalid_parts",
            "invalid_header",
            "digest_mismatch",
            "size_mismatch",
            "lease_lost",
            "integrity",
        ),
        *("offset_mismatch", "interrupted", *BODY, *CHANGING),
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
    what arrives is kept, also if the connection breaks, and `Upload-Complete: ?1` publishes the blob. Such an
    upload takes no other PATCH.
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
