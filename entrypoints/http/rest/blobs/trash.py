"""The trash: blobs that were deleted or replaced, and can be restored for a while."""

from datetime import datetime

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency

from application.blobs.changes.trash import Trash
from application.ports.contents import Trashed
from domain.errors import NotInTrash
from entrypoints.http.openapi.bodies import json_request
from entrypoints.http.openapi.components import json_of, page, parameter, response, text
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields.header_values import is_digits
from entrypoints.http.protocol.fields.headers import fields, has_no_body
from entrypoints.http.rest import pages
from entrypoints.http.rest.blobs.changes import DESCRIBED, changed_response, described
from entrypoints.http.rest.described import CHANGING, CREATED_AT, EVERYWHERE, MALFORMED, HttpRequest
from entrypoints.http.rest.descriptions import BlobDescription, description
from entrypoints.http.rest.json_bodies import json_body, optional_id
from entrypoints.http.rest.members import Id

TheTrash = NamedDependency[Trash]
PATH = "/v1/trash/1"


class TrashedBlob(msgspec.Struct):
    """A version in the trash. `key` identifies it there."""

    key: str
    deleted_at: datetime
    restorable_until: datetime
    blob: BlobDescription


class TrashPage(msgspec.Struct):
    """A page of the trash, in the order of the ids. `next_cursor` is null on the last one."""

    versions: list[TrashedBlob]
    next_cursor: str | None


class RestoreBody(msgspec.Struct, forbid_unknown_fields=True):
    """A restoration, under another id if `to` is set. `replace`: the id may be in use."""

    to: Id | None = None
    replace: bool = False


def _trashed(version: Trashed) -> TrashedBlob:
    blob = description(version.blob)
    return TrashedBlob(str(version.key), version.deleted_at, version.retained_until, blob)


_KEY = parameter("path", "key", "The key of the version in the trash.", text(pattern="^[0-9]{1,18}$"), "1")
_VERSION = {"key": "1", "deleted_at": CREATED_AT, "restorable_until": "2023-10-27T10:10:00Z", "blob": DESCRIBED}
_NOT_FOUND = ["not_in_trash", "unknown_route"]
LIST = operation(
    takes=page("trash-cursor"),
    responses={"200": response("A page.", json_of("TrashPage", {"versions": [_VERSION], "next_cursor": None}))}
    | problems("invalid_parameter", *EVERYWHERE, path="/v1/trash"),
)


@get(
    "/trash",
    operation_id="listTrash",
    summary="List the trash",
    operation_class=LIST,
    parameters=pages.PARAMETERS,
)
async def list_trash(request: HttpRequest, trash: TheTrash) -> Response[TrashPage]:
    """List the versions that can be restored, in the order of their ids, and of their deletion for each."""
    query = pages.page_query(request.scope)
    position = pages.position(query.cursor)
    after = None if position is None else (position[0], _cursor_key(position[1]))
    found = await trash.list(request.auth, query.prefix, after, query.limit + 1)
    page = found[: query.limit]
    cursor = pages.cursor(page[-1].blob.id.value, str(page[-1].key)) if len(found) > len(page) else None
    return Response(TrashPage([_trashed(version) for version in page], cursor))


RESTORE = operation(
    takes=[_KEY],
    body=json_request(RestoreBody, example={"to": "restored/my-blob", "replace": False}, required=False),
    responses=described("Restored")
    | problems("invalid_id", *_NOT_FOUND, "already_exists", *MALFORMED, *CHANGING, path=f"{PATH}/restore"),
)


@post(
    "/trash/{key:str}/restore",
    operation_id="restoreBlob",
    summary="Restore a blob",
    operation_class=RESTORE,
)
async def restore_blob(request: HttpRequest, trash: TheTrash, pace: NamedDependency[Pace]) -> Response[BlobDescription]:
    """Make a version current again, with its bytes, its properties and its `created_at`. The body may be empty."""
    key = _key(request.path_params["key"])
    body = RestoreBody()
    if not has_no_body(request.scope, fields(request.scope)):
        body = await json_body(request, pace, RestoreBody)
    changed = await trash.restore(request.auth, key, optional_id(body.to), may_replace=body.replace)
    return changed_response(changed)


PURGE = operation(
    takes=[_KEY],
    responses={"204": response("Removed.")} | problems(*_NOT_FOUND, "invalid_parameter", *CHANGING, path=PATH),
)


@delete("/trash/{key:str}", operation_id="purgeBlob", summary="Remove from the trash", operation_class=PURGE)
async def purge_blob(request: HttpRequest, trash: TheTrash) -> None:
    """Remove a version from the trash for ever."""
    await trash.purge(request.auth, _key(request.path_params["key"]))


def _key(value: str) -> int:
    if not is_digits(value) or len(value) > 18:
        raise NotInTrash
    return int(value)


def _cursor_key(value: str) -> int:
    if not is_digits(value) or len(value) > 18:
        raise pages.bad_cursor()
    return int(value)
