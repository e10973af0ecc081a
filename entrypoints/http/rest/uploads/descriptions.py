"""Uploads and their parts in JSON."""

from datetime import datetime

import msgspec

from application.blobs.multipart.parts import MAX_PARTS
from application.ports.contents import MultipartUpload, Part
from entrypoints.http.rest.json_form.response import Sha256, Size


class PartDescription(msgspec.Struct):
    """A part that is durable: its number, its size in bytes, and its SHA-256."""

    n: int
    size: Size
    sha256: Sha256


class UploadDescription(msgspec.Struct, omit_defaults=True):
    """An upload in progress. `received` counts the bytes of its parts. Without any request it ends at `expires_at`."""

    upload: str
    received: Size
    created_at: datetime
    expires_at: datetime
    max_part_bytes: Size
    max_parts: int
    content_type: str
    id: str | None = None
    size: Size | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class UploadParts(UploadDescription):
    """An upload with its parts, in the order of their numbers. More follow after `next_after`, if that is there."""

    parts: list[PartDescription] = msgspec.field(default_factory=list)
    next_after: int | None = None


class UploadList(msgspec.Struct):
    """A page of uploads. `next_cursor` is null on the last one."""

    uploads: list[UploadDescription]
    next_cursor: str | None


def described(upload: MultipartUpload, max_bytes: int) -> UploadDescription:
    """Describe an upload. `max_bytes`: of a part."""
    return UploadDescription(
        upload=upload.key.value,
        received=upload.received,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        max_part_bytes=max_bytes,
        max_parts=MAX_PARTS,
        content_type=upload.properties.content_type,
        id=upload.id.value if upload.id else None,
        size=upload.size,
        metadata=dict(upload.properties.metadata),
    )


def part_description(part: Part) -> PartDescription:
    """Describe a part."""
    return PartDescription(part.number, part.size, part.digest.hex)
