"""The parts of an upload: how many there may be, where they may be added, and what becomes of them."""

from collections.abc import Sequence
from datetime import timedelta

from application.ports.contents import MultipartUpload, Part
from application.ports.metadata import UnitOfWork
from application.uploads.intake import too_large
from application.uploads.lifecycle import discard_objects
from domain.errors import InvalidParts, OffsetMismatch

MAX_PARTS = 10_000
MAX_APPENDED = 100_000  # parts that are appended, each by a request of its own or as long as the client likes
FEW_PARTS = 100  # whose rows a database in this process changes in a few milliseconds, which all requests wait for
PAGE = 1000
LIFETIME = timedelta(days=1)


def check_number(number: int) -> None:
    """Raise INVALID_PARTS unless this may be the number of a part."""
    if not 1 <= number <= MAX_PARTS:
        raise InvalidParts(f"Parts have numbers from 1 to {MAX_PARTS:,}, not {number:,}.")


def check_takes_parts(upload: MultipartUpload) -> None:
    """Raise INVALID_PARTS for a resumable upload: its conditions are checked only by the way that resumes it."""
    if upload.resumable is not None:
        detail = "This upload is resumable: append by the protocol that began it, and its last bytes publish it. "
        raise InvalidParts(f"{detail}For parts and commits, begin another upload.", subject=upload.key)


def check_offset(upload: MultipartUpload, offset: int) -> None:
    """Raise OFFSET_MISMATCH unless an upload has received `offset` bytes."""
    if offset != upload.received:
        detail = f"The bytes start at {offset:,}, and the upload has {upload.received:,}. Go on from there."
        raise OffsetMismatch(detail, subject=upload.key)


async def put_part(work: UnitOfWork, upload: MultipartUpload, part: Part, max_bytes: int) -> Part | None:
    """Add a part to an upload that is locked. Return the one that it replaces, which the caller discards.

    Raises TOO_LARGE and INVALID_PARTS.
    """
    former = await work.multipart.put_part(upload.key, part)
    size = upload.received + part.size - (former.size if former else 0)
    if size > max_bytes:
        raise too_large(max_bytes)
    if upload.size is not None and size > upload.size:
        detail = f"The parts have {size:,} bytes, more than the {upload.size:,} declared for the upload."
        raise InvalidParts(detail, subject=upload.key)
    return former


async def discard_parts(work: UnitOfWork, parts: Sequence[Part]) -> None:
    """Make the objects of parts that will not be published garbage, unless they have other names."""
    if own := [part.location for part in parts if not part.is_shared]:
        await discard_objects(work, own)
    if shared := [part.location for part in parts if part.is_shared]:
        await work.contents.release(shared)
