"""Ports to the rows that name objects, for moves of objects from one storage to another."""

from abc import abstractmethod
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Protocol

from domain.blob import Digest, Location, ObjectKey


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that rows name. `size` is in bytes. `is_whole`: it was found as a version, not as a segment or part."""

    location: Location
    size: int
    digest: Digest
    is_whole: bool = True
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class MovePlace:
    """A place in the list of all names: the number of a table, and the last key that was read there."""

    table: int
    key: str


@dataclass(frozen=True, slots=True)
class MovePage:
    """Objects, and the place after which further ones may come; None at the end."""

    objects: Sequence[StoredObject]
    next: MovePlace | None


class Claim(Enum):
    """Outcomes of a claim."""

    CLAIMED = "claimed"
    BUSY = "busy"
    """Another copy of the object is in progress, or its writer died and its lease has not expired yet."""
    GONE = "gone"
    """Nothing names the object any more."""


class MoveReader(Protocol):
    """Reads the names of objects outside any unit of work."""

    @abstractmethod
    async def page(
        self, sources: Set[str], start: str, stop: str | None, after: MovePlace | None, limit: int
    ) -> MovePage:
        """Return the objects on the storages `sources` among the next `limit` names: each object once in a page.

        Only objects with a name that belongs to an id from `start` up to but not including `stop`; None is the end.
        The id of a segment is that of a version with its list, and the id of a part that of its upload. Versions in
        the trash that can't be restored any more have no objects here. Names that are added, removed or moved between
        two pages may be missed, so callers read again from the start until nothing is left. The cost depends on
        `limit`, not on the number of rows, and a page without objects may have further ones after it.
        """

    @abstractmethod
    async def is_named(self, location: Location) -> bool:
        """Return whether a version, a segment or a part names the object."""


class MoveRepository(MoveReader, Protocol):
    """Claims and switches of objects that are moved."""

    @abstractmethod
    async def claim(self, old: Location, new: Location, lease: timedelta) -> Claim:
        """Add an upload to `new`, which is to be a copy of `old`, with a lease that expires `lease` from now.

        Add nothing unless `old` is named and no other copy of it has a lease. Of several units that claim one object,
        one gets it.
        """

    @abstractmethod
    async def switch(self, old: Location, new: Location, grace: timedelta) -> bool:
        """Let every row that names `old` name `new` instead, and nothing else change. Return False if there is none.

        All names switch, those that other units add now included: afterwards nothing names `old`, which is garbage and
        due `grace` from now. Its count of names becomes that of `new`. The backend of a list of segments is that of
        its first segment. The caller ends the upload of `new` in this unit.
        """


def copy_mark(key: ObjectKey) -> tuple[ObjectKey, int]:
    """Return the key and the number that mark the upload of a copy of this object. Parts have numbers from 1."""
    return key, 0
