"""Errors of the S3 interface, with the codes, statuses and texts that Amazon S3 uses.

Source: Amazon S3 API Reference, Error responses, List of error codes.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple


class CatalogueEntry(NamedTuple):
    """The status and the default text of an error code."""

    status: HTTPStatus
    message: str


_CODES = {
    400: {
        "AccessControlListNotSupported": "The bucket does not allow ACLs.",
        "AuthorizationHeaderMalformed": "The authorization header that you provided is not valid.",
        "AuthorizationQueryParametersError": "The authorization query parameters that you provided are not valid.",
        "BadDigest": "The Content-MD5 or checksum value that you specified did not match what the server received.",
        "BadRequest": "Bad Request",
        "EntityTooLarge": "Your proposed upload exceeds the maximum allowed object size.",
        "EntityTooSmall": "Your proposed upload is smaller than the minimum allowed object size.",
        "IncompleteBody": "You did not provide the number of bytes specified by the Content-Length HTTP header.",
        "IncorrectNumberOfFilesInPostRequest": "POST requires exactly one file upload per request.",
        "InvalidArgument": "Invalid Argument",
        "InvalidBucketName": "The specified bucket is not valid.",
        "InvalidDigest": "The Content-MD5 or checksum value that you specified is not valid.",
        "InvalidLocationConstraint": "The specified location constraint is not valid.",
        "InvalidPart": (
            "One or more of the specified parts could not be found. The part might not have been uploaded, or the "
            "specified entity tag might not have matched the part's entity tag."
        ),
        "InvalidPartOrder": (
            "The list of parts was not in ascending order. The parts list must be specified in order by part number."
        ),
        "InvalidPolicyDocument": (
            "The content of the form does not meet the conditions specified in the policy document."
        ),
        "InvalidRequest": "Invalid Request",
        "InvalidStorageClass": "The storage class that you specified is not valid.",
        "InvalidTag": "Your request contains tag input that is not valid.",
        "InvalidToken": "The provided token is malformed or otherwise not valid.",
        "InvalidURI": "Couldn't parse the specified URI.",
        "KeyTooLongError": "Your key is too long.",
        "MalformedACLError": "The ACL that you provided was not well formed or did not validate against our schema.",
        "MalformedPOSTRequest": "The body of your POST request is not well-formed multipart/form-data.",
        "MalformedTrailerError": (
            "The request contained trailing data that was not well-formed or did not conform to our published schema."
        ),
        "MalformedXML": (
            "The XML that you provided was not well formed or did not validate against our published schema."
        ),
        "MaxMessageLengthExceeded": "Your request was too large.",
        "MaxPostPreDataLengthExceededError": "Your POST request fields preceding the upload file were too large.",
        "MetadataTooLarge": "Your metadata headers exceed the maximum allowed metadata size.",
        "MissingRequestBodyError": "Request body is empty.",
        "MissingSecurityHeader": "Your request is missing a required header.",
        "RequestTimeout": (
            "Your socket connection to the server was not read from or written to within the timeout period."
        ),
        "UnexpectedContent": "This request does not support content.",
        "UnresolvableGrantByEmailAddress": "The email address you provided does not match any account on record.",
        "XAmzContentSHA256Mismatch": "The provided 'x-amz-content-sha256' header does not match what was computed.",
    },
    403: {
        "AccessDenied": "Access Denied",
        "AccessForbidden": "Access Forbidden",
        "InvalidAccessKeyId": "The access key ID that you provided does not exist in our records.",
        "QuotaExceeded": (
            "The object does not fit into the quota of this access key. Delete objects that the key has stored, or use "
            "another key."
        ),
        "RequestTimeTooSkewed": "The difference between the request time and the current time is too large.",
        "SignatureDoesNotMatch": (
            "The request signature we calculated does not match the signature you provided. Check your key and signing "
            "method."
        ),
    },
    404: {
        "NoSuchAnnotation": "The specified annotation does not exist.",
        "NoSuchBucket": "The specified bucket does not exist.",
        "NoSuchBucketPolicy": "The specified bucket does not have a bucket policy.",
        "NoSuchCORSConfiguration": "The CORS configuration does not exist.",
        "NoSuchKey": "The specified key does not exist.",
        "NoSuchLifecycleConfiguration": "The lifecycle configuration does not exist.",
        "NoSuchPublicAccessBlockConfiguration": "The public access block configuration was not found.",
        "NoSuchTagSet": "The TagSet does not exist.",
        "NoSuchUpload": (
            "The specified multipart upload does not exist. The upload ID might not be valid, or the multipart upload "
            "might have been aborted or completed."
        ),
        "NoSuchVersion": "The version ID specified in the request does not match an existing version.",
        "NoSuchWebsiteConfiguration": "The specified bucket does not have a website configuration.",
        "ObjectLockConfigurationNotFoundError": "Object Lock configuration does not exist for this bucket.",
        "ReplicationConfigurationNotFoundError": "The replication configuration was not found.",
        "ServerSideEncryptionConfigurationNotFoundError": "The server side encryption configuration was not found.",
    },
    405: {
        "MethodNotAllowed": "The specified method is not allowed against this resource.",
    },
    409: {
        "BucketAlreadyExists": (
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
            "Select a different name and try again."
        ),
        "BucketAlreadyOwnedByYou": "The bucket that you tried to create already exists, and you own it.",
        "BucketNotEmpty": "The bucket that you tried to delete is not empty.",
        "InvalidBucketState": "The request is not valid for the current state of the bucket.",
        "OperationAborted": (
            "A conflicting conditional operation is currently in progress against this resource. Try again."
        ),
    },
    411: {
        "MissingContentLength": "You must provide the Content-Length HTTP header.",
    },
    412: {
        "PreconditionFailed": "At least one of the preconditions that you specified did not hold.",
    },
    416: {
        "InvalidRange": "The requested range is not satisfiable.",
    },
    500: {
        "InternalError": "We encountered an internal error. Try again.",
    },
    501: {
        "NotImplemented": (
            "A header or query parameter that you provided implies functionality that is not implemented."
        ),
    },
    503: {
        "ServiceUnavailable": "Service is unable to handle request. Try again later.",
        "SlowDown": "Please reduce your request rate.",
    },
}

CATALOGUE: Mapping[str, CatalogueEntry] = MappingProxyType(
    {
        code: CatalogueEntry(HTTPStatus(status), message)
        for status, codes in _CODES.items()
        for code, message in codes.items()
    }
)
"""Status and default text by code."""


class S3Error(Exception):
    """An error response of the S3 interface.

    `code` is one of CATALOGUE, which knows the `status` and the default `message`. `fields` are further elements of the
    XML response, by name, and `headers` further headers.
    """

    def __init__(
        self, code: str, message: str = "", *, headers: Mapping[str, str] | None = None, **fields: str
    ) -> None:
        entry = CATALOGUE[code]
        self.code = code
        self.status: HTTPStatus = entry.status
        self.message = message or entry.message
        self.headers: Mapping[str, str] = dict(headers or {})
        self.fields: Mapping[str, str] = fields
        super().__init__(f"{code}: {self.message}")
