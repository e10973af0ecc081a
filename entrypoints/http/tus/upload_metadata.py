"""Upload-Metadata (tus 1.0, Creation): the name of the blob, its content type, a precondition, and user metadata."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from domain.blob import BlobId
from domain.errors import InvalidId, InvalidMetadata
from domain.properties import MAX_METADATA_BYTES, Properties
from entrypoints.http.protocol.fields.media_types import media_type
from entrypoints.http.protocol.problems import HttpProblem

MAX_HEADER = 12 * 1024
"""Characters: enough for 8 KiB of user metadata in base64. HEAD returns them, and Node takes heads of up to 16 KiB."""
NAMES = ("id", "path", "filename")
"""The keys that name the blob. The first one that is there counts, and the others are user metadata."""
TYPES = ("filetype", "content-type")
"""The keys of the content type, in the same way."""
IF_MATCH = "if-match"


@dataclass(frozen=True, slots=True)
class UploadMetadata:
    """The contents of the header. `if_match` is empty, and `id` None, without such a key."""

    id: BlobId | None
    properties: Properties
    if_match: str


def read(header: str) -> UploadMetadata:
    """Return the contents of a header, empty if there is none. Raises HttpProblem 400 and INVALID_ID.

    Pairs that can't be user metadata of a blob (other names than those of header fields, bytes that are not text, more
    than fits) are left out. HEAD returns them all the same.
    """
    values = _pairs(header)
    name, content_type = _take(values, NAMES), _take(values, TYPES)
    if_match = _take(values, (IF_MATCH,))
    return UploadMetadata(
        BlobId(name) if name else None,
        Properties(media_type(content_type, "The content type in Upload-Metadata"), metadata=_user_metadata(values)),
        if_match,
    )


def _pairs(header: str) -> dict[str, bytes]:
    if len(header) > MAX_HEADER:
        raise _invalid(f"has {len(header):,} characters, and may have {MAX_HEADER:,}")
    found: dict[str, bytes] = {}
    for pair in header.split(",") if header.strip() else []:
        key, _, encoded = pair.strip().partition(" ")
        if not key:
            raise _invalid("has an empty key. Write pairs as in: filename d29ybGQ=,is_draft")
        if key in found:
            raise _invalid(f"has the key {key!r} twice. Send each key once")
        try:
            found[key] = base64.b64decode(encoded.strip().encode("ascii"), validate=True)
        except (binascii.Error, ValueError):
            raise _invalid(f"has a value for {key!r} that is not base64 (RFC 4648, section 4)") from None
    return found


def _take(values: dict[str, bytes], keys: tuple[str, ...]) -> str:
    """Remove the first of some keys that has a value, and return it; an empty text if none has."""
    for key in keys:
        if values.get(key):
            try:
                return values.pop(key).decode()
            except UnicodeDecodeError:
                detail = f"The value of {key!r} in Upload-Metadata is not UTF-8 in base64."
                raise InvalidId(detail) if keys is NAMES else HttpProblem("invalid_header", detail) from None
    return ""


def _user_metadata(values: Mapping[str, bytes]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    size = 0
    for key, value in values.items():
        name = key.lower()
        try:
            Properties(metadata={name: (text := value.decode())})
        except (UnicodeDecodeError, InvalidMetadata):
            continue
        added = len(name) + len(value)
        if name not in found and size + added <= MAX_METADATA_BYTES:
            found[name] = text
            size += added
    return found


def _invalid(detail: str) -> HttpProblem:
    return HttpProblem("invalid_header", f"Upload-Metadata {detail}.")
