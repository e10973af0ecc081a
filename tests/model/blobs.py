"""What each request has to do to a blob, said as simply as can be."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import permutations


@dataclass(frozen=True)
class Version:
    """The bytes of a blob, and its properties. Two have the same entity tag if, and only if, they are equal.

    `cuts`: the positions between the segments, if the blob was sent in parts.
    """

    data: bytes
    content_type: str = "application/octet-stream"
    metadata: tuple[tuple[str, str], ...] = ()
    expires_at: str | None = None
    cuts: tuple[int, ...] = ()

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def __repr__(self) -> str:
        more = [str(each) for each in (dict(self.metadata), self.expires_at, self.cuts) if each]
        return " ".join([f"{self.content_type} of {len(self.data)} bytes that begin with {self.data[:4]!r}", *more])


class Demand(Enum):
    """What a client demands of the current version."""

    NOTHING = "nothing"
    ABSENT = "If-None-Match: *"
    PRESENT = "If-Match: *"
    IS = "If-Match"
    IS_NOT = "If-None-Match"


@dataclass(frozen=True)
class Condition:
    """`version`: the one whose tag is named. None is a tag that no version has."""

    demand: Demand = Demand.NOTHING
    version: Version | None = None

    def holds(self, current: Version | None) -> bool:
        match self.demand:
            case Demand.NOTHING:
                return True
            case Demand.ABSENT:
                return current is None
            case Demand.PRESENT:
                return current is not None
            case Demand.IS:
                return current is not None and current == self.version
            case Demand.IS_NOT:
                return current is None or current != self.version


@dataclass(frozen=True)
class Post:
    version: Version

    def outcome(self, current: Version | None) -> tuple[int, Version | None]:
        """The status of the answer, and what there is then."""
        return (201, self.version) if current is None else (409, current)


@dataclass(frozen=True)
class Put:
    version: Version
    condition: Condition = Condition()

    def outcome(self, current: Version | None) -> tuple[int, Version | None]:
        if not self.condition.holds(current):
            return 412, current
        return (201 if current is None else 200), self.version


@dataclass(frozen=True)
class Delete:
    condition: Condition = Condition()

    def outcome(self, current: Version | None) -> tuple[int, Version | None]:
        if current is None:
            return 404, None
        return (204, None) if self.condition.holds(current) else (412, current)


Change = Post | Put | Delete
Outcome = tuple[tuple[int, ...], Version | None]


def in_some_order(changes: Sequence[Change], before: Version | None) -> Iterator[Outcome]:
    """All that may come of changes that are made at once: the status of each, and what there is then."""
    for order in permutations(range(len(changes))):
        current, statuses = before, dict[int, int]()
        for number in order:
            statuses[number], current = changes[number].outcome(current)
        yield tuple(statuses[number] for number in range(len(changes))), current


def listed(ids: Sequence[str], prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    """The ids and the common prefixes that a list has, each in order."""
    blobs, prefixes = [], dict[str, None]()
    for blob_id in sorted(ids, key=str.encode):
        if blob_id.startswith(prefix):
            end = blob_id.find(delimiter, len(prefix)) if delimiter else -1
            if end < 0:
                blobs.append(blob_id)
            else:
                prefixes[blob_id[: end + len(delimiter)]] = None
    return blobs, list(prefixes)
