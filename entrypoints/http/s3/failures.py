"""Errors of all kinds in the words of S3."""

import math

import structlog

from domain.errors import BlobError, BucketExists, Kind, RateLimited, ReadOnly
from entrypoints.http.protocol.client_pace import ClientTooSlow
from entrypoints.http.protocol.problems import ClientGone, HttpProblem
from entrypoints.http.s3 import xml
from entrypoints.http.s3.errors import S3Error

LOG = structlog.get_logger()

CODES = {
    Kind.NOT_FOUND: "NoSuchKey",
    Kind.ALREADY_EXISTS: "PreconditionFailed",
    Kind.PRECONDITION_FAILED: "PreconditionFailed",
    Kind.INVALID_ID: "InvalidArgument",
    Kind.INVALID_METADATA: "InvalidArgument",
    Kind.INVALID_EXPIRY: "InvalidArgument",
    Kind.INVALID_PREFIX: "InvalidArgument",
    Kind.INVALID_PARTS: "InvalidPart",
    Kind.INVALID_COMMIT: "InvalidRequest",
    Kind.INCONSISTENT_LENGTH: "InvalidRequest",
    Kind.SAME_ID: "InvalidRequest",
    Kind.UPLOAD_NOT_FOUND: "NoSuchUpload",
    Kind.OFFSET_MISMATCH: "InvalidRequest",
    Kind.PART_IN_PROGRESS: "OperationAborted",
    Kind.INTERRUPTED: "OperationAborted",
    Kind.NOT_IN_TRASH: "NoSuchVersion",
    Kind.INVALID_KEY: "InvalidRequest",
    Kind.KEY_NOT_FOUND: "InvalidAccessKeyId",
    Kind.NO_MASTER_KEY: "InvalidAccessKeyId",
    Kind.INVALID_SHARE: "InvalidRequest",
    Kind.SHARE_NOT_FOUND: "AccessDenied",
    Kind.SHARE_LOCKED: "AccessDenied",
    Kind.INVALID_BUCKET_NAME: "InvalidBucketName",
    Kind.BUCKET_NOT_FOUND: "NoSuchBucket",
    Kind.BUCKET_EXISTS: "BucketAlreadyExists",
    Kind.BUCKET_NOT_EMPTY: "BucketNotEmpty",
    Kind.QUOTA_EXCEEDED: "QuotaExceeded",
    Kind.RATE_LIMITED: "SlowDown",
    Kind.TOO_LARGE: "EntityTooLarge",
    Kind.SIZE_MISMATCH: "IncompleteBody",
    Kind.DIGEST_MISMATCH: "XAmzContentSHA256Mismatch",
    Kind.RANGE_NOT_SATISFIABLE: "InvalidRange",
    Kind.INTEGRITY: "InternalError",
    Kind.NO_SPACE: "InternalError",
    Kind.UNAVAILABLE: "ServiceUnavailable",
    Kind.TIMEOUT: "ServiceUnavailable",
    Kind.LEASE_LOST: "RequestTimeout",
    Kind.COMMIT_UNKNOWN: "ServiceUnavailable",
    Kind.ROLLED_BACK: "SlowDown",
    Kind.READ_ONLY: "ServiceUnavailable",
    Kind.FORBIDDEN: "AccessDenied",
}
# Drivebay's own texts say more than those of S3.
WITH_DETAIL = {
    *(Kind.INVALID_ID, Kind.INVALID_METADATA, Kind.INVALID_PARTS, Kind.INVALID_BUCKET_NAME, Kind.TOO_LARGE),
    *(Kind.SIZE_MISMATCH, Kind.QUOTA_EXCEEDED, Kind.FORBIDDEN, Kind.RATE_LIMITED),
}
PROBLEMS = {
    "request_timeout": "RequestTimeout",
    "length_required": "MissingContentLength",
    "not_implemented": "NotImplemented",
    "overloaded": "SlowDown",
}


def as_s3_error(error: Exception) -> S3Error:
    """Return an error as S3 has it. Details of one on the server's side go to the log only."""
    match error:
        case S3Error():
            return error
        case BucketExists() if error.is_own:
            return S3Error("BucketAlreadyOwnedByYou")
        case RateLimited():
            return S3Error("SlowDown", error.detail, headers={"retry-after": str(math.ceil(error.retry_after))})
        case ReadOnly():
            return S3Error(CODES[error.kind], ReadOnly.text, headers={"retry-after": "5"})
        case BlobError():
            return _of_blob_error(error)
        case HttpProblem() if error.code in PROBLEMS:
            return S3Error(PROBLEMS[error.code], error.detail, headers=error.headers)
        case HttpProblem():
            return S3Error("InvalidRequest", error.detail)
        case ClientGone() | ClientTooSlow():
            return S3Error("RequestTimeout")
        case _:
            LOG.error("a request hit a fault in Drivebay", exc_info=error)
            return S3Error("InternalError")


def _of_blob_error(error: BlobError) -> S3Error:
    found = S3Error(CODES[error.kind], error.detail if error.kind in WITH_DETAIL else "")
    if found.status >= 500 and error.kind is not Kind.ROLLED_BACK:
        LOG.error("a request failed", fault=str(error), cause=error.__cause__)
        return S3Error(found.code, headers={"retry-after": "5"} if error.temporary else None)
    return found


def error_document(error: S3Error, resource: str, request_id: str) -> bytes:
    """Return the document of an error (Amazon S3 API Reference, REST error responses)."""
    fields = [(name, value) for name, value in error.fields.items()]
    tree: list[xml.Tree] = [
        ("Code", error.code),
        ("Message", error.message),
        *fields,
        ("Resource", resource),
        ("RequestId", request_id),
        ("HostId", request_id),
    ]
    return xml.document("Error", tree, namespace="")
