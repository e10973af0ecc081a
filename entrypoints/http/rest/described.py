"""Parts that several descriptions of REST operations share."""

from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Schema

from entrypoints.http.openapi.components import ID

BYTES = OpenAPIMediaType(Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY), example="Hello World!")
CREATED_AT = "2023-10-27T10:00:00Z"
KNOWN = {"id": ID, "size": 12, "created_at": CREATED_AT}
EVERYWHERE = ["unauthorized", "internal_error", "unavailable", "timeout", "overloaded"]
CHANGING = ["no_space", "commit_unknown", "rolled_back", *EVERYWHERE]
