"""The catalogue of problems: the HTTP status and the text of each code. Every face renders it in its own format.

A text is for all problems of its code, unless a raise site knows more. Of errors on the server's side, clients see
nothing else: the details, with paths and hosts, go to the log.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from domain.errors import (
    AlreadyExists,
    BucketExists,
    BucketNotEmpty,
    BucketNotFound,
    InconsistentLength,
    Interrupted,
    InvalidExpiry,
    InvalidPrefix,
    KeyNotFound,
    Kind,
    LeaseLost,
    NoMasterKey,
    NotFound,
    NotGranted,
    NotInTrash,
    PartInProgress,
    PreconditionFailed,
    QuotaExceeded,
    RateLimited,
    ReadOnly,
    SameId,
    ShareLocked,
    ShareNotFound,
    UploadNotFound,
)


class Entry(NamedTuple):
    status: HTTPStatus
    text: str


CATALOGUE: Mapping[str, Entry] = {
    code: Entry(status, text)
    for status, texts in {
        HTTPStatus.BAD_REQUEST: {
            "invalid_id": "The blob id is 2,049 bytes long in UTF-8; an id is 1 to 2,048 bytes of UTF-8 text.",
            "invalid_metadata": "The metadata has 9,216 bytes; names and values may have 8,192 in all.",
            "invalid_expiry": InvalidExpiry.text,
            "invalid_prefix": InvalidPrefix.text,
            "invalid_parts": "Part 2 is missing. Send it, or list the parts that make the blob.",
            "inconsistent_length": InconsistentLength.text,
            "two_credentials": "The request has the header Authorization and a signed URL. Send one of them.",
            "invalid_key": "A key needs at least one of the actions read, list, write, delete, admin.",
            "invalid_share": "A link can be used 1 to 2,147,483,647 times.",
            "invalid_bucket_name": "A bucket has a name of 3 to 63 lower-case letters, digits, hyphens and dots.",
            "invalid_commit": "Two operations change the blob of operation 3. Name each blob once.",
            "same_id": SameId.text,
            "invalid_parameter": "The query parameter '.txt' is not known. This request takes no parameters. "
            "If the ? is part of the blob's id, write it as %3F.",
            "invalid_header": "A header is malformed.",
            "invalid_json": "The body is not JSON in UTF-8.",
            "invalid_body": "The body has an unknown or repeated member, one of a wrong type, or lacks one.",
            "invalid_form": "The body is not multipart/form-data with the fields id and file: it ends before its last"
            " boundary.",
            "invalid_base64": "data is not standard base64 (RFC 4648, section 4), at offset 4.",
            "digest_mismatch": "The SHA-256 of the bytes that arrived differs from the one declared. Send them again.",
            "client_gone": "The request ended before its body did, or the body is not chunked correctly.",
            "size_mismatch": "The body ended after 6 of the 12 bytes declared. Send it again.",
        },
        HTTPStatus.UNAUTHORIZED: {
            "unauthorized": "Send the header Authorization: Bearer <token>, once.",
            "share_locked": ShareLocked.text,
            "invalid_signature": "The URL was changed, is for another method, or has expired, or its key was"
            " revoked. Ask for a new one.",
        },
        HTTPStatus.FORBIDDEN: {
            "forbidden": NotGranted.text,
            "cross_origin": "A session counts only for requests from pages of this server itself. Send the token in the"
            " header Authorization.",
        },
        HTTPStatus.NOT_FOUND: {
            "not_found": NotFound.text,
            "upload_not_found": UploadNotFound.text,
            "not_in_trash": NotInTrash.text,
            "key_not_found": KeyNotFound.text,
            "share_not_found": ShareNotFound.text,
            "bucket_not_found": BucketNotFound.text,
            "unknown_route": "There is nothing at this path. The interface is described at /docs.",
        },
        HTTPStatus.METHOD_NOT_ALLOWED: {
            "method_not_allowed": "This path does not support this method. See the header Allow.",
        },
        HTTPStatus.REQUEST_TIMEOUT: {
            "request_timeout": "The body came too slowly. Send it again.",
            "lease_lost": LeaseLost.text,
        },
        HTTPStatus.CONFLICT: {
            "already_exists": AlreadyExists.text,
            "bucket_exists": BucketExists.text,
            "bucket_not_empty": BucketNotEmpty.text,
            "offset_mismatch": "The bytes start at 5, and the upload has 3. Ask for its size, and go on from there.",
            "part_in_progress": PartInProgress.text,
            "interrupted": Interrupted.text,
        },
        HTTPStatus.LENGTH_REQUIRED: {
            "length_required": "Send the body with the header Content-Length, of 0 if it is empty, or in chunks.",
        },
        HTTPStatus.PRECONDITION_FAILED: {"precondition_failed": PreconditionFailed.text},
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {"too_large": "A blob may have up to 5,368,709,120 bytes here."},
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: {
            "unsupported_media_type": "Send the blob as application/json, or as multipart/form-data with the fields id"
            " and file.",
        },
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: {
            "range_not_satisfiable": "The range starts after the end of the blob, which has 12 bytes.",
        },
        HTTPStatus.INTERNAL_SERVER_ERROR: {
            "integrity": "The stored bytes of this blob are missing or damaged. Inform the operator; the log has the"
            " details.",
            "internal_error": "Internal error. Inform the operator; the log has the details.",
        },
        HTTPStatus.NOT_IMPLEMENTED: {
            "no_master_key": NoMasterKey.text,
            "not_implemented": "Only Transfer-Encoding: chunked is supported.",
        },
        HTTPStatus.SERVICE_UNAVAILABLE: {
            "unavailable": "The storage or the database can't be used now. Try again later.",
            "timeout": "The storage or the database did not respond in time. Try again later.",
            "commit_unknown": "The connection to the database was lost. Fetch the blob to see whether it was stored.",
            "rolled_back": "Other requests were changing the same blob. Nothing was changed. Try again.",
            "read_only": ReadOnly.text,
            "overloaded": "Too many concurrent requests. Try again later.",
            "not_ready": "Not ready: the database (unavailable). The log has the details.",
        },
        HTTPStatus.TOO_MANY_REQUESTS: {"rate_limited": RateLimited.text},
        HTTPStatus.INSUFFICIENT_STORAGE: {
            "quota_exceeded": QuotaExceeded.text,
            "no_space": "The storage is full. Inform the operator, or try again later. Nothing was changed.",
        },
    }.items()
    for code, text in texts.items()
}
STATUSES: Mapping[Kind, HTTPStatus] = {kind: CATALOGUE[kind.value].status for kind in Kind}
