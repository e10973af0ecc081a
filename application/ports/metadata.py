"""The port to the database that says which blobs there are. Its commit is the one commit point of Drivebay."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from domain.blob import Blob, BlobId, Draft, Location, ObjectKey
from domain.errors import NotFound
from domain.precondition import Precondition


def common_prefix(blob_id: str, prefix: str, delimiter: str) -> str | None:
    """The part of an id that ends with the first `delimiter` behind `prefix`. None if there is none there."""
    end = blob_id.find(delimiter, len(prefix))
    return None if end < 0 else blob_id[: end + len(delimiter)]


class BlobReader(Protocol):
    """Looks into the blobs outside any unit of work. Each call sees all that was committed before it, and no more."""

    @abstractmethod
    async def find(self, blob_id: BlobId) -> Blob | None:
        """Return the current version with the time of the reading (`read_at`), or None if there is no such blob."""

    async def get(self, blob_id: BlobId) -> Blob:
        """Return what `find` returns. Raises NOT_FOUND instead of None."""
        if (blob := await self.find(blob_id)) is None:
            raise NotFound("There is no blob with this id.", subject=blob_id)
        return blob

    @abstractmethod
    async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
        """Up to `limit` blobs whose ids lie from `start` up to but not including `stop`, or the end of all ids.

        They come in the order of their ids' bytes in UTF-8, which is that of their code points. What it costs depends
        on `limit`, and not on how many blobs there are.
        """

    @abstractmethod
    async def rolled_up(
        self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
    ) -> Sequence[Blob | str]:
        """As `between`, but blobs whose ids have one `common_prefix` are rolled up: that stands for them, once.

        Callers see to it that all ids there begin with `prefix`, and that `delimiter` is not empty. What it costs
        depends on `limit`, and not on how many blobs there are, with one common prefix or in all. What is committed
        meanwhile it may see or not.
        """

    @abstractmethod
    async def by_key(self, after: ObjectKey | None, limit: int) -> Sequence[Blob]:
        """Up to `limit` blobs, on all backends, in the order of their object keys, behind `after`.

        What it costs depends on `limit`, and not on how many blobs there are.
        """


@dataclass(frozen=True, slots=True)
class Published:
    """A blob as it was published, and the version that it `replaced`, if there was one."""

    blob: Blob
    replaced: Blob | None


class BlobRepository(BlobReader, Protocol):
    """The blobs: for each id at most one version, the current one. Ids are compared by their bytes in UTF-8."""

    @abstractmethod
    async def put(self, draft: Draft, precondition: Precondition) -> Published:
        """Make `draft` the current version of its id if `precondition` holds.

        It is published at the time of the database (see `Draft.published`), read after every version before it was
        replaced or deleted: a version without a predecessor is not older than any that was ever read.
        Of several units that put one id at the same time, each sees the outcome of those that commit before it.
        Raises ALREADY_EXISTS or PRECONDITION_FAILED; the unit of work stays usable.
        """

    @abstractmethod
    async def remove(self, blob_id: BlobId, precondition: Precondition) -> Blob:
        """Take the blob away if `precondition` holds, and return the version that it had.

        Of several units that remove one blob, one is given it. Raises NOT_FOUND or PRECONDITION_FAILED; the unit of
        work stays usable.
        """


class UploadRepository(Protocol):
    """Objects that are being written. Each has a lease that ends at a time of the database's clock."""

    @abstractmethod
    async def add(self, location: Location, lease: timedelta) -> None:
        """Note that an object is about to be written, for `lease` from now."""

    @abstractmethod
    async def renew(self, key: ObjectKey, lease: timedelta) -> bool:
        """Let the lease end `lease` from now. False if the upload is not there any more."""

    @abstractmethod
    async def remove(self, key: ObjectKey) -> bool:
        """Take the upload away. False if it was not there any more.

        This is the fence: of several units that remove one upload, one is told True.
        """

    @abstractmethod
    async def remove_expired(self, backend: str, limit: int) -> Sequence[Location]:
        """Take away up to `limit` uploads to `backend` whose lease has ended, those first that have waited longest.

        None that is being removed by another unit is waited for, nor given to both.
        """


@dataclass(frozen=True, slots=True)
class Garbage:
    """An object that no blob names, to be deleted `deletes` more times, apart in time."""

    location: Location
    deletes: int = 1


DOUBLINGS = 6


class GarbageRepository(Protocol):
    """Objects to be deleted, each from a time on, by the database's clock."""

    @abstractmethod
    async def add(self, garbage: Garbage, after: timedelta) -> None:
        """Note an object for deletion, `after` from now."""

    @abstractmethod
    async def hold(self, key: ObjectKey, lease: timedelta) -> bool:
        """Let an object be due no earlier than `lease` from now, as somebody reads it. False if nothing was held.

        So it is for an object that is not garbage, and for one that was claimed: that may be deleted at any moment.
        """

    @abstractmethod
    async def claim(self, backend: str, limit: int, lease: timedelta) -> Sequence[Garbage]:
        """Up to `limit` objects on `backend` that are due, those first that have waited longest.

        Nobody else is given them before `lease` has passed; twice that if they were claimed before in vain, and so on
        up to `2 ** DOUBLINGS` times. So an object that can't be deleted is tried more and more seldom, and one whose
        claimer died comes back.
        """

    @abstractmethod
    async def deleted(self, garbage: Sequence[Garbage], again_after: timedelta) -> None:
        """Note that each object was deleted once: forget it, or let it be due again if deletes are left."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What lies before the reaper on one backend.

    `uploads` are under way, or their writers died, which shows when their leases end. `garbage` is all objects that are
    to be deleted; those that are `due` have waited for up to `overdue`.
    """

    backend: str
    uploads: int
    garbage: int
    due: int
    overdue: timedelta


@dataclass(frozen=True, slots=True)
class KnownStorage:
    """The markers by which a database recognises a storage. Each is the key of a small object there.

    `identity` says which storage it is. `epoch` says which database deletes there: that database replaces it about
    once an `interval`, so a copy of the database names one that is gone. `next` is an epoch that is being written.
    `former` is a marker that is no longer valid and is being deleted.
    """

    backend: str
    identity: ObjectKey
    epoch: ObjectKey
    interval: timedelta
    next: ObjectKey | None = None
    former: ObjectKey | None = None

    @property
    def keys(self) -> Set[ObjectKey]:
        """The keys of all objects that these markers are, were or will be."""
        return {self.identity, self.epoch} | {key for key in (self.next, self.former) if key is not None}


class StorageRepository(Protocol):
    """The storages that the database knows."""

    @abstractmethod
    async def add(self, known: KnownStorage) -> bool:
        """Remember a storage, unless one with its name is known; return whether none was.

        Of several units that add one name, one succeeds.
        """

    @abstractmethod
    async def replace(self, known: KnownStorage, new: KnownStorage) -> bool:
        """Remember `new` if the markers of `known` still apply; return whether they did.

        Of several units that replace the same, one succeeds.
        """

    @abstractmethod
    async def replace_if_due(self, known: KnownStorage, new: KnownStorage) -> bool:
        """Do the same if the interval of `known` has passed since the last such call, or since the storage was added.

        The database's clock decides. A last time that lies in the future, because the clock was set back, is past.
        """


KnownStorageReader = Callable[[str], Awaitable[KnownStorage | None]]
"""Returns the markers of the storage with this name, outside any unit of work. None if it has none yet."""

BacklogReader = Callable[[], Awaitable[Sequence[Backlog]]]
"""Tells of each backend that has a backlog, in the order of their names, outside any unit of work.

It costs as much as it counts.
"""

NamedReader = Callable[[str, Sequence[ObjectKey]], Awaitable[Set[ObjectKey]]]
"""Tells which of these keys on a backend are named by a blob, an upload, garbage or a marker, outside any unit of work.

It looks at all of them at one moment: an object that moves from one to the next is always named. One that was written
and is not named never will be again, for publishing must find the upload.
"""


class UnitOfWork(Protocol):
    """Changes that happen together or not at all.

    Every call in a unit may raise ROLLED_BACK, if the unit was in the way of another one. Then it may be run again.

    Callers keep it short: none waits for the bytes of a blob, for a client or for another unit inside one.
    """

    blobs: BlobRepository
    uploads: UploadRepository
    garbage: GarbageRepository
    storages: StorageRepository

    @abstractmethod
    async def commit(self) -> None:
        """Make the changes durable and visible, all at once. The last call in a unit.

        A cancellation does not split it: the commit runs to its end first. Raises COMMIT_UNKNOWN if the connection was
        lost on the way; after any other error nothing was changed.
        """


class UnitOfWorkFactory(Protocol):
    """Opens units of work. Leaving one that was not committed changes nothing."""

    @abstractmethod
    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A new unit. Entering and every call in it raise UNAVAILABLE or TIMEOUT if the database can't be used now."""


KeySource = Callable[[], ObjectKey]
