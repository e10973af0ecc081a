"""Signs by which a response is S3's, and not that of a login page or a proxy in between.

A captive portal replies 200 to any request. Each check asks for what every S3 server sends, and no portal does.
"""

from collections.abc import Mapping
from typing import Any

from domain.blob import ByteRange

Response = Mapping[str, Any]

# What S3 always returns, by botocore's names. A list without Name or Bucket could be any page, and would look empty.
OBJECT = ("ETag", "ContentLength", "LastModified")
LIST = ("Name", "IsTruncated")
UPLOADS = ("Bucket",)  # rclone leaves IsTruncated out of an empty list
REQUEST_ID = "x-amz-request-id"


class NotS3Error(Exception):
    """The response is not S3's. The message is a clause that says why."""


def require(response: Response, *members: str) -> None:
    """Raise NotS3Error if the response is a web page, or lacks one of these members."""
    if _headers(response).get("content-type", "").startswith("text/html"):
        raise NotS3Error("it sent a web page")  # no object of ours has this type
    missing = [member for member in members if response.get(member) in (None, "")]
    if missing:
        raise NotS3Error(f"its response has no {' and no '.join(missing)}")


def require_key(response: Response, key: str) -> None:
    """Raise NotS3Error if the response is about another object."""
    if response.get("Key") != key:
        raise NotS3Error("its response does not name the object")


def require_range(response: Response, part: ByteRange | None) -> None:
    """Raise NotS3Error if the body does not start where the range does, or if a whole object is cut."""
    content_range = response.get("ContentRange") or ""
    expected = f"bytes {part.start}-" if part is not None else ""
    if bool(content_range) != bool(expected) or not content_range.startswith(expected):
        raise NotS3Error(f"it sent {content_range or 'all bytes'} where {expected or 'all bytes'} was asked for")


def require_deletion(response: Response) -> None:
    """Raise NotS3Error if the response does not say that something was deleted: 204, or 200 with a request id."""
    require(response)
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    if status != 204 and REQUEST_ID not in _headers(response):
        raise NotS3Error(f"it confirmed a deletion with {status} instead of 204")


def _headers(response: Response) -> Mapping[str, str]:
    headers: Mapping[str, str] = response["ResponseMetadata"]["HTTPHeaders"]
    return headers
