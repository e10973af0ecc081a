"""Ports to the rows of contents: the trash, segments, and uploads of several parts."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from domain.blob import Blob, BlobId, Content, Digest, Location, ObjectKey, Segment
from domain.checksums import Checksums
from domain.precondition import ANY, Precondition
from domain.properties import Properties


@dataclass(frozen=True, slots=True)
class Trashed:
    """A version that was deleted or replaced at `deleted_at`, and can be restored before `retained_until`, in UTC.

    `key` identifies it in the trash.
    """

    key: int
    blob: Blob
    deleted_at: datetime
    retained_until: datetime


class TrashReader(Protocol):
    """Reads the trash outside any unit of work: versions that can be restored."""

    @abstractmethod
    async def find(self, key: int) -> Trashed | None:
        """Return a version in the trash, or None."""

    @abstractmethod
    async def between(self, start: str, after: int, stop: str | None, limit: int) -> Sequence[Trashed]:
        """Return up to `limit` versions with ids from `start` up to but not including `stop`; None is the end.

        Versions of the id `start` have keys after `after`. The order is that of the ids' bytes, then of the keys.
        """


class TrashRepository(TrashReader, Protocol):
    """Versions that were deleted, replaced, or have expired. Their contents are kept until they are due."""

    @abstractmethod
    async def add(self, blob: Blob, retention: timedelta, grace: timedelta) -> None:
        """Add a version that was removed in this unit. It can be restored for `retention`, but not once it expires.

        Its content is kept as long, and for at least `grace`. The quota of its owner does not count it any more.
        """

    @abstractmethod
    async def move(self, ids: Sequence[BlobId], retention: timedelta, grace: timedelta) -> None:
        """Remove blobs that are locked in this unit, and add them, in a few statements.

        The quotas of their owners do not count them any more once the unit is committed, and no key is locked before.
        """

    @abstractmethod
    async def move_expired(self, limit: int, grace: timedelta) -> int:
        """Remove up to `limit` expired blobs, and add them as `move` does. Return their number.

        Skips rows that others change.
        """

    @abstractmethod
    async def remove(self, key: int) -> Trashed | None:
        """Remove a version that can be restored, and return it; None if there is none.

        The fence: of several concurrent units that remove one, one gets it.
        """

    @abstractmethod
    async def purge(self, key: int, grace: timedelta) -> bool:
        """Let a version not be restored, and its content be due `grace` from now. Return False if there is none."""

    @abstractmethod
    async def hold(self, content: ObjectKey, lease: timedelta) -> bool:
        """Keep what is being read for at least `lease` from now. Return False if nothing would delete it.

        That is a content of versions in the trash, or an object that is garbage and not due yet, because its bytes were
        moved to another storage.
        """

    @abstractmethod
    async def hold_each(self, contents: Sequence[ObjectKey], lease: timedelta) -> bool:
        """Keep several contents as `hold` does, in few statements. Return whether something would delete any."""

    @abstractmethod
    async def release(self, limit: int) -> int:
        """Remove up to `limit` versions whose contents are due, and return their number.

        Fewer if they have many segments. An object that has no other name becomes garbage, due now. Skips versions that
        another unit releases.
        """


class ContentReader(Protocol):
    """Reads segments outside any unit of work."""

    @abstractmethod
    async def segments(self, content: ObjectKey, position: int, limit: int) -> Sequence[Segment]:
        """Return up to `limit` segments, in their order, from the one that has the byte at `position`.

        Empty if there are none, or no longer. The cost depends on `limit`, not on the number of segments.
        """


@dataclass(frozen=True, slots=True)
class DigestJob:
    """A content of segments whose SHA-256 is not known yet.

    The first `hashed` bytes are done. `state` is that of the hash after them, if it was kept. `digest` is set once it
    is known: see `set_digest`.
    """

    content: ObjectKey
    hashed: int = 0
    state: bytes | None = None
    digest: Digest | None = None


class ContentRepository(ContentReader, Protocol):
    """Contents: lists of segments, and the numbers of names of what is shared.

    A list of segments is named by versions. An object is named by versions, by segments, and by parts of uploads.
    """

    @abstractmethod
    async def add(self, content: ObjectKey, segments: Sequence[Segment]) -> None:
        """Add the segments of a content, none of them empty, each starting where the one before it stops.

        Its SHA-256 is to be computed.
        """

    @abstractmethod
    async def share(self, blob: Blob) -> Content:
        """Count one more name of the content of `blob`, which is locked in this unit. Return that content.

        The name is a version or, if the content is one object, may be a part.
        """

    @abstractmethod
    async def share_segment(self, content: ObjectKey, start: int) -> Segment:
        """Count one more name of the object of the segment that starts at `start`. Return that segment.

        A version with this content is locked in this unit. That does not lock the segment, which this call does: its
        object may have been moved since it was read, and only the returned one has the new name.
        """

    @abstractmethod
    async def release(self, objects: Sequence[Location]) -> None:
        """Count one name less of shared objects, for each time that they are given.

        Objects without a name become garbage, due now. The counts are locked in the order of their keys. The
        caller removes the names in this unit.
        """

    @abstractmethod
    async def claim_digest(self, lease: timedelta) -> DigestJob | None:
        """Return a content whose SHA-256 is to be computed, or None. Others can claim it again after `lease`."""

    @abstractmethod
    async def keep_digest(self, job: DigestJob, lease: timedelta) -> bool:
        """Record progress, and renew the claim. Return False if the content is gone."""

    @abstractmethod
    async def set_digest(self, content: ObjectKey, digest: Digest, again_after: timedelta) -> None:
        """Record the SHA-256 of a content, in each version that has it.

        A unit that copies or removes such a version now may miss it. So the job, with the digest, is due again
        `again_after` from now, when those units have ended; if that is zero, the job ends.
        """


@dataclass(frozen=True, slots=True)
class Resumable:
    """The state of an upload whose bytes are appended, and which is published once they are complete.

    `precondition`: of the blob. `digest`: the SHA-256 of all bytes, if the client declared it. `max_bytes`: a limit of
    the caller's rights. `metadata`: as the client wrote it. `is_partial`: it is never published, but joined with others
    to a final upload, with the key `final`, which has the keys of its `partials`, in their order, and the text that
    named them, `joins`.
    """

    precondition: Precondition = ANY
    digest: Digest | None = None
    max_bytes: int | None = None
    metadata: str = ""
    is_partial: bool = False
    final: ObjectKey | None = None
    partials: tuple[ObjectKey, ...] = ()
    joins: str = ""


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """An upload of several parts, in progress until `expires_at`, which each part renews.

    `id` is None if the blob gets it only when the upload is published. `size`: the size in bytes that the sender
    declared, if any; `received`: the size of all parts. `blob_expires_in`, `blob_expires_at`: the blob's expiry.
    `checksum_algorithm`: the one that an S3 client chose for the checksums of the parts, and of the blob, which is
    composed of them if it `is_composite`; empty if it chose none. `resumable` is None for an upload whose parts are
    sent by number. `interruptions` counts the requests that ended a writer. `etag`: that of the blob that the upload
    has become; such an upload is kept for clients whose response was lost.
    """

    key: ObjectKey
    id: BlobId | None
    properties: Properties
    created_at: datetime
    expires_at: datetime
    size: int | None = None
    received: int = 0
    blob_expires_in: timedelta | None = None
    blob_expires_at: datetime | None = None
    checksum_algorithm: str = ""
    is_composite: bool = False
    resumable: Resumable | None = None
    interruptions: int = 0
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload: an object that is whole and durable. Parts are numbered from 1.

    `checksums`: of its bytes, if they came through the S3 interface. `written_at`: the time at which the part was
    added, in UTC, by the database's clock; None if an older Drivebay added it. `is_shared`: as in `Segment`.
    """

    number: int
    location: Location
    size: int
    digest: Digest
    checksums: Checksums | None = field(default=None, compare=False)
    written_at: datetime | None = field(default=None, compare=False)
    is_shared: bool = field(default=False, compare=False)


class MultipartReader(Protocol):
    """Reads uploads of several parts outside any unit of work. Expired ones are not found.

    Finished ones are found only by `find_any`.
    """

    @abstractmethod
    async def find(self, key: ObjectKey) -> MultipartUpload | None:
        """Return an upload, or None."""

    @abstractmethod
    async def find_any(self, key: ObjectKey) -> MultipartUpload | None:
        """Return an upload, or one that has become a blob, with an `etag` and without parts; or None."""

    @abstractmethod
    async def between(
        self, start: str, after: ObjectKey | None, stop: str | None, limit: int
    ) -> Sequence[MultipartUpload]:
        """Return up to `limit` uploads, in the order of their ids' bytes and then of their keys.

        Ids are from `start` up to but not including `stop`; uploads without an id have an empty one. Uploads of
        the id `start` have keys after `after`.
        """

    @abstractmethod
    async def parts(self, key: ObjectKey, after: int, limit: int) -> Sequence[Part]:
        """Return up to `limit` parts with numbers after `after`, in their order."""

    @abstractmethod
    async def in_progress(self, key: ObjectKey) -> frozenset[int]:
        """Return the numbers of the parts whose objects are being written."""


class MultipartRepository(MultipartReader, Protocol):
    """Uploads of several parts, and their parts."""

    @abstractmethod
    async def add(self, upload: MultipartUpload, lifetime: timedelta) -> MultipartUpload:
        """Add an upload that expires `lifetime` from now. Return it with its times."""

    @abstractmethod
    async def lock(self, key: ObjectKey, lifetime: timedelta) -> MultipartUpload | None:
        """Return an upload, and let it expire `lifetime` from now; None if there is none.

        Until the unit ends, no other one changes it.
        """

    @abstractmethod
    async def reserve(self, key: ObjectKey, number: int, location: Location, lease: timedelta) -> Sequence[Location]:
        """Add the upload of an object that is to be a part. Call `lock` first.

        Uploads of objects for the same part are ended, so that a part has one writer, and returned: they are garbage.
        """

    @abstractmethod
    async def update(self, upload: MultipartUpload) -> None:
        """Record another `size`, and what is `resumable`. Call `lock` first."""

    @abstractmethod
    async def interrupt(self, key: ObjectKey) -> None:
        """Count one interruption more."""

    @abstractmethod
    async def end_writers(self, key: ObjectKey) -> Sequence[Location]:
        """End the uploads of all objects that are to be parts, and return these: they are garbage."""

    @abstractmethod
    async def last_number(self, key: ObjectKey) -> int:
        """Return the highest number of a part; 0 if there is none."""

    @abstractmethod
    async def join(self, key: ObjectKey, partial: ObjectKey) -> None:
        """Append the parts of another upload, which has none then. Call `lock` for both first."""

    @abstractmethod
    async def finish(self, key: ObjectKey, etag: str, lifetime: timedelta) -> None:
        """Remove the rows of the parts, and keep the upload as finished for `lifetime`. Call `lock` first."""

    @abstractmethod
    async def put_part(self, key: ObjectKey, part: Part) -> Part | None:
        """Add a part, written now, and return the one that it replaces. Call `lock` first."""

    @abstractmethod
    async def remove(self, key: ObjectKey) -> bool:
        """Remove an upload and the rows of its parts. Return False if there is none."""

    @abstractmethod
    async def discard(self, key: ObjectKey) -> bool:
        """Remove an upload, in progress or finished. Return False if there is none.

        The objects of its parts become garbage, due now, unless they have other names.
        """

    @abstractmethod
    async def discard_expired(self, limit: int) -> int:
        """Discard up to `limit` expired uploads, and return their number. Fewer if they have many parts.

        Skips uploads that others change.
        """


class CommitRepository(Protocol):
    """Marks of committed units, by which the outcome of a lost commit is found out."""

    @abstractmethod
    async def add(self, key: ObjectKey) -> bool:
        """Add a mark. Return False if it is there.

        Of several concurrent units that add one, each waits for those before it: False means that one has committed,
        True that none will.
        """

    @abstractmethod
    async def remove_old(self, age: timedelta, limit: int) -> int:
        """Remove up to `limit` marks older than `age`, and return their number."""
