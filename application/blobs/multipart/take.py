"""End an upload in the transaction that publishes it: its parts become the segments of a content."""

import hashlib
from collections.abc import Callable, Sequence

from application.blobs.multipart.parts import LIFETIME, PAGE, check_takes_parts, discard_parts
from application.ports.contents import MultipartUpload, Part
from application.ports.metadata import UnitOfWork
from application.uploads.intake import too_large
from domain.blob import Content, Digest, Location, ObjectKey, Segment
from domain.checksums import Checksums
from domain.errors import InvalidParts, PartInProgress, UploadNotFound


async def take_upload(
    work: UnitOfWork,
    key: ObjectKey,
    numbers: Sequence[int] | None,
    max_bytes: int | None = None,
    *,
    checksums: Callable[[Sequence[Part]], Checksums] | None = None,
    ends_writers: bool = False,
    keeps_row: bool = False,
) -> tuple[MultipartUpload, Content, Checksums | None]:
    """End an upload in this unit. Return it, the content of its parts, which the caller publishes, and its checksums.

    `keeps_row`: it is resumable, and the caller finishes it.

    `numbers`: the parts to take, in ascending order; None for all, which must have the numbers from 1 on. Objects of
    other parts become garbage. `checksums` is called with the parts, as in `Put`. `ends_writers`: a writer
    that is replacing a part does not prevent this, and is refused at its end. Raises UPLOAD_NOT_FOUND, INVALID_PARTS,
    PART_IN_PROGRESS, and TOO_LARGE.
    """
    upload = await work.multipart.lock(key, LIFETIME)
    if upload is None:
        raise UploadNotFound(subject=key)
    if not keeps_row:
        check_takes_parts(upload)
    parts: list[Part] = []
    while page := await work.multipart.parts(key, parts[-1].number if parts else 0, PAGE):
        parts += page
    in_progress = await work.multipart.in_progress(key)
    if not ends_writers and (in_progress if numbers is None else in_progress.intersection(numbers)):
        raise PartInProgress(subject=key)
    chosen = _chosen(parts, numbers)
    of_whole = checksums(chosen) if checksums else None  # before anything is written, because it may refuse them
    content = _content(chosen, upload_key=key)
    if max_bytes is not None and content.size > max_bytes:
        raise too_large(max_bytes)
    if upload.size not in (None, content.size):
        detail = f"The parts have {content.size:,} bytes, and {upload.size:,} were declared for the upload."
        raise InvalidParts(detail, subject=key)
    if not keeps_row:
        await work.multipart.remove(key)
    kept = {part.number for part in _kept(chosen)}  # and not by their objects, which several parts may share
    await discard_parts(work, [part for part in parts if part.number not in kept])
    if content.segments:
        await work.contents.add(content.key, [*_segments(chosen)])
    return upload, content, of_whole


def _chosen(parts: Sequence[Part], numbers: Sequence[int] | None) -> Sequence[Part]:
    if numbers is None:
        numbers = range(1, max(len(parts), parts[-1].number if parts else 1) + 1)
    by_number = {part.number: part for part in parts}
    last = 0
    for number in numbers:
        if number <= last:
            raise InvalidParts(f"Part {number:,} comes after part {last:,}: list each part once, in ascending order.")
        if number not in by_number:
            raise InvalidParts(f"Part {number:,} is missing. Send it, or list the parts that make the blob.")
        last = number
    if not numbers:
        raise InvalidParts("A blob has at least one part. Send one; it may be empty.")
    return [by_number[number] for number in numbers]


def _kept(parts: Sequence[Part]) -> Sequence[Part]:
    """Return the parts whose objects become the content: all that have bytes, or the first if none has."""
    return [part for part in parts if part.size] or parts[:1]


def _content(parts: Sequence[Part], upload_key: ObjectKey) -> Content:
    """Return the content: one object if only one part has bytes, or none has. The key of a list is the upload's."""
    filled = _kept(parts)
    if len(filled) == 1:
        only = filled[0]
        return Content(only.location, only.size, only.digest, is_shared=only.is_shared)
    size = sum(part.size for part in filled)
    location = Location(filled[0].location.backend, upload_key)
    return Content(location, size, None, len(filled), composite_of([part.digest for part in filled]))


def composite_of(digests: Sequence[Digest]) -> Digest:
    """Return the digest of the digests of parts that have bytes."""
    return Digest(hashlib.sha256(b"".join(each.sha256 for each in digests)).digest())


def _segments(parts: Sequence[Part]) -> Sequence[Segment]:
    found, start = [], 0
    for part in parts:
        if part.size:
            found.append(Segment(part.location, start, part.size, part.digest, part.checksums, part.is_shared))
            start += part.size
    return found
