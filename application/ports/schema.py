"""The port to the form of the tables: the current one, and the newest."""

from abc import abstractmethod
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Protocol


class Opening(Enum):
    """The treatment of the tables when a database is opened."""

    MIGRATE = auto()
    """Create missing tables, SQLite's file included, and bring them to their newest form."""
    REQUIRE = auto()
    """Create and change nothing. Raises UNAVAILABLE unless the tables have their newest form."""
    INSPECT = auto()
    """Create and change nothing, and accept any form. A missing file of SQLite looks like an empty database."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A form of the tables: its `name` and its news."""

    name: str
    news: str


@dataclass(frozen=True, slots=True)
class Revisions:
    """The `current` form of the tables, None without tables, and all `known` forms, the oldest first.

    `current` is one of the known.
    """

    current: str | None
    known: tuple[Revision, ...]

    @property
    def pending(self) -> tuple[Revision, ...]:
        """The revisions after the current one, in their order."""
        names = [each.name for each in self.known]
        return self.known[names.index(self.current) + 1 if self.current is not None else 0 :]


class Tables(Protocol):
    """The tables of a database that is open.

    Each method but `sql` raises UNAVAILABLE or TIMEOUT if the database can't be used now.
    """

    @abstractmethod
    async def revisions(self) -> Revisions:
        """Return the form of the tables. Raises UNAVAILABLE if they are those of a newer Drivebay."""

    @abstractmethod
    async def now(self) -> datetime:
        """Return the time by the database's clock, in UTC."""

    @abstractmethod
    def sql(self, after: str | None) -> str:
        """Return the statements that bring the tables from the revision `after`, or from nothing, to the newest form.

        Raises ValueError if there is no such revision.
        """
