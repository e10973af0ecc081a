"""The report of a verification: its options, findings and counts."""

from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Protocol

from application.ports.blob_store import BlobStore, Stored
from domain.blob import Blob, Location, ObjectKey
from domain.errors import BlobError

# Errors in a row after which a storage is considered down.
PATIENCE = 20


class Defect(Enum):
    """Kinds of defects. The value is the stable name that users see."""

    MISSING = "missing"
    """A blob without its object."""
    DAMAGED = "damaged"
    """A blob whose object has another size or another SHA-256."""
    ORPHAN = "orphan"
    """An object that no blob, upload or garbage names, so that none ever will."""
    UNREADABLE = "unreadable"
    """A blob or an orphan whose state is unknown, because the storage failed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A defect, which may have been `repaired`. `stored` is None without an object, or if it is unknown."""

    defect: Defect
    location: Location
    detail: str
    blob: Blob | None = None
    stored: Stored | None = None
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Repair:
    """Options of a repair: remove orphans written longer than `older_than` ago; if zero, also those of unknown age.

    `drop_missing`: also remove the rows of blobs whose objects are missing. Nothing is removed if the database and the
    storage may not belong together: if nothing is stored or more than half of a sample are orphans, unless
    `even_if_most_are`; or if the objects of too many blobs are missing, unless `even_if_missing`.
    """

    older_than: timedelta
    drop_missing: bool = False
    even_if_most_are: bool = False
    even_if_missing: bool = False


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """Options of a verification. `backends`: names, or None for all. `deep`: read all bytes of all blobs."""

    backends: frozenset[str] | None = None
    deep: bool = False
    repair: Repair | None = None


@dataclass(slots=True)
class Counts:
    """Counts of one backend. `bytes` is the expected size of its blobs, `missing` the number of missing objects.

    `unverified`: why part of it could not be verified. `not_repaired`: why nothing was repaired, or no more. `uploads`
    and `garbage`: the backlog at the end of the verification.
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
        """The number of defects that are left. Unreadable objects are no such defects: see `verified`."""
        return sum((self.found - self.repaired).values()) - self.found[Defect.UNREADABLE]

    @property
    def verified(self) -> bool:
        """Whether the whole backend was verified."""
        return not self.unverified and not self.found[Defect.UNREADABLE]


@dataclass(frozen=True, slots=True)
class Verified:
    """The result, in the order of the backends' names. `stopped`: why the database could not be read to its end.

    `not_recorded`: why the database has no record of this verification.
    """

    counts: tuple[Counts, ...]
    stopped: str = ""
    not_recorded: str = ""

    @property
    def wrong(self) -> int:
        return sum(counts.wrong for counts in self.counts)

    @property
    def complete(self) -> bool:
        return not self.stopped and all(counts.verified for counts in self.counts)


class VerificationListener(Protocol):
    """A listener to the progress of a verification."""

    @abstractmethod
    def found(self, finding: Finding) -> None:
        """Receive a finding, which may have been repaired."""

    @abstractmethod
    def reached(self, step: str, key: ObjectKey) -> None:
        """Receive the progress of `step`: all keys below this one are done. Keys are random, so it shows the share."""


@dataclass(slots=True)
class BackendReport:
    """The report on one backend. `store` is None if the backend is not configured."""

    counts: Counts
    store: BlobStore | None
    listener: VerificationListener
    repair: Repair | None = None
    held: list[Finding] = field(default_factory=list)
    """Blobs whose objects are missing. Their rows may be dropped once all are counted."""
    _errors_in_a_row: int = 0

    def forbid_repair(self, reason: str) -> None:
        """Remove nothing on this backend from now on."""
        self.repair = None
        self.counts.not_repaired = reason

    def add(self, finding: Finding) -> None:
        """Count the finding and pass it to the listener."""
        self.counts.found[finding.defect] += 1
        self.counts.repaired[finding.defect] += finding.repaired
        self.listener.found(finding)

    def add_held(self) -> None:
        """Add the findings that are held, as they are."""
        while self.held:
            self.add(self.held.pop())

    def record_success(self) -> None:
        self._errors_in_a_row = 0

    def record_failure(self, error: BlobError) -> str:
        """Count the error; too many in a row stop the verification. Return the text for its finding."""
        self._errors_in_a_row += 1
        if self._errors_in_a_row == PATIENCE:
            self.stop(error)
        return f"It can't be looked at: {error.detail}"

    def stop(self, error: BlobError) -> None:
        """Stop the verification of this backend."""
        self.counts.unverified = error.detail
