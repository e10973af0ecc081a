"""The operations of the S3 interface: which one a request names, by its method, its path and its parameters."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from litestar.types import ASGIApp

from entrypoints.http.s3.buckets import acls, buckets, lists, public_access
from entrypoints.http.s3.buckets import settings as bucket_settings
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.multipart import lists as upload_lists
from entrypoints.http.s3.multipart import part_copies
from entrypoints.http.s3.multipart import uploads as multipart
from entrypoints.http.s3.objects import post, reading, writing
from entrypoints.http.s3.request import S3Request
from entrypoints.http.s3.responses import empty_response, xml_response

_NO_LOCK = "Object Lock configuration cannot be enabled on existing buckets"
Handler = Callable[[S3Request], Awaitable[ASGIApp]]


class Operation(NamedTuple):
    """An operation by its name in the Amazon S3 API Reference, and its handler."""

    name: str
    handle: Handler


def _absent(code: str, message: str = "") -> Handler:
    """Return the handler of a configuration that no bucket has."""

    async def refuse(request: S3Request) -> ASGIApp:
        await request.known_bucket()
        raise S3Error(code, message)

    return refuse


def _empty(root: str) -> Handler:
    """Return the handler of a configuration that is always empty."""

    async def respond(request: S3Request) -> ASGIApp:
        await request.known_bucket()
        return xml_response(root, [])

    return respond


async def _nothing_to_delete(request: S3Request) -> ASGIApp:
    await request.known_bucket()
    return empty_response(204)


async def _not_implemented(request: S3Request) -> ASGIApp:
    raise S3Error("NotImplemented")


async def _method_not_allowed(request: S3Request) -> ASGIApp:
    raise S3Error("MethodNotAllowed")


_lock = _absent("InvalidRequest", "Bucket is missing Object Lock Configuration")

NOT_IMPLEMENTED = Operation("NotImplemented", _not_implemented)
METHOD_NOT_ALLOWED = Operation("MethodNotAllowed", _method_not_allowed)

SERVICE: Mapping[str, Operation] = {"GET": Operation("ListBuckets", buckets.list_buckets)}

# By method and parameter; an empty name is for requests with none of these parameters.
BUCKET: Mapping[tuple[str, str], Operation] = {
    ("PUT", ""): Operation("CreateBucket", buckets.create_bucket),
    ("HEAD", ""): Operation("HeadBucket", buckets.head_bucket),
    ("DELETE", ""): Operation("DeleteBucket", buckets.delete_bucket),
    ("GET", ""): Operation("ListObjects", lists.list_objects),
    ("GET", "list-type"): Operation("ListObjectsV2", lists.list_objects_v2),
    ("GET", "versions"): Operation("ListObjectVersions", lists.list_object_versions),
    ("GET", "uploads"): Operation("ListMultipartUploads", upload_lists.list_multipart_uploads),
    ("POST", "delete"): Operation("DeleteObjects", writing.delete_objects),
    ("POST", ""): Operation(post.NAME, post.post_object),
    ("GET", "location"): Operation("GetBucketLocation", buckets.get_bucket_location),
    ("GET", "versioning"): Operation("GetBucketVersioning", buckets.get_bucket_versioning),
    ("GET", "acl"): Operation("GetBucketAcl", acls.get_acl),
    ("PUT", "acl"): Operation("PutBucketAcl", acls.put_acl),
    ("GET", "ownershipControls"): Operation("GetBucketOwnershipControls", buckets.get_ownership_controls),
    ("GET", "requestPayment"): Operation("GetBucketRequestPayment", buckets.get_request_payment),
    ("GET", "notification"): Operation("GetBucketNotification", _empty("NotificationConfiguration")),
    ("GET", "logging"): Operation("GetBucketLogging", _empty("BucketLoggingStatus")),
    ("GET", "accelerate"): Operation("GetBucketAccelerateConfiguration", _empty("AccelerateConfiguration")),
    ("GET", "policy"): Operation("GetBucketPolicy", _absent("NoSuchBucketPolicy")),
    ("GET", "policyStatus"): Operation("GetBucketPolicyStatus", _absent("NoSuchBucketPolicy")),
    ("GET", "cors"): Operation("GetBucketCors", bucket_settings.get_bucket_cors),
    ("PUT", "cors"): Operation("PutBucketCors", bucket_settings.put_bucket_cors),
    ("DELETE", "cors"): Operation("DeleteBucketCors", bucket_settings.delete_bucket_cors),
    ("GET", "tagging"): Operation("GetBucketTagging", bucket_settings.get_bucket_tagging),
    ("PUT", "tagging"): Operation("PutBucketTagging", bucket_settings.put_bucket_tagging),
    ("DELETE", "tagging"): Operation("DeleteBucketTagging", bucket_settings.delete_bucket_tagging),
    ("GET", "lifecycle"): Operation("GetBucketLifecycle", _absent("NoSuchLifecycleConfiguration")),
    ("GET", "encryption"): Operation("GetBucketEncryption", _absent("ServerSideEncryptionConfigurationNotFoundError")),
    ("GET", "object-lock"): Operation("GetObjectLockConfiguration", _absent("ObjectLockConfigurationNotFoundError")),
    ("PUT", "object-lock"): Operation("PutObjectLockConfiguration", _absent("InvalidBucketState", _NO_LOCK)),
    ("GET", "website"): Operation("GetBucketWebsite", _absent("NoSuchWebsiteConfiguration")),
    ("GET", "replication"): Operation("GetBucketReplication", _absent("ReplicationConfigurationNotFoundError")),
    ("GET", "publicAccessBlock"): Operation("GetPublicAccessBlock", public_access.get_public_access_block),
    ("PUT", "publicAccessBlock"): Operation("PutPublicAccessBlock", public_access.put_public_access_block),
    ("DELETE", "publicAccessBlock"): Operation("DeletePublicAccessBlock", public_access.delete_public_access_block),
    **{
        ("DELETE", name): Operation("DeleteBucketConfiguration", _nothing_to_delete)
        for name in ("policy", "lifecycle", "encryption", "website", "replication")
    },
}

OBJECT: Mapping[tuple[str, str], Operation] = {
    ("GET", ""): Operation("GetObject", reading.get_object),
    ("HEAD", ""): Operation("HeadObject", reading.head_object),
    ("PUT", ""): Operation("PutObject", writing.put_object),
    ("PUT", "copy"): Operation("CopyObject", writing.copy_object),
    ("DELETE", ""): Operation("DeleteObject", writing.delete_object),
    ("GET", "attributes"): Operation("GetObjectAttributes", reading.get_object_attributes),
    ("GET", "acl"): Operation("GetObjectAcl", acls.get_acl),
    ("PUT", "acl"): Operation("PutObjectAcl", acls.put_acl),
    ("GET", "tagging"): Operation("GetObjectTagging", writing.get_object_tagging),
    ("PUT", "tagging"): Operation("PutObjectTagging", writing.put_object_tagging),
    ("DELETE", "tagging"): Operation("DeleteObjectTagging", writing.delete_object_tagging),
    ("POST", "uploads"): Operation("CreateMultipartUpload", multipart.create_multipart_upload),
    ("PUT", "uploadId"): Operation("UploadPart", multipart.upload_part),
    ("PUT", "copy uploadId"): Operation("UploadPartCopy", part_copies.upload_part_copy),
    ("POST", "uploadId"): Operation("CompleteMultipartUpload", multipart.complete_multipart_upload),
    ("DELETE", "uploadId"): Operation("AbortMultipartUpload", multipart.abort_multipart_upload),
    ("GET", "uploadId"): Operation("ListParts", upload_lists.list_parts),
    ("GET", "torrent"): Operation("GetObjectTorrent", _absent("NoSuchKey")),
    ("GET", "retention"): Operation("GetObjectRetention", _lock),
    ("PUT", "retention"): Operation("PutObjectRetention", _lock),
    ("GET", "annotation"): Operation("ListObjectAnnotations", reading.list_object_annotations),
    ("GET", "legal-hold"): Operation("GetObjectLegalHold", _lock),
    ("PUT", "legal-hold"): Operation("PutObjectLegalHold", _lock),
}

# Parameters that name another operation, known or not. Others are ignored, as S3 does, if they have a value.
NAMING = (
    *("uploadId", "uploads", "delete", "versions", "location", "versioning", "acl", "policy", "policyStatus", "cors"),
    *("tagging", "lifecycle", "encryption", "object-lock", "website", "replication", "publicAccessBlock"),
    *("ownershipControls", "requestPayment", "notification", "logging", "accelerate", "attributes", "retention"),
    *("legal-hold", "restore", "select", "torrent", "append", "inventory", "metrics", "analytics", "renameObject"),
    *("intelligent-tiering", "session", "metadataTable", "metadataConfiguration", "list-type", "annotation", "abac"),
    *("metadataAnnotationTable", "metadataInventoryTable", "metadataJournalTable"),
)
_NAMING = frozenset(NAMING)
_CHANGING = ("PUT", "POST", "DELETE")
_MAY_BE_EMPTY = ("versionId", "x-id")


def operation_of(request: S3Request) -> Operation:
    """Return the operation that a request names.

    A parameter without a value names one too. If this table does not have it, because it is newer, a request to change
    something is not taken for one to change the bucket or the object itself.
    """
    query = request.query
    named = "" if _NAMING.isdisjoint(query) else next(name for name in NAMING if name in query)
    if query and not named and request.method in _CHANGING and any(map(_is_newer, query.items())):
        return NOT_IMPLEMENTED
    if not request.bucket:
        return SERVICE.get(request.method, METHOD_NOT_ALLOWED)
    table = BUCKET
    if request.key:
        table = OBJECT
        if request.method == "PUT" and named in ("", "uploadId") and "x-amz-copy-source" in request.headers:
            named = f"copy {named}".strip()
        named = "" if named == "list-type" else named
    found = table.get((request.method, named))
    if found is None:
        return NOT_IMPLEMENTED if named else METHOD_NOT_ALLOWED
    return found


def _is_newer(parameter: tuple[str, str]) -> bool:
    """Return whether a parameter names an operation that is in no table."""
    name, value = parameter
    return not value and name not in _MAY_BE_EMPTY and not name.lower().startswith("x-amz-")
