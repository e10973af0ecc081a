"""What a verification is told to do, what it finds, and who is told of it meanwhile."""

from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Protocol

from application.ports.blob_store import BlobStore, Stored
from domain.blob import Blob, Location, ObjectKey
from domain.errors import BlobError

# Faults in a row, after each of which the next object might have been seen, until a storage is taken to be down.
PATIENCE = 20


class Defect(Enum):
    """What can be wrong. The value is the stable name that users see."""

    MISSING = "missing"
    """A blob whose object is not there."""
    DAMAGED = "damaged"
    """A blob whose object has another size or another SHA-256."""
    ORPHAN = "orphan"
    """An object that no blob, no upload and no garbage names, so that none ever will."""
    UNREADABLE = "unreadable"
    """A blob or an orphan that could not be looked at, or not be repaired: nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, unless it was `repaired`. `stored` is None where no object is, or none is known."""

    fault: Defect
    location: Location
    detail: str
    blob: Blob | None = None
    stored: Stored | None = None
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Repair:
    """Remove orphans written longer than `older_than` ago; if it is zero, also those of unknown age.

    `drop_missing`: remove the rows, too, of blobs whose objects are missing. Nothing is removed where the database and
    the storage may not belong together: where nothing is stored, or more than half of a sample are orphans, unless
    `even_if_most_are`; and where the objects of too many blobs are missing, unless `even_if_missing`.
    """

    older_than: timedelta
    drop_missing: bool = False
    even_if_most_are: bool = False
    even_if_missing: bool = False


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """`backends`: the names of those to verify, None for all. `deep`: read all bytes of all blobs."""

    backends: frozenset[str] | None = None
    deep: bool = False
    repair: Repair | None = None


@dataclass(slots=True)
class Counts:
    """What was seen of one backend. `bytes` is what its blobs should have, `missing` how many have no object.

    `unverified`: why part of it could not be verified. `not_repaired`: why nothing was repaired, or no more. `uploads`
    were in progress and `garbage` was to be deleted when it was done.
    """

    backend: str
    blobs: int = 0
    bytes: int = 0
    objects: int = 0
    missing: int = 0
    found: Counter[Defect] = field(default_factory=Counter)
    repaired: Counter[Defect] = field(default_factory=Counter)
    unverified: str = ""
    not_repaired: str = ""
    uploads: int = 0
    garbage: int = 0

    @property
    def wrong(self) -> int:
        """How many faults are left."""
        return sum((self.found - self.repaired).values()) - self.found[Defect.UNREADABLE]

    @property
    def verified(self) -> bool:
        """Whether all of it was looked at."""
        return not self.unverified and not self.found[Defect.UNREADABLE]


@dataclass(frozen=True, slots=True)
class Verified:
    """What came out, in the order of the backends' names. `stopped`: why the database could not be read to its end."""

    tallies: tuple[Counts, ...]
    stopped: str = ""

    @property
    def wrong(self) -> int:
        return sum(tally.wrong for tally in self.tallies)

    @property
    def complete(self) -> bool:
        return not self.stopped and all(tally.verified for tally in self.tallies)


class VerificationListener(Protocol):
    """Is told of what goes on, as it happens."""

    @abstractmethod
    def found(self, finding: Finding) -> None:
        """Something is wrong, or was and is repaired."""

    @abstractmethod
    def reached(self, step: str, key: ObjectKey) -> None:
        """All keys below this one are done in this step: as they are random, it tells how far it is."""


@dataclass(slots=True)
class BackendReport:
    """A backend under verification. `store` is None if it is not configured."""

    tally: Counts
    store: BlobStore | None
    watcher: VerificationListener
    repair: Repair | None = None
    held: list[Finding] = field(default_factory=list)
    """Blobs whose objects are missing, and whose rows may be dropped once it is known how many they are."""
    _faults_in_a_row: int = 0

    def refuse(self, reason: str) -> None:
        """Remove nothing there."""
        self.repair = None
        self.tally.not_repaired = reason

    def tell(self, finding: Finding) -> None:
        self.tally.found[finding.fault] += 1
        self.tally.repaired[finding.fault] += finding.repaired
        self.watcher.found(finding)

    def tell_held(self) -> None:
        """Report the findings that are held, as they are."""
        while self.held:
            self.tell(self.held.pop())

    def worked(self) -> None:
        self._faults_in_a_row = 0

    def failed(self, fault: BlobError) -> str:
        """Give up on the backend after too many faults in a row. Returns what to tell of this one."""
        self._faults_in_a_row += 1
        if self._faults_in_a_row == PATIENCE:
            self.give_up(fault)
        return f"It can't be looked at: {fault.detail}"

    def give_up(self, fault: BlobError) -> None:
        self.tally.unverified = fault.detail
