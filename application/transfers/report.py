"""The report of an import or an export: its options, findings and counts."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from application.ports.file_tree import (
    FileChanged,
    FileDenied,
    FileExists,
    FileGone,
    InvalidPath,
    PathConflict,
    TreeError,
)
from domain.errors import BlobError, Kind


class Problem(Enum):
    """Reasons for which something is not transferred. The value is the stable name that users see."""

    INVALID = "invalid"
    """The path can't be an id, or the id can't be a path."""
    EXISTS = "exists"
    """Something else has the id or the path."""
    CONFLICT = "conflict"
    """A name is both a file and a folder."""
    CHANGED = "changed"
    """The file or the blob was changed in the meantime."""
    UNREADABLE = "unreadable"
    """The entry is not a file, or access is denied."""
    DAMAGED = "damaged"
    """The bytes do not have the size or the SHA-256 that they should have."""
    FAILED = "failed"
    """A storage, the database or the tree failed, several times."""


class Existing(Enum):
    """Rules for what exists already and differs. The same is never transferred again."""

    FAIL = "fail"
    SKIP = "skip"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """Options of a transfer. The id of a blob is `prefix` and the path of the file.

    `takes`: returns whether a path takes part. `checksum`: compare the SHA-256 of what exists, also if its size and
    time are the same. `verify`: read back what was written. `at_once`: the number of files transferred concurrently.
    """

    prefix: str = ""
    takes: Callable[[str], bool] = lambda _: True
    existing: Existing = Existing.FAIL
    checksum: bool = False
    verify: bool = False
    dry_run: bool = False
    at_once: int = 8


@dataclass(frozen=True, slots=True)
class TransferFinding:
    """Something that was not transferred, by its path, and why."""

    problem: Problem
    path: str
    detail: str


@dataclass(slots=True)
class TransferReport:
    """Counts of a transfer. `files` and `bytes`: of what was transferred, or would be.

    `unchanged`: files that were there already. `kept`: those that exist and differ, and were skipped as asked.
    `stopped`: why the transfer ended early.
    """

    files: int = 0
    bytes: int = 0
    unchanged: int = 0
    kept: int = 0
    found: Counter[Problem] = field(default_factory=Counter)
    stopped: str = ""


class TransferListener(Protocol):
    """A listener to the progress of a transfer."""

    @abstractmethod
    def progressed(self, report: TransferReport) -> None:
        """Receive the counts after each file."""

    @abstractmethod
    def found(self, finding: TransferFinding) -> None:
        """Receive a finding."""


class Unheard(TransferListener):
    """A listener that ignores everything."""

    def progressed(self, report: TransferReport) -> None:
        pass

    def found(self, finding: TransferFinding) -> None:
        pass


_OF_TREES: dict[type[TreeError], Problem] = {
    InvalidPath: Problem.INVALID,
    PathConflict: Problem.CONFLICT,
    FileExists: Problem.EXISTS,
    FileGone: Problem.CHANGED,
    FileChanged: Problem.CHANGED,
    FileDenied: Problem.UNREADABLE,
}
_OF_BLOBS = {
    Kind.INVALID_ID: Problem.INVALID,
    Kind.INVALID_METADATA: Problem.INVALID,
    Kind.TOO_LARGE: Problem.INVALID,
    Kind.ALREADY_EXISTS: Problem.EXISTS,
    Kind.NOT_FOUND: Problem.CHANGED,
    Kind.PRECONDITION_FAILED: Problem.CHANGED,
    Kind.SIZE_MISMATCH: Problem.DAMAGED,
    Kind.DIGEST_MISMATCH: Problem.DAMAGED,
    Kind.INTEGRITY: Problem.DAMAGED,
}


def problem_of(error: TreeError | BlobError) -> Problem:
    """Return the problem that an error is."""
    if isinstance(error, BlobError):
        return _OF_BLOBS.get(error.kind, Problem.FAILED)
    return _OF_TREES.get(type(error), Problem.FAILED)
