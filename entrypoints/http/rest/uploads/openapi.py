"""Examples and parameters that the descriptions of several operations on uploads have."""

from application.blobs.multipart.parts import MAX_PARTS
from entrypoints.http.openapi import components
from entrypoints.http.openapi.components import ID, SHA_256, parameter, text
from entrypoints.http.rest.described import CREATED_AT

UPLOAD_OFFSET = "Upload-Offset"
KEY = "0123456789abcdef0123456789abcdef"
PATH = f"/v1/uploads/{KEY}"
PART = {"n": 1, "size": 12, "sha256": SHA_256}
UPLOAD = {
    "upload": KEY,
    "received": 12,
    "created_at": CREATED_AT,
    "expires_at": "2023-10-28T10:00:00Z",
    "max_part_bytes": 5368709120,
    "max_parts": MAX_PARTS,
    "content_type": "text/plain",
    "id": ID,
}
STORED = {"message": "Blob stored successfully", "id": ID, "size": 12, "created_at": CREATED_AT, "sha256": SHA_256}
KEY_PARAMETER = parameter("path", "upload", "The key of the upload.", text(pattern=components.KEY), KEY)
OF_UPLOAD = ["upload_not_found", "unknown_route", "invalid_parameter"]
