"""The REST operations as the OpenAPI document describes them."""

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

from entrypoints.http.openapi.components import (
    ALT,
    BASE64,
    BLOB_ID,
    CONDITIONS,
    CONTENT_ENCODING,
    DATA,
    DIGESTS,
    ETAG,
    ID,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    PAGE,
    RANGE,
    RAW_ONLY,
    SHA_256,
    answer,
    id_schema,
    json_of,
    text,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.problems import Problem
from entrypoints.http.rest.json_form.response import BlobBody

# No route's return type names them, and without them the framework would not describe them.
SCHEMAS = {200: ResponseSpec(BlobBody, False), 400: ResponseSpec(Problem, False)}


_BYTES = OpenAPIMediaType(Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY), example="Hello World!")
_CREATED_AT = "2023-10-27T10:00:00Z"
_KNOWN = {"id": ID, "size": 12, "created_at": _CREATED_AT}
_STORED = json_of("StoredBody", {"message": "Blob stored successfully", **_KNOWN, "sha256": SHA_256})
_BLOB = json_of("BlobBody", {"id": ID, "data": DATA, "size": 12, "created_at": _CREATED_AT})
_LISTED = {**_KNOWN, "content_type": "application/octet-stream", "sha256": SHA_256, "etag": ETAG, "backend": "fs"}
_LIST = json_of("ListBody", {"blobs": [_LISTED], "prefixes": ["my-films/"], "next_cursor": "bXktZmlsbXMw"})
_OF_BLOBS = ["ETag", "Vary", "Content-Length"]

_EVERYWHERE = ["unauthorized", "internal_error", "unavailable", "timeout", "overloaded"]
_CHANGING = ["no_space", "commit_unknown", "rolled_back", *_EVERYWHERE]
_BODY = ["client_gone", "length_required", "not_implemented", "request_timeout", "too_large"]
_STORING = ["invalid_id", "invalid_parameter", "lease_lost", "integrity", *_BODY, *_CHANGING]
_READING = ["invalid_id", "invalid_parameter", "invalid_header", "not_found", "precondition_failed", *_EVERYWHERE]


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
    stored = answer(description, _STORED, required=["Location", "ETag"])
    stored.links = {
        operation: Link(operation_id=operation, parameters={"id": "$response.body#/id"})
        for operation in ("fetchBlob", "describeBlob", "putBlob", "deleteBlob")
    }
    return stored


STORE = operation(
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
    answers={"201": _stored("Stored.")}
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
PUT = operation(
    takes=[BLOB_ID, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, *DIGESTS, CONTENT_ENCODING],
    body=RequestBody({"*/*": _BYTES}, "The bytes, or nothing for the empty blob. Their Content-Type is kept."),
    answers={"200": _stored("Stored, in the place of another version."), "201": _stored("Stored.")}
    | problems(
        *("invalid_header", "digest_mismatch", "size_mismatch", "precondition_failed", "unsupported_media_type"),
        *_STORING,
    ),
)
_UNCHANGED = {
    "304": answer("The client has this version already.", required=["ETag", "Vary"], optional=["Last-Modified"])
}
FETCH = operation(
    takes=[BLOB_ID, ALT, *CONDITIONS, *RANGE],
    answers={
        "200": answer(
            "The blob: as JSON, or its bytes with the Content-Type that they were stored with.",
            _BLOB | {"*/*": _BYTES},
            required=_OF_BLOBS,
            optional=[*RAW_ONLY, "Content-Encoding"],
        ),
        "206": answer(
            "The range.",
            {"*/*": _BYTES},
            required=["Content-Range", *_OF_BLOBS, *RAW_ONLY],
            optional=["Content-Encoding"],
        ),
        **_UNCHANGED,
    }
    | problems("range_not_satisfiable", "integrity", *_READING),
)
HEAD = operation(
    takes=[BLOB_ID, ALT, *CONDITIONS],
    answers={
        "200": answer("There is such a blob.", required=_OF_BLOBS, optional=[*RAW_ONLY, "Content-Encoding"]),
        **_UNCHANGED,
    }
    | problems(*_READING, body=False),
)
DELETE = operation(
    takes=[BLOB_ID, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE],
    answers={"204": answer("Deleted.")}
    | problems("invalid_id", "invalid_parameter", "invalid_header", "not_found", "precondition_failed", *_CHANGING),
)
LIST = operation(
    takes=PAGE,
    answers={"200": answer("A page.", _LIST)} | problems("invalid_parameter", *_EVERYWHERE, path="/v1/blobs"),
)
