"""Delete a blob."""

from litestar import delete
from litestar.di import NamedDependency

from application.blobs.changes.delete import DeleteBlob
from entrypoints.http.openapi.components import BLOB_ID, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, response
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.fields.headers import fields
from entrypoints.http.protocol.urls.blob_paths import ID_PATH, blob_id
from entrypoints.http.rest.described import CHANGING, HttpRequest

DELETE = operation(
    takes=[BLOB_ID, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE],
    responses={"204": response("Deleted.")}
    | problems("invalid_id", "invalid_parameter", "invalid_header", "not_found", "precondition_failed", *CHANGING),
)


@delete(ID_PATH, operation_id="deleteBlob", summary="Delete a blob", operation_class=DELETE)
async def delete_blob(request: HttpRequest, delete: NamedDependency[DeleteBlob]) -> None:
    """Delete a blob."""
    precondition = conditional.precondition(fields(request.scope))
    await delete(request.auth, blob_id(request.scope["raw_path"]), precondition)
