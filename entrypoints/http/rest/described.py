"""Parts that several REST operations share."""

from typing import Any

from litestar import Request
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Schema

from domain.access import Grant
from entrypoints.http.openapi.components import ID

HttpRequest = Request[Any, Grant, Any]

BYTES = OpenAPIMediaType(Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY), example="Hello World!")
CREATED_AT = "2023-10-27T10:00:00Z"
KNOWN = {"id": ID, "size": 12, "created_at": CREATED_AT}
BODY = ["client_gone", "length_required", "not_implemented", "request_timeout", "too_large"]
MALFORMED = ["invalid_parameter", "invalid_json", "invalid_body", "unsupported_media_type", *BODY]
EVERYWHERE = [
    *("unauthorized", "invalid_signature", "two_credentials", "forbidden", "cross_origin"),
    *("rate_limited", "internal_error", "unavailable", "timeout", "overloaded"),
]
CHANGING = ["no_space", "quota_exceeded", "commit_unknown", "rolled_back", "read_only", *EVERYWHERE]
