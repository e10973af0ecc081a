"""The report of a move of objects to another storage: its options, findings and counts."""

from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from application.ports.moves import StoredObject


class Problem(Enum):
    """Reasons for which an object stays where it is. The value is the stable name that users see."""

    MISSING = "missing"
    """The object is not there."""
    DAMAGED = "damaged"
    """The object has another size or another SHA-256 than its row says."""
    FAILED = "failed"
    """A storage failed, several times."""


@dataclass(frozen=True, slots=True)
class MoveFinding:
    """An object that stays where it is, and why."""

    problem: Problem
    object: StoredObject
    detail: str


@dataclass(frozen=True, slots=True)
class MoveOptions:
    """Options of a move of objects from the storages `sources` to `target`.

    Only objects with a name that belongs to an id from `start` up to but not including `stop` are moved; all other
    names of these objects go along. `at_once`: the number of objects that are copied concurrently.
    `passes` over all names are made at most, and less if nothing is left. `waits`: for objects that others move.
    """

    sources: frozenset[str]
    target: str
    start: str = ""
    stop: str | None = None
    dry_run: bool = False
    at_once: int = 8
    passes: int = 20
    waits: bool = True


@dataclass(slots=True)
class MoveReport:
    """Counts of a move. `bytes`: of the objects that were moved, or would be.

    `kept`: small objects that belong in the database by the settings. `busy`: objects that somebody else is moving, or
    a move that was killed a short time ago. `stopped`: why the move ended early. `is_done`: nothing was left at the end
    but what the findings name.
    """

    objects: int = 0
    bytes: int = 0
    kept: int = 0
    busy: int = 0
    found: Counter[Problem] = field(default_factory=Counter)
    stopped: str = ""
    is_done: bool = False


class MoveListener(Protocol):
    """A listener to the progress of a move."""

    @abstractmethod
    def moved(self, report: MoveReport) -> None:
        """Receive the counts after an object was moved."""

    @abstractmethod
    def waiting(self, report: MoveReport) -> None:
        """Receive the counts before a wait for objects that others are moving."""

    @abstractmethod
    def found(self, finding: MoveFinding) -> None:
        """Receive a finding."""


class Unheard(MoveListener):
    """A listener that ignores everything."""

    def moved(self, report: MoveReport) -> None:
        pass

    def waiting(self, report: MoveReport) -> None:
        pass

    def found(self, finding: MoveFinding) -> None:
        pass
