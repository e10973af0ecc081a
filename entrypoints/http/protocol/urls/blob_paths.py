"""Blob ids in URLs: everything after /v1/blobs/ in the path as it was sent, percent-decoded once.

An id takes no part in routing: see raw_paths.py.
"""

from urllib.parse import unquote_to_bytes

from domain.blob import BlobId
from domain.errors import InvalidId

PREFIX = b"/v1/blobs/"
ID_PATH = "/{id:str}"  # after /v1/blobs


def blob_id(raw_path: bytes) -> BlobId:
    """Return the id in a path as it was sent. Raises INVALID_ID."""
    escaped = raw_path.removeprefix(PREFIX)
    try:
        return BlobId((unquote_to_bytes(escaped) if b"%" in escaped else escaped).decode())
    except UnicodeDecodeError as error:
        detail = f"The blob id in the URL is not UTF-8: byte {error.start} can't be decoded."
        raise InvalidId(detail) from None
