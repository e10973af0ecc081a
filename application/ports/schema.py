"""The port to the tables that the rows are in: what form they have, and which one they should have."""

from abc import abstractmethod
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Protocol


class Opening(Enum):
    """What opening a database does about its tables."""

    MIGRATE = auto()
    """Create what is missing, the file of SQLite included, and bring the tables to their newest form."""
    REQUIRE = auto()
    """Create and change nothing. Raises UNAVAILABLE unless the tables have their newest form."""
    INSPECT = auto()
    """Create and change nothing, and take what is there. A missing file of SQLite looks like an empty database."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A form of the tables: its `name`, and what is new in it."""

    name: str
    news: str


@dataclass(frozen=True, slots=True)
class Revisions:
    """The form that the tables have (`current`; None where there are none yet), and all `known` ones, the oldest first.

    `current` is one of the known.
    """

    current: str | None
    known: tuple[Revision, ...]

    @property
    def pending(self) -> tuple[Revision, ...]:
        """Those that are still to come, in their order."""
        names = [each.name for each in self.known]
        return self.known[names.index(self.current) + 1 if self.current is not None else 0 :]


class Tables(Protocol):
    """The tables of a database, which others have entered.

    Each method but `sql` raises UNAVAILABLE or TIMEOUT if the database can't be used now.
    """

    @abstractmethod
    async def revisions(self) -> Revisions:
        """The form that the tables have. Raises UNAVAILABLE if they are those of a newer Drivebay."""

    @abstractmethod
    async def now(self) -> datetime:
        """The time by the database's clock, in UTC."""

    @abstractmethod
    def sql(self, after: str | None) -> str:
        """The statements that bring the tables from the revision `after`, or from nothing, to the newest form.

        Raises ValueError if there is no such revision.
        """
