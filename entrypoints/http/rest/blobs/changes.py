"""Changes of blobs without their bytes: copy, move, delete by prefix, and commits of several operations."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Reference, Schema
from msgspec import UNSET, UnsetType

from application.blobs.changes.commit import MAX_OPERATIONS, CommitOperations
from application.blobs.changes.operations import Changed, Copy, Delete, Move, Operation, Put
from application.blobs.changes.prefixes import DeletePrefix, MovePrefix
from domain.blob import BlobId
from domain.errors import BlobError
from domain.text import CONTROL_CHARACTER
from entrypoints.http.openapi.bodies import JSON, PLACE, json_request
from entrypoints.http.openapi.components import ETAG, ID, SHA_256, json_of, response
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.upload_urls import upload_key
from entrypoints.http.rest.blobs.patch import PropertiesPatch
from entrypoints.http.rest.described import CHANGING, KNOWN, MALFORMED, HttpRequest
from entrypoints.http.rest.descriptions import BlobDescription, description
from entrypoints.http.rest.json_bodies import decoded, json_body, json_text, members, precondition
from entrypoints.http.rest.json_structure import JsonStructure
from entrypoints.http.rest.members import EntityTags, Id, PartNumbers, Prefix, SomeOperations, UploadKey

Commit = NamedDependency[CommitOperations]
ClientPace = NamedDependency[Pace]

MAX_COMMIT = 32 * 1024 * 1024  # bytes
MAX_OBJECTS = 1 + 3 * MAX_OPERATIONS  # an operation, its value, and metadata
MAX_MEMBERS = 200_000  # of the whole commit, with the numbers of parts


class Transfer(msgspec.Struct, forbid_unknown_fields=True, rename={"source": "from", "target": "to"}):
    """A copy or a move of one blob. `if_match`: entity tags of the source. `replace`: `to` may be in use."""

    source: Id
    target: Id
    replace: bool = False
    if_match: EntityTags | None = None

    def copy(self) -> Copy:
        return Copy(BlobId(self.source), BlobId(self.target), self.replace, precondition(self.if_match))

    def move(self) -> Move:
        return Move(BlobId(self.source), BlobId(self.target), self.replace, precondition(self.if_match))


def _chosen(prefix: str) -> dict[str, Any]:
    """Return the schema of a body whose prefix is empty only if that is meant."""
    chosen = {"properties": {prefix: {"minLength": 1}}}
    return {"anyOf": [chosen, {"required": ["all"], "properties": {"all": {"const": True}}}]}


class MovePrefixBody(msgspec.Struct, forbid_unknown_fields=True):
    """A move of all blobs with a prefix. `all`: an empty prefix is meant. `dry_run`: only count."""

    SCHEMA: ClassVar = _chosen("from_prefix")

    from_prefix: Prefix
    to_prefix: Prefix
    all: bool = False
    dry_run: bool = False


class PrefixBody(msgspec.Struct, forbid_unknown_fields=True):
    """A delete of all blobs with a prefix. `all`: an empty prefix is meant. `dry_run`: only count."""

    SCHEMA: ClassVar = _chosen("prefix")

    prefix: Prefix
    all: bool = False
    dry_run: bool = False


class CountBody(msgspec.Struct):
    """The number of blobs that were deleted or moved, or would be."""

    count: int


class PutOperation(msgspec.Struct, forbid_unknown_fields=True):
    """Publish a finished upload. `parts`: the numbers of its parts to take, in ascending order; all without it."""

    id: Id
    upload: UploadKey
    parts: PartNumbers | None = None
    if_match: EntityTags | None = None
    if_none_match: EntityTags | None = None

    def operation(self) -> Put:
        condition = precondition(self.if_match, self.if_none_match)
        return Put(BlobId(self.id), upload_key(self.upload), self.parts, condition)


class DeleteOperation(msgspec.Struct, forbid_unknown_fields=True):
    """Delete a blob."""

    id: Id
    if_match: EntityTags | None = None

    def operation(self) -> Delete:
        return Delete(BlobId(self.id), precondition(self.if_match))


class PatchOperation(PropertiesPatch, forbid_unknown_fields=True, kw_only=True):
    """Change properties of the blob `id`. A null removes one, and absent members stay as they are."""

    id: Id
    if_match: EntityTags | None = None


class OneOperation(msgspec.Struct, forbid_unknown_fields=True):
    """An operation of a commit: one member, named after it."""

    SCHEMA: ClassVar = {"minProperties": 1, "maxProperties": 1}

    put: PutOperation | UnsetType = UNSET
    delete: DeleteOperation | UnsetType = UNSET
    copy: Transfer | UnsetType = UNSET
    move: Transfer | UnsetType = UNSET
    patch: PatchOperation | UnsetType = UNSET

    def operation(self) -> Operation:
        """Return the operation. Raises HttpProblem 400 and errors of its values."""
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not UNSET]
        if len(given) != 1:
            raise HttpProblem("invalid_body", "An operation has one member: put, delete, copy, move or patch.")
        if self.copy:
            return self.copy.copy()
        if self.move:
            return self.move.move()
        if self.patch:
            return self.patch.operation(BlobId(self.patch.id), precondition(self.patch.if_match))
        chosen = self.put or self.delete
        assert chosen
        return chosen.operation()


class CommitBody(msgspec.Struct, forbid_unknown_fields=True):
    """The operations of a commit, up to 1,000."""

    operations: Annotated[list[OneOperation], SomeOperations]


class Result(msgspec.Struct, omit_defaults=True):
    """The outcome of an operation: the status that it would have on its own, and the blob that is current now."""

    status: int
    blob: BlobDescription | None = None


class CommitResults(msgspec.Struct):
    """The outcomes of the operations of a commit, in their order."""

    results: list[Result]


def commit_structure() -> JsonStructure:
    """Return the bounds on what a commit may hold."""
    detail = (
        f"A commit has up to {MAX_OPERATIONS:,} operations, with up to {MAX_MEMBERS:,} members and numbers of parts in "
        "all. Make several commits."
    )
    return JsonStructure(MAX_OBJECTS, MAX_MEMBERS, detail)


def _operations(body: CommitBody) -> Sequence[Operation]:
    operations = []
    for index, each in enumerate(body.operations):
        try:
            operations.append(each.operation())
        except HttpProblem as problem:
            problem.operation = index
            raise
        except BlobError as error:
            error.index = index
            raise
    return operations


def changed_response(changed: Changed) -> Response[BlobDescription]:
    """Respond with the blob that is current after a change."""
    assert changed.blob is not None
    headers = {
        "Location": f"/v1/blobs/{quote(changed.blob.id.value, safe='')}",
        "ETag": conditional.etag(changed.blob),
    }
    status = HTTPStatus.OK if changed.replaced else HTTPStatus.CREATED
    return Response(description(changed.blob), status_code=status, headers=headers)


def _result(changed: Changed) -> Result:
    if changed.blob is None:
        return Result(HTTPStatus.NO_CONTENT)
    return Result(HTTPStatus.OK if changed.replaced else HTTPStatus.CREATED, description(changed.blob))


DESCRIBED = {**KNOWN, "content_type": "text/plain", "etag": ETAG, "backend": "fs", "sha256": SHA_256}
_REFUSED = ["invalid_id", "invalid_header", "not_found", "already_exists", "precondition_failed", *MALFORMED, *CHANGING]
_COUNT = {"200": response("Done, or counted.", json_of("CountBody", {"count": 3}))}


def described(text: str) -> dict[str, OpenAPIResponse]:
    """Return the description of the responses with a blob."""
    body = json_of("BlobDescription", DESCRIBED)
    return {
        "200": response(f"{text}, in the place of another version.", body, required=["Location", "ETag"]),
        "201": response(f"{text}.", body, required=["Location", "ETag"]),
    }


COPY = operation(
    body=json_request(Transfer, example={"from": ID, "to": "copies/my-blob", "replace": False}),
    responses=described("Copied") | problems("same_id", *_REFUSED, path="/v1/copy"),
)


@post("/copy", operation_id="copyBlob", summary="Copy a blob", operation_class=COPY)
async def copy_blob(request: HttpRequest, commit: Commit, pace: ClientPace) -> Response[BlobDescription]:
    """Copy a blob of any size at once: both share the bytes. The copy has the same properties and the same expiry."""
    body = await json_body(request, pace, Transfer)
    changed = await commit.one(request.auth, body.copy())
    return changed_response(changed)


def _moved() -> dict[str, OpenAPIResponse]:
    """Return the description of the responses with a blob, or with a number of blobs."""
    moved = described("Moved")
    forms = [Reference(PLACE.format(name=name)) for name in ("CountBody", "BlobDescription")]
    both = {JSON: OpenAPIMediaType(Schema(one_of=forms), example={"count": 3})}
    text = "Moved, in the place of another version. Of a prefix: moved, or counted."
    return moved | {"200": response(text, both, optional=["Location", "ETag"])}


MOVE = operation(
    body=json_request(Transfer, MovePrefixBody, example={"from": ID, "to": "moved/my-blob", "replace": False}),
    responses=_moved() | problems("same_id", "invalid_prefix", *_REFUSED, path="/v1/move"),
)


@post("/move", operation_id="moveBlob", summary="Move a blob, or all blobs with a prefix", operation_class=MOVE)
async def move_blob(
    request: HttpRequest, commit: Commit, move_prefix: NamedDependency[MovePrefix], pace: ClientPace
) -> Response[BlobDescription] | Response[CountBody]:
    """Give a blob another id, or replace `from_prefix` by `to_prefix` in up to 100,000 ids in one transaction."""
    text = await json_text(request, pace)
    if {"from_prefix", "to_prefix"}.isdisjoint(members(text)):
        return changed_response(await commit.one(request.auth, decoded(text, Transfer).move()))
    body = decoded(text, MovePrefixBody)
    source, target = _prefix(body.from_prefix), _prefix(body.to_prefix)
    count = await move_prefix(request.auth, source, target, all_blobs=body.all, dry_run=body.dry_run)
    return Response(CountBody(count), status_code=HTTPStatus.OK)


DELETE_PREFIX = operation(
    body=json_request(PrefixBody, example={"prefix": "old/", "dry_run": True}),
    responses=_COUNT | problems("invalid_prefix", *MALFORMED, *CHANGING, path="/v1/delete"),
)


@post("/delete", operation_id="deletePrefix", summary="Delete all blobs with a prefix", operation_class=DELETE_PREFIX)
async def delete_prefix(
    request: HttpRequest, delete_all: NamedDependency[DeletePrefix], pace: ClientPace
) -> Response[CountBody]:
    """Delete up to 100,000 blobs in one transaction, or count them. They stay in the trash for a while."""
    body = await json_body(request, pace, PrefixBody)
    count = await delete_all(request.auth, _prefix(body.prefix), all_blobs=body.all, dry_run=body.dry_run)
    return Response(CountBody(count), status_code=HTTPStatus.OK)


COMMIT = operation(
    body=json_request(
        CommitBody,
        example={
            "operations": [
                {"copy": {"from": ID, "to": "latest", "replace": True}},
                {"delete": {"id": "drafts/my-blob", "if_match": ETAG}},
            ]
        },
    ),
    responses={
        "200": response(
            "All operations are done.",
            json_of("CommitResults", {"results": [{"status": 201, "blob": DESCRIBED}, {"status": 204}]}),
        )
    }
    | problems(
        *("invalid_commit", "same_id", "invalid_metadata", "invalid_expiry"),
        *("upload_not_found", "invalid_parts", "part_in_progress"),
        *_REFUSED,
        path="/v1/commits",
    ),
)


@post("/commits", operation_id="commit", summary="Commit several operations at once", operation_class=COMMIT)
async def commit_operations(request: HttpRequest, commit: Commit, pace: ClientPace) -> Response[CommitResults]:
    """Put, delete, copy, move and patch up to 1,000 blobs: all or nothing, and visible at once.

    The body may have up to 32 MiB, with up to 200,000 members and numbers of parts in all.

    Each blob is changed by one operation at most, and none reads a blob that another one changes. An error has the
    number of its operation as `operation`, from 0.
    """
    body = await json_body(request, pace, CommitBody, limit=MAX_COMMIT, structure=commit_structure())
    operations = _operations(body)
    changed = await commit(request.auth, operations)
    results = [_result(each) for each in changed]
    return Response(CommitResults(results), status_code=HTTPStatus.OK)


def _prefix(text: str) -> str:
    """Return a prefix of ids. Raises HttpProblem 400 if no id can begin with it."""
    if CONTROL_CHARACTER.search(text):
        raise HttpProblem("invalid_prefix", "The prefix has a control character; no id has one.")
    return text
