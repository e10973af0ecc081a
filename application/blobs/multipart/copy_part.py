"""Copy bytes of a blob as a part of an upload, without touching them: the part names an object that the blob has."""

from collections.abc import Callable
from dataclasses import dataclass

from application.authorize import authorize
from application.blobs.multipart.parts import check_number, check_takes_parts, discard_parts, put_part
from application.blobs.multipart.uploads import MultipartUploads
from application.ports.contents import ContentReader, Part
from application.ports.metadata import UnitOfWork
from domain.access import Action, Grant
from domain.blob import Blob, BlobId, ByteRange, Content, ObjectKey, Segment
from domain.checksums import Checksums
from domain.errors import RolledBack, UploadNotFound
from domain.precondition import Precondition


@dataclass(frozen=True, slots=True)
class CopiedPart:
    """The bytes of `source` in `byte_range`, None for all, as a part. The source must meet the `precondition`.

    `checksums`: returns the checksums of the part, None if they are unknown.
    """

    source: BlobId
    byte_range: ByteRange | None
    precondition: Precondition
    checksums: Callable[[Segment], Checksums | None]


@dataclass(frozen=True, slots=True)
class CopyPart:
    """Let a part name an object of another blob, if that has exactly the wanted bytes and known checksums.

    The object is shared from then on. Quotas do not count parts.
    """

    uploads: MultipartUploads
    contents: ContentReader

    async def __call__(self, grant: Grant, key: ObjectKey, number: int, new: CopiedPart, found: Blob) -> Part | None:
        """Add the part, and return it once it is recorded; a part of the same number is replaced. None: copy the bytes.

        `found`: the source as the caller knows it. Raises FORBIDDEN, NOT_FOUND and PRECONDITION_FAILED for the source,
        and what `MultipartUploads.write` raises.
        """
        authorize(grant, Action.READ, new.source)
        check_number(number)
        check_takes_parts(await self.uploads.find(grant, key))
        if await _object_of(self.contents, found, new) is None:  # most often, so no transaction is begun
            return None
        max_bytes = grant.max_bytes(self.uploads.max_bytes)
        return await self.uploads.uploads.commit(lambda work: self._copy(work, key, number, new, max_bytes))

    async def _copy(
        self, work: UnitOfWork, key: ObjectKey, number: int, new: CopiedPart, max_bytes: int
    ) -> Part | None:
        # In the order of a publication, which locks an upload and then the blob that it replaces.
        upload = await work.multipart.lock(key, self.uploads.lifetime)
        if upload is None:
            raise UploadNotFound(subject=key)
        source = await work.blobs.lock(new.source, new.precondition)
        if (found := await _object_of(work.contents, source, new)) is None:
            return None
        segment, checksums = found
        part = Part(number, segment.location, segment.size, segment.digest, checksums, is_shared=True)
        former = await put_part(work, upload, part, max_bytes)
        # Counts are locked in the order of their keys. A former part without one is not counted.
        is_first = former is not None and former.location.key < part.location.key
        if former is not None and is_first:
            await discard_parts(work, [former])
        await _share(work, source, segment)
        if former is not None and not is_first:
            await discard_parts(work, [former])
        return part


async def _object_of(contents: ContentReader, blob: Blob, new: CopiedPart) -> tuple[Segment, Checksums] | None:
    """Return the object that has exactly the wanted bytes, and the checksums for the part, if there are both."""
    content = blob.content
    wanted = (new.byte_range.start, new.byte_range.stop) if new.byte_range else (0, content.size)
    if content.segments:
        found = await contents.segments(content.key, wanted[0], 1)
    else:
        assert content.digest is not None
        found = [Segment(content.location, 0, content.size, content.digest, blob.checksums)]
    if not found or (found[0].start, found[0].stop) != wanted:
        return None
    checksums = new.checksums(found[0])
    return None if checksums is None else (found[0], checksums)


async def _share(work: UnitOfWork, source: Blob, segment: Segment) -> None:
    """Count one more name of the object. Raises ROLLED_BACK if it was moved since the segment was read."""
    if source.content.segments:
        shared: Segment | Content = await work.contents.share_segment(source.content.key, segment.start)
    else:
        shared = await work.contents.share(source)
    if shared.location != segment.location:
        raise RolledBack("The object has just been moved to another storage.")
