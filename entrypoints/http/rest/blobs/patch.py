"""Change the properties of a blob, and leave its bytes as they are."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from litestar import Response, patch
from litestar.di import NamedDependency
from msgspec import UNSET, UnsetType

from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.operations import Patch
from application.contents.expiry import NEVER, Expiry
from domain.blob import BlobId
from domain.precondition import Precondition
from domain.properties import DEFAULT_CONTENT_TYPE
from entrypoints.http.openapi.bodies import JSON, json_request
from entrypoints.http.openapi.components import (
    BLOB_ID,
    ETAG,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    SHA_256,
    json_of,
    response,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.fields.headers import fields
from entrypoints.http.protocol.fields.media_types import media_type
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.blob_paths import ID_PATH, blob_id
from entrypoints.http.rest import descriptions, raw_form
from entrypoints.http.rest.described import BODY, CHANGING, KNOWN, HttpRequest
from entrypoints.http.rest.descriptions import BlobDescription
from entrypoints.http.rest.json_bodies import MERGE_PATCH, json_body
from entrypoints.http.rest.members import (
    OF_METADATA,
    CacheControl,
    Codings,
    Disposition,
    FutureTime,
    Languages,
    MediaType,
    MetadataName,
    MetadataValue,
    Seconds,
)


class PropertiesPatch(msgspec.Struct, forbid_unknown_fields=True):
    """A merge patch (RFC 7396) of the properties of a blob: null removes one, and absent members stay as they are."""

    SCHEMA: ClassVar = {"not": {"required": ["expires_in", "expires_at"]}}

    metadata: Annotated[dict[MetadataName, MetadataValue | None], OF_METADATA] | UnsetType | None = UNSET
    content_type: MediaType | UnsetType | None = UNSET
    content_encoding: Codings | UnsetType | None = UNSET
    content_language: Languages | UnsetType | None = UNSET
    content_disposition: Disposition | UnsetType | None = UNSET
    cache_control: CacheControl | UnsetType | None = UNSET
    expires_at: FutureTime | UnsetType | None = UNSET
    expires_in: Seconds | UnsetType = UNSET

    def operation(self, patched: BlobId, precondition: Precondition) -> Patch:
        """Return the operation that patches a blob. Raises HttpProblem 400, INVALID_METADATA and INVALID_EXPIRY."""
        return Patch(
            patched,
            self._properties(),
            metadata=self.metadata or {},
            clear_metadata=self.metadata is None,
            expiry=self._expiry(),
            precondition=precondition,
        )

    def _properties(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for name, convert in _CONVERSIONS.items():
            value = getattr(self, name)
            if value is not UNSET:
                found[name] = convert(value) if value else _UNSET_VALUES.get(name, "")
        return found

    def _expiry(self) -> Expiry | None:
        if self.expires_in is not UNSET:
            if self.expires_at is not UNSET:
                raise HttpProblem("invalid_expiry", "expires_in and expires_at exclude each other. Send one of them.")
            return descriptions.after(self.expires_in)
        if self.expires_at is UNSET:
            return None
        return NEVER if self.expires_at is None else descriptions.at(self.expires_at)


_CONVERSIONS: Mapping[str, Any] = {
    "content_type": media_type,
    "content_encoding": raw_form.content_encoding,
    "content_language": descriptions.language,
    "content_disposition": descriptions.disposition,
    "cache_control": lambda value: descriptions.visible("cache_control", value),
}
_UNSET_VALUES = {"content_type": DEFAULT_CONTENT_TYPE}
_PATCHED = {
    **KNOWN,
    "content_type": "text/plain",
    "etag": ETAG,
    "backend": "fs",
    "sha256": SHA_256,
    "metadata": {"author": "Ada"},
}
PATCH = operation(
    takes=[BLOB_ID, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE],
    body=json_request(
        PropertiesPatch,
        example={"metadata": {"author": "Ada", "draft": None}, "content_type": "text/plain"},
        media_types=[MERGE_PATCH, JSON],
    ),
    responses={"200": response("Changed.", json_of("BlobDescription", _PATCHED), required=["ETag"])}
    | problems(
        *(
            "invalid_id",
            "invalid_parameter",
            "invalid_header",
            "invalid_json",
            "invalid_body",
            "unsupported_media_type",
        ),
        *("invalid_metadata", "invalid_expiry", "not_found", "precondition_failed"),
        *BODY,
        *CHANGING,
    ),
)


@patch(ID_PATH, operation_id="patchBlob", summary="Change properties of a blob", operation_class=PATCH)
async def patch_blob(
    request: HttpRequest, commit: NamedDependency[CommitOperations], pace: NamedDependency[Pace]
) -> Response[BlobDescription]:
    """Change content type, metadata, expiry and other properties of a blob. Its bytes stay, and its ETag changes."""
    patched = blob_id(request.scope["raw_path"])
    precondition = conditional.precondition(fields(request.scope))
    body = await json_body(request, pace, PropertiesPatch, accepted=MERGE_PATCH)
    changed = await commit.one(request.auth, body.operation(patched, precondition))
    assert changed.blob is not None
    return Response(descriptions.description(changed.blob), headers={"ETag": conditional.etag(changed.blob)})
