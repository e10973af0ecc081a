"""The port to the database of blobs. Its commit is the only commit point of Drivebay."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from application.ports.buckets import BucketRepository
from application.ports.contents import CommitRepository, ContentRepository, MultipartRepository, TrashRepository
from application.ports.keys import KeyRepository
from application.ports.moves import MoveRepository
from application.ports.shares import ShareRepository
from application.ports.verifications import VerificationRepository
from domain.blob import Blob, BlobId, Draft, Location, ObjectKey
from domain.errors import NotFound
from domain.precondition import Precondition


def common_prefix(blob_id: str, prefix: str, delimiter: str) -> str | None:
    """Return the id up to the first `delimiter` after `prefix`; None if there is no delimiter."""
    end = blob_id.find(delimiter, len(prefix))
    return None if end < 0 else blob_id[: end + len(delimiter)]


class BlobReader(Protocol):
    """Reads blobs outside any unit of work. Each call sees everything committed before it, and nothing else.

    An expired blob is not found, from the second of its expiry on, by the database's clock.
    """

    @abstractmethod
    async def find(self, blob_id: BlobId) -> Blob | None:
        """Return the current version with the time of the reading (`read_at`), or None if there is no such blob."""

    async def get(self, blob_id: BlobId) -> Blob:
        """Return what `find` returns. Raises NOT_FOUND instead of None."""
        if (blob := await self.find(blob_id)) is None:
            raise NotFound(subject=blob_id)
        return blob

    @abstractmethod
    async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
        """Return up to `limit` blobs with ids from `start` up to but not including `stop`; None is the end.

        The order is that of the ids' bytes in UTF-8, and so of their code points. The cost depends on `limit`, not on
        the number of blobs.
        """

    @abstractmethod
    async def rolled_up(
        self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
    ) -> Sequence[Blob | str]:
        """Return blobs as `between` does, but a `common_prefix` once in place of all blobs that share it.

        Callers ensure that all ids in the range begin with `prefix`, and that `delimiter` is not empty. The cost
        depends on `limit`, not on the number of blobs, with one common prefix or in all. Changes that are committed
        during the call may be seen or not.
        """

    @abstractmethod
    async def count(self, start: str, stop: str | None, limit: int) -> int:
        """Return the number of blobs with ids from `start` up to but not including `stop`, but at most `limit`."""

    @abstractmethod
    async def by_content(self, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
        """Return up to `limit` blobs on all backends, in the order of their contents' keys and their ids.

        The first one comes after the key and the id in `after`. Expired blobs are included. The cost depends on
        `limit`, not on the number of blobs.
        """


@dataclass(frozen=True, slots=True)
class Published:
    """A published blob, and the version whose row it took, if there was one: it may have expired."""

    blob: Blob
    former: Blob | None

    @property
    def replaced(self) -> Blob | None:
        """The version that readers saw until then, if there was one."""
        return None if self.former is None or self.former.has_expired else self.former


class BlobRepository(BlobReader, Protocol):
    """The current versions of all blobs, at most one per id. Ids are compared by their bytes in UTF-8."""

    @abstractmethod
    async def put(self, draft: Draft, precondition: Precondition) -> Published:
        """Make `draft` the current version of its id if `precondition` holds.

        Its time is that of the database (see `Draft.published`), read after every earlier version was replaced or
        deleted: a version without a predecessor is not older than any that was ever read. Of several concurrent units
        that put one id, each sees the outcome of those that commit before it.
        Raises ALREADY_EXISTS or PRECONDITION_FAILED; the unit of work stays usable.
        """

    @abstractmethod
    async def lock(self, blob_id: BlobId, precondition: Precondition) -> Blob:
        """Return the blob if `precondition` holds. Until the unit ends, no other one changes or removes it.

        Raises NOT_FOUND or PRECONDITION_FAILED; the unit of work stays usable.
        """

    @abstractmethod
    async def lock_each(self, ids: Sequence[BlobId]) -> Sequence[Blob]:
        """Return the blobs with these ids, as far as they exist, in the order of their ids' bytes, in few statements.

        Until the unit ends, no other one changes or removes them. They are locked in that order, so units that lock
        blobs only by calls of this method never wait for each other in a circle.
        """

    @abstractmethod
    async def lock_between(self, start: str, stop: str | None, limit: int) -> Sequence[BlobId]:
        """Return the ids of up to `limit` blobs as `between` does. Until the unit ends, no other one changes them."""

    @abstractmethod
    async def lock_expired_targets(
        self, start: str, stop: str | None, from_prefix: str, to_prefix: str
    ) -> Sequence[BlobId]:
        """Return the ids of expired blobs that are in the way of `move_between` with the same arguments.

        Until the unit ends, no other one changes them. Skips rows that others change.
        """

    @abstractmethod
    async def move_between(self, start: str, stop: str | None, from_prefix: str, to_prefix: str) -> int:
        """Replace `from_prefix`, with which all ids in the range begin, by `to_prefix`. Return the number of blobs.

        They keep all else, also `created_at`. Raises ALREADY_EXISTS if a target is in use, unless it is moved too,
        INVALID_ID if one would be empty or too long, and ROLLED_BACK if an expired blob has one: before,
        move the blobs that `lock_expired_targets` returns to the trash.
        """

    @abstractmethod
    async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
        """Remove the blob if `precondition` holds, and return the version that it had.

        Of several concurrent units that remove one blob, one succeeds. Raises NOT_FOUND or PRECONDITION_FAILED; the
        unit of work stays usable.
        """


class UploadRepository(Protocol):
    """Uploads: objects that are being written, each with a lease that expires by the database's clock."""

    @abstractmethod
    async def add(self, location: Location, lease: timedelta) -> None:
        """Add the upload of an object, with a lease that expires `lease` from now."""

    @abstractmethod
    async def renew(self, key: ObjectKey, lease: timedelta) -> bool:
        """Let the lease expire `lease` from now. Return False if the upload has ended."""

    @abstractmethod
    async def remove(self, key: ObjectKey) -> bool:
        """End the upload. Return False if it had ended.

        The fence: of several units that remove one upload, one gets True.
        """

    @abstractmethod
    async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
        """End up to `limit` uploads to `backend` whose lease has expired, the oldest first, and return them.

        Uploads that another unit is removing are skipped, without a wait.
        """


@dataclass(frozen=True, slots=True)
class Garbage:
    """An object that no blob names. It is deleted `deletes` more times, with a pause between them."""

    location: Location
    deletes: int = 1


DOUBLINGS = 6


class GarbageRepository(Protocol):
    """Objects to be deleted, each due at a time of the database's clock."""

    @abstractmethod
    async def add(self, garbage: Garbage, after: timedelta) -> None:
        """Add an object, due `after` from now.

        If it is there already, because its key was used again, it is replaced, and its claims no longer count.
        """

    @abstractmethod
    async def add_each(self, garbage: Sequence[Garbage], after: timedelta) -> None:
        """Do the same for many objects at once."""

    @abstractmethod
    async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
        """Claim up to `limit` due objects on `backend`, the oldest first, and return them.

        Others can claim them again after `lease`; after twice that if an earlier claim had failed, and so on up to
        `2 ** DOUBLINGS` times. So attempts at an object that can't be deleted become rare, and an object whose claimer
        died is claimed again.
        """

    @abstractmethod
    async def deleted(self, garbage: Sequence[Garbage], again_after: timedelta) -> None:
        """Record that each object was deleted once. Remove it, or let it be due again if deletes are left."""

    @abstractmethod
    async def unclaim(self, garbage: Sequence[Garbage]) -> None:
        """Undo claims of objects that nobody tried to delete. They are due now, and the claims do not count.

        Objects that were deleted since are left alone.
        """


class ObjectRepository(Protocol):
    """Small objects of the storage that keeps its bytes in this database."""

    @abstractmethod
    async def add(self, key: ObjectKey, data: bytes) -> bool:
        """Add an object, with all its bytes: up to 256 KiB. Return False if there is one, and do not touch it.

        The storage reads and deletes it as one of its own, once the unit is committed. Of several concurrent units that
        add one key, each waits for those before it: False means that one has committed, True that none will.
        """


@dataclass(frozen=True, slots=True)
class Backlog:
    """The reaper's backlog on one backend.

    `uploads`: the number of uploads in progress, including those of dead writers until their leases expire. `garbage`:
    the number of objects to be deleted. `due`: those that are due, for up to `overdue`.
    """

    backend: str
    uploads: int
    garbage: int
    due: int
    overdue: timedelta


@dataclass(frozen=True, slots=True)
class KnownStorage:
    """The markers by which a database recognises a storage. Each is the key of a small object there.

    `identity` identifies the storage. `epoch` identifies the database that deletes there, which replaces it about once
    per `interval`, so a copy of the database names a deleted one. `next` is an epoch that is being written. `former` is
    a marker that is no longer valid and is being deleted.
    """

    backend: str
    identity: ObjectKey
    epoch: ObjectKey
    interval: timedelta
    next: ObjectKey | None = None
    former: ObjectKey | None = None

    @property
    def keys(self) -> Set[ObjectKey]:
        """The keys of all markers: current, former and next."""
        return {self.identity, self.epoch} | {key for key in (self.next, self.former) if key is not None}


class StorageRepository(Protocol):
    """The storages that the database knows."""

    @abstractmethod
    async def add(self, known: KnownStorage) -> bool:
        """Add a storage, unless its name is known. Return whether it was added.

        Of several units that add one name, one succeeds.
        """

    @abstractmethod
    async def replace(self, known: KnownStorage, new: KnownStorage) -> bool:
        """Replace `known` by `new` if its markers still apply. Return whether they did.

        Of several units that replace the same, one succeeds.
        """

    @abstractmethod
    async def replace_if_due(self, known: KnownStorage, new: KnownStorage) -> bool:
        """Replace `known` as above, if its interval has passed since the last such call, or since it was added.

        The database's clock decides. A last call in the future counts as passed: the clock was set back.
        """


DATABASE = "database"
"""The name of the storage that keeps its bytes in the database of the rows."""

BlobAndBytesReader = Callable[[BlobId], Awaitable[tuple[Blob, bytes | None] | None]]
"""Returns what `BlobReader.find` does and, read at the same moment, the bytes of the blob.

Those are None unless the blob is on DATABASE, has up to 64 KiB, and its object has the blob's size.
"""

KnownStorageReader = Callable[[str], Awaitable[KnownStorage | None]]
"""Returns the markers of the storage with this name, outside any unit of work; None if it has none yet."""

BacklogReader = Callable[[], Awaitable[Sequence[Backlog]]]
"""Returns the backlog of each backend that has one, in the order of their names, outside any unit of work.

The cost is that of counting the rows.
"""

DigestBacklogReader = Callable[[], Awaitable[int]]
"""Returns the number of contents whose SHA-256 is still to be computed, outside any unit of work."""

ExpiredReader = Callable[[timedelta], Awaitable[bool]]
"""Returns whether there are expired blobs or uploads of several parts, due contents in the trash, or marks of commits
older than this time. Reads outside any unit of work.
"""

NamedReader = Callable[[str, Sequence[ObjectKey]], Awaitable[Set[ObjectKey]]]
"""Returns which of the keys on a backend a row names as an object, outside any unit of work.

The row may be of a blob, of the trash, a segment, a part, an upload, garbage or a marker.

All tables are read at one moment, so an object that moves between them is always named. A written object that nothing
names will never be named, because publishing must find its upload.
"""


class UnitOfWork(Protocol):
    """Changes that happen together or not at all.

    Every call in a unit may raise ROLLED_BACK, for the sake of another unit. Then the unit may be run again.

    Callers keep units short, and never wait for a blob's bytes, a client or another unit inside one.
    """

    blobs: BlobRepository
    uploads: UploadRepository
    garbage: GarbageRepository
    storages: StorageRepository
    objects: ObjectRepository
    trash: TrashRepository
    contents: ContentRepository
    multipart: MultipartRepository
    moves: MoveRepository
    commits: CommitRepository
    keys: KeyRepository
    shares: ShareRepository
    buckets: BucketRepository
    verifications: VerificationRepository

    @abstractmethod
    async def commit(self) -> None:
        """Make the changes durable and visible, all at once. The last call in a unit.

        A cancellation does not interrupt a commit. Raises COMMIT_UNKNOWN if the connection was lost; after any other
        error, such as QUOTA_EXCEEDED, nothing was changed.
        """


class UnitOfWorkFactory(Protocol):
    """Opens units of work. A unit that was not committed changes nothing."""

    @abstractmethod
    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open a unit. Entering it and all calls in it raise UNAVAILABLE or TIMEOUT if the database can't be used.

        Leaving it without a commit raises ROLLED_BACK if it has seen changes of another unit that then failed.
        """


KeySource = Callable[[], ObjectKey]
