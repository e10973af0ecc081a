"""The payload of a signed request: the SHA-256 of its body, or the way in which the body is signed.

Source: Amazon S3 API Reference, Authenticating Requests (AWS Signature Version 4), x-amz-content-sha256.
"""

import re

from entrypoints.http.s3.auth.credentials import Headers, Parameters
from entrypoints.http.s3.errors import S3Error

UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING = frozenset({STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER})
_PAYLOAD_TEXT = f"x-amz-content-sha256 must be {UNSIGNED}, {', '.join(sorted(STREAMING))}, or a valid sha256 value."
_PAYLOAD = re.compile(r"[0-9a-fA-F]{64}")


def is_payload(text: str) -> bool:
    """Return whether a text is allowed as x-amz-content-sha256."""
    return text == UNSIGNED or text in STREAMING or _PAYLOAD.fullmatch(text) is not None


def invalid_payload() -> S3Error:
    """Return the error for an x-amz-content-sha256 that is not allowed."""
    return S3Error("InvalidArgument", _PAYLOAD_TEXT, ArgumentName="x-amz-content-sha256")


def payload_of_header(values: Headers) -> str:
    if "x-amz-content-sha256" not in values:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    return _payload(values["x-amz-content-sha256"])


def payload_of_presigned(values: Headers, parameters: Parameters) -> str:
    """Return the payload of a presigned URL. A header must be signed, as all x-amz-*."""
    given = [value for name, value in parameters if name.lower() == b"x-amz-content-sha256"]
    given += values.get("x-amz-content-sha256", [])
    return _payload([*dict.fromkeys(given)]) if given else UNSIGNED


def _payload(given: list[bytes]) -> str:
    text = given[0].decode("latin-1").strip()
    if len(given) > 1 or not is_payload(text):
        raise invalid_payload()
    return text
