"""Checks that a response comes from S3, and not from a captive portal or a proxy.

A captive portal replies 200 to any request. Each check requires what every S3 server sends, and no portal does.
"""

from collections.abc import Mapping
from typing import Any

from domain.blob import ByteRange

Response = Mapping[str, Any]

# What S3 always returns, by botocore's names. A list without Name or Bucket could be any page, and look empty.
OBJECT = ("ETag", "ContentLength", "LastModified")
LIST = ("Name", "IsTruncated")
UPLOADS = ("Bucket",)  # rclone omits IsTruncated in an empty list
REQUEST_ID = "x-amz-request-id"


class NotS3Error(Exception):
    """The response does not come from S3. The message is a clause with the reason."""


def require(response: Response, *members: str) -> None:
    """Raise NotS3Error if the response is a web page or lacks a member."""
    if _headers(response).get("content-type", "").startswith("text/html"):
        raise NotS3Error("it sent a web page")  # objects are stored without this type
    missing = [member for member in members if response.get(member) in (None, "")]
    if missing:
        raise NotS3Error(f"its response has no {' and no '.join(missing)}")


def require_key(response: Response, key: str) -> None:
    """Raise NotS3Error if the response names another object."""
    if response.get("Key") != key:
        raise NotS3Error("its response does not name the object")


def require_range(response: Response, part: ByteRange | None) -> None:
    """Raise NotS3Error if the body does not start with the range, or is only a part of a whole object."""
    content_range = response.get("ContentRange") or ""
    expected = f"bytes {part.start}-" if part is not None else ""
    if bool(content_range) != bool(expected) or not content_range.startswith(expected):
        raise NotS3Error(f"it sent {content_range or 'all bytes'} instead of {expected or 'all bytes'}")


def require_deletion(response: Response) -> None:
    """Raise NotS3Error unless the response confirms a deletion: 204, or 200 with a request id."""
    require(response)
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    if status != 204 and REQUEST_ID not in _headers(response):
        raise NotS3Error(f"it confirmed a deletion with {status} instead of 204")


def _headers(response: Response) -> Mapping[str, str]:
    headers: Mapping[str, str] = response["ResponseMetadata"]["HTTPHeaders"]
    return headers
