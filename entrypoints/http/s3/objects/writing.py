"""PutObject, CopyObject, DeleteObject, DeleteObjects, and the tags of objects."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import unquote_plus

from litestar.types import ASGIApp

from application.authorize import authorize
from application.blobs.changes.delete import MAX_DELETED
from application.blobs.changes.operations import Copy, Patch
from application.blobs.store import IdentifiedBytes, NewBlob
from domain.access import Action
from domain.blob import Blob, BlobId, Digest
from domain.checksums import Checksums
from domain.errors import BlobError, DigestMismatch, NotFound, PreconditionFailed
from domain.precondition import ANY, Precondition
from domain.properties import Properties
from entrypoints.http.protocol.fields.conditional import NotModified
from entrypoints.http.protocol.fields.header_values import http_date
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.failures import as_s3_error
from entrypoints.http.s3.objects.object_form import check_reading, checksum_headers, etag, last_modified
from entrypoints.http.s3.objects.properties import check_supported, sent_properties, tag_set
from entrypoints.http.s3.objects.reading import checksum_tree
from entrypoints.http.s3.request import (
    MAX_DOCUMENT,
    S3Request,
    check_owner,
    check_version,
    id_of,
    iso_time,
    precondition,
    tags,
)
from entrypoints.http.s3.responses import empty_response, xml_response
from entrypoints.http.s3.xml import Tree

ATTEMPTS = 10


async def put_object(request: S3Request) -> ASGIApp:
    """Store an object."""
    request.check_no_version()
    check_supported(request.headers, acls=request.use_cases.acls)
    blob_id = await request.blob_id()
    request.check_new_key()
    body = request.body()
    new = NewBlob(
        IdentifiedBytes(blob_id, body),
        properties=await sent_properties(request, body.content_encoding),
        precondition=precondition(request.headers),
        size=body.size,
        digest=None if body.sha256 is None else Digest(body.sha256),
        checksums=lambda: body.checksums,
    )
    try:
        blob = (await request.use_cases.store(request.grant, new)).blob
    except DigestMismatch:
        raise body.sha256_mismatch() from None
    except PreconditionFailed:
        raise await failed_condition(request, blob_id) from None
    return empty_response(headers=_stored_headers(blob))


async def failed_condition(request: S3Request, blob_id: BlobId) -> S3Error:
    """Return the error for a condition of a change that did not hold. Raises NOT_FOUND if there is no such object."""
    if "if-match" in request.headers:
        await request.use_cases.fetch.blobs.get(blob_id)
        return S3Error("PreconditionFailed", Condition="If-Match")
    return S3Error("PreconditionFailed", Condition="If-None-Match")


def _stored_headers(blob: Blob) -> list[tuple[bytes, bytes]]:
    return [(b"etag", etag(blob).encode()), *(checksum_headers(blob.checksums) if blob.checksums else ())]


async def delete_object(request: S3Request) -> ASGIApp:
    """Delete an object. That there is none is a success too, unless the request names its version."""
    request.check_version()
    headers = request.headers
    condition = Deletion(
        headers.get("if-match"),
        headers.get("x-amz-if-match-last-modified-time"),
        headers.get("x-amz-if-match-size"),
    )
    await _delete(request, await request.blob_id(), condition)
    return empty_response(HTTPStatus.NO_CONTENT)


@dataclass(frozen=True, slots=True)
class Deletion:
    """The version that is to be deleted, as far as the request says: its tag or `*`, its time, and its size."""

    tag: str | None = None
    time: str | None = None
    size: str | None = None

    def is_met(self, blob: Blob) -> bool:
        """Return whether this is the version. A time is a date of HTTP, or as in a document."""
        if self.tag not in (None, "*") and blob.s3_etag not in tags("If-Match", self.tag):
            return False
        if self.time is not None and _time(self.time) != last_modified(blob):
            return False
        return self.size in (None, str(blob.size))


UNCONDITIONAL = Deletion()


def _time(text: str) -> datetime | None:
    found = http_date(text)
    if found is None:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return None
    return found.replace(microsecond=0) if found.tzinfo else found.replace(microsecond=0, tzinfo=UTC)


async def _delete(request: S3Request, blob_id: BlobId, condition: Deletion) -> None:
    """Delete an object, if it is as the condition says. That there is none is a success too."""
    authorize(request.grant, Action.DELETE, blob_id)
    unchanged = ANY
    for attempt in range(ATTEMPTS):
        try:
            if condition != UNCONDITIONAL:
                current = await request.use_cases.fetch.blobs.get(blob_id)
                if not condition.is_met(current):
                    raise S3Error("PreconditionFailed", Condition="If-Match")
                unchanged = Precondition(etags=frozenset([current.etag]))
            await request.use_cases.delete(request.grant, blob_id, unchanged)
            return
        except NotFound:
            return
        except PreconditionFailed:
            if attempt == ATTEMPTS - 1:
                raise S3Error("OperationAborted") from None


async def delete_objects(request: S3Request) -> ASGIApp:
    """Delete up to 1,000 objects. Those without a condition are deleted in one transaction."""
    bucket = await request.known_bucket()
    document = await request.document("Delete", MAX_DOCUMENT)
    if document is None:
        raise S3Error("MissingRequestBodyError")
    objects = [*document.all("Object")]
    if not 1 <= len(objects) <= MAX_DELETED or any(not each.exact("Key") for each in objects):
        raise S3Error("MalformedXML")
    failures = dict[int, S3Error]()
    unconditional = dict[int, BlobId]()
    for index, each in enumerate(objects):
        try:
            check_version(each.value("VersionId"))
            blob_id = id_of(bucket, each.exact("Key") or "")
            condition = Deletion(each.value("ETag"), each.value("LastModifiedTime"), each.value("Size"))
            if condition != UNCONDITIONAL:
                await _delete(request, blob_id, condition)
            else:
                authorize(request.grant, Action.DELETE, blob_id)
                unconditional[index] = blob_id
        except (BlobError, S3Error) as error:
            failures[index] = as_s3_error(error)
    if unconditional:
        await request.use_cases.delete_all(request.grant, [*dict.fromkeys(unconditional.values())])
    is_quiet = (document.value("Quiet") or "").lower() == "true"
    tree: list[Tree] = []
    for index, each in enumerate(objects):
        key = each.exact("Key") or ""
        if index in failures:
            failed = failures[index]
            tree.append(("Error", [("Key", key), ("Code", failed.code), ("Message", failed.message)]))
        elif not is_quiet:
            tree.append(("Deleted", [("Key", key)]))
    return xml_response("DeleteResult", tree)


async def copy_object(request: S3Request) -> ASGIApp:
    """Copy an object, or replace its metadata. No byte is copied."""
    request.check_no_version()
    check_supported(request.headers, acls=request.use_cases.acls)
    target = await request.blob_id()
    source_id = await copy_source(request)
    if source_id != target:
        request.check_new_key()
    replaces_metadata = _directive(request, "x-amz-metadata-directive")
    replaces_tags = _directive(request, "x-amz-tagging-directive")
    if source_id == target and not (replaces_metadata or replaces_tags):
        detail = (
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )
        raise S3Error("InvalidRequest", detail)
    sent = await sent_properties(request, request.headers.get("content-encoding", ""))
    async for source in sources(request, source_id):
        _check_algorithm(request.headers, source.checksums)
        properties = _of_copy(sent, source.properties, metadata=replaces_metadata, tags=replaces_tags)
        unchanged = Precondition(etags=frozenset([source.etag]))
        if source_id == target:
            await _check_target(request, source)
        try:
            blob = await _copy(request, source_id, target, properties, unchanged)
        except PreconditionFailed as error:
            if error.subject == source_id:
                continue
            raise await failed_condition(request, target) from None
        tree: list[Tree] = [("LastModified", iso_time(last_modified(blob))), ("ETag", etag(blob))]
        return xml_response("CopyObjectResult", tree + (checksum_tree(blob.checksums) if blob.checksums else []))
    raise S3Error("OperationAborted")


async def _check_target(request: S3Request, current: Blob) -> None:
    """Raise the error for a condition of the change that the current version does not meet."""
    try:
        precondition(request.headers).check(current.id, current)
    except PreconditionFailed:
        raise await failed_condition(request, current.id) from None


async def _copy(
    request: S3Request, source: BlobId, target: BlobId, properties: Properties, unchanged: Precondition
) -> Blob:
    if source == target:
        values = {each.name: getattr(properties, each.name) for each in fields_of(properties)}
        metadata = values.pop("metadata")
        operation: Copy | Patch = Patch(target, values, metadata, clear_metadata=True, precondition=unchanged)
    else:
        condition = precondition(request.headers)
        operation = Copy(source, target, True, unchanged, condition, properties)
    blob = (await request.use_cases.commit.one(request.grant, operation)).blob
    assert blob is not None
    return blob


def _check_algorithm(headers: Mapping[str, str], own: Checksums | None) -> None:
    """Raise NotImplemented for a checksum that the source does not have: no byte is read to compute it."""
    name = "x-amz-checksum-algorithm"
    if name in headers and (own is None or headers[name].upper() != own.algorithm):
        raise S3Error("NotImplemented", f"A copy has the checksum of its source. Leave out {name}.", Header=name)


def _directive(request: S3Request, name: str) -> bool:
    value = request.headers.get(name, "COPY")
    if value not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", f"Unknown directive in {name}.", ArgumentName=name, ArgumentValue=value)
    return value == "REPLACE"


def _of_copy(sent: Properties, source: Properties, *, metadata: bool, tags: bool) -> Properties:
    described = sent if metadata else source
    return replace(described, tags=sent.tags if tags else source.tags, acl=sent.acl)  # which no copy inherits


async def copy_source(request: S3Request) -> BlobId:
    """Return the id of the blob that `x-amz-copy-source` names."""
    path, _, query = request.headers["x-amz-copy-source"].partition("?")
    bucket_name, slash, key = unquote_plus(path.removeprefix("/")).partition("/")
    if not slash or not key:
        detail = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey."
        raise S3Error("InvalidArgument", detail, ArgumentName="x-amz-copy-source")
    if query:
        check_version(query.removeprefix("versionId="))
    bucket = await request.use_cases.buckets.known(request.grant, bucket_name)
    check_owner(bucket, request.headers.get("x-amz-source-expected-bucket-owner"))
    return id_of(bucket, key)


async def sources(request: S3Request, source_id: BlobId) -> AsyncIterator[Blob]:
    """Yield the current version of a source if it meets the request's conditions, again if it is replaced meanwhile."""
    for _ in range(ATTEMPTS):
        source = await request.use_cases.fetch.stat(request.grant, source_id)
        try:
            check_reading(request.headers, source, "x-amz-copy-source-")
        except NotModified:
            raise S3Error("PreconditionFailed", Condition="x-amz-copy-source-If-None-Match") from None
        yield source


async def get_object_tagging(request: S3Request) -> ASGIApp:
    """Return the tags of an object."""
    request.check_version()
    blob = await request.use_cases.fetch.stat(request.grant, await request.blob_id())
    pairs = [("Tag", [("Key", name), ("Value", value)]) for name, value in sorted(blob.properties.tags.items())]
    return xml_response("Tagging", [("TagSet", pairs)])


async def put_object_tagging(request: S3Request) -> ASGIApp:
    """Replace the tags of an object."""
    request.check_version()
    await _set_tags(request, tag_set(await request.document("Tagging")))
    return empty_response()


async def delete_object_tagging(request: S3Request) -> ASGIApp:
    """Remove the tags of an object."""
    request.check_version()
    await _set_tags(request, {})
    return empty_response(HTTPStatus.NO_CONTENT)


async def _set_tags(request: S3Request, found: dict[str, str]) -> None:
    await request.use_cases.commit.one(request.grant, Patch(await request.blob_id(), {"tags": found}))
