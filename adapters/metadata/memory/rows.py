"""The rows, each kind in a dictionary."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from adapters.metadata.memory.changes import Changes
from application.ports.contents import DigestJob, MultipartUpload, Part, Trashed
from application.ports.metadata import Garbage, KnownStorage
from application.ports.verifications import Verification
from domain.access import AccessKey, Share
from domain.blob import Blob, BlobId, Content, Location, ObjectKey, Segment
from domain.buckets import Bucket


@dataclass(frozen=True, slots=True)
class Writing:
    """An object that is being written; as a part of an upload, if `part` has the upload's key and a number."""

    location: Location
    expires_at: datetime
    part: tuple[ObjectKey, int] | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    garbage: Garbage
    due_at: datetime
    claims: int = 0


@dataclass(frozen=True, slots=True)
class InTrash:
    version: Trashed
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows. `segments` and `parts` are in their order, and `shared` counts the names of contents and objects."""

    blobs: dict[BlobId, Blob] = field(default_factory=dict)
    uploads: dict[ObjectKey, Writing] = field(default_factory=dict)
    garbage: dict[ObjectKey, Claimed] = field(default_factory=dict)
    storages: dict[str, tuple[KnownStorage, datetime]] = field(default_factory=dict)
    objects: dict[ObjectKey, bytes] = field(default_factory=dict)
    trash: dict[int, InTrash] = field(default_factory=dict)
    segments: dict[ObjectKey, tuple[Segment, ...]] = field(default_factory=dict)
    shared: dict[ObjectKey, int] = field(default_factory=dict)
    digests: dict[ObjectKey, tuple[DigestJob, datetime]] = field(default_factory=dict)
    multipart: dict[ObjectKey, MultipartUpload] = field(default_factory=dict)
    parts: dict[tuple[ObjectKey, int], Part] = field(default_factory=dict)
    commits: dict[ObjectKey, datetime] = field(default_factory=dict)
    keys: dict[str, AccessKey] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    verifications: dict[str, Verification] = field(default_factory=dict)
    trash_keys: Iterator[int] = field(default_factory=lambda: count(1))


class Tables:
    """The rows with the uncommitted changes of a unit."""

    def __init__(self, rows: Rows) -> None:
        self.blobs = Changes(rows.blobs)
        self.uploads = Changes(rows.uploads)
        self.garbage = Changes(rows.garbage)
        self.storages = Changes(rows.storages)
        self.objects = Changes(rows.objects)
        self.trash = Changes(rows.trash)
        self.segments = Changes(rows.segments)
        self.shared = Changes(rows.shared)
        self.digests = Changes(rows.digests)
        self.multipart = Changes(rows.multipart)
        self.parts = Changes(rows.parts)
        self.commits = Changes(rows.commits)
        self.keys = Changes(rows.keys)
        self.shares = Changes(rows.shares)
        self.buckets = Changes(rows.buckets)
        self.verifications = Changes(rows.verifications)
        self.trash_keys = rows.trash_keys

    def apply(self) -> None:
        for changes in vars(self).values():
            if isinstance(changes, Changes):
                changes.apply()

    def add_name(self, key: ObjectKey) -> None:
        """Count one more name of a content or an object."""
        self.shared.set(key, (self.shared.get(key) or 1) + 1)

    def is_last(self, key: ObjectKey) -> bool:
        """Count one name less of a shared content or object, and return whether that was the last one."""
        left = (self.shared.get(key) or 0) - 1
        self.shared.set(key, left or None)
        return left == 0

    def release(self, named: Iterable[Segment | Part], now: datetime) -> None:
        """Let the objects of segments or parts be garbage, due now, unless they have other names."""
        for each in named:
            if not each.is_shared or self.is_last(each.location.key):
                self.garbage.set(each.location.key, Claimed(Garbage(each.location), now))

    def reclaim(self, content: Content, now: datetime) -> None:
        """Let the objects of a content, which no version has, be garbage, due now, unless they have other names."""
        segments = self.segments.get(content.key) if content.segments else None
        if segments is None:
            self.garbage.set(content.key, Claimed(Garbage(content.location), now))
        else:
            self.release(segments, now)
        self.segments.set(content.key, None)
        self.digests.set(content.key, None)
