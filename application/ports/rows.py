"""The port to all rows of a database, for their move to another database of any kind."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """The number of `rows` of a table, and the SHA-256 of them all, in the order of their primary keys."""

    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RowMove:
    """A move that a database takes part in. `key`: its name, the same in both. `has_ended`: all rows are there."""

    key: str
    is_source: bool
    has_ended: bool


class Rows(Protocol):
    """The rows of a database that is open. Raises UNAVAILABLE or TIMEOUT if the database can't be used now.

    Values have the same form in databases of all kinds, and primary keys the same order if `has_common_order`: ids by
    their bytes, and all others, which have lower-case letters and digits only, in the database's own order.
    """

    tables: Sequence[str]

    @abstractmethod
    async def move(self) -> RowMove | None:
        """Return the move that this database takes part in, the last one if there were several."""

    @abstractmethod
    async def has_common_order(self) -> bool:
        """Return whether the database orders lower-case letters and digits by their bytes."""

    @abstractmethod
    async def count(self, table: str) -> int: ...

    @abstractmethod
    async def summary(self, table: str) -> Summary: ...

    # The source

    @abstractmethod
    async def close(self, key: str) -> bool:
        """Refuse all changes from now on, by any program: it gets READ_ONLY. Record that the move `key` has begun.

        It takes the place of a move to elsewhere that has not ended. Return False if that has, or if `key` is cancelled
        during the call. On return, the changes that were in progress are committed or rolled back. After an error, some
        tables may refuse changes: call it again, or `reopen`.
        """

    @abstractmethod
    async def reopen(self) -> bool:
        """Forget the move, so that it can't end any more, and then allow changes again. Call it again after an error.

        Return False, and change nothing, if the move has ended. Raises UNAVAILABLE if another one begins meanwhile.
        """

    @abstractmethod
    async def page(self, table: str, after: Row | None) -> Sequence[Row]:
        """Return the next rows in the order of their primary keys, after one of them; none at the end."""

    # The target

    @abstractmethod
    async def begin(self, key: str) -> bool:
        """Let no server use this database until the move `key` has ended. Return False if it takes part in another."""

    @abstractmethod
    async def filled(self) -> Sequence[str]:
        """Return the tables that have rows."""

    @abstractmethod
    async def last(self, table: str) -> Row | None:
        """Return the last row in the order of the primary keys."""

    @abstractmethod
    async def add(self, table: str, rows: Sequence[Row]) -> None:
        """Insert rows: all, or none. They may be lost in a crash of the database until `flush`."""

    @abstractmethod
    async def flush(self) -> None:
        """Make all rows durable that were added."""

    @abstractmethod
    async def end(self, key: str) -> bool:
        """Record that the move `key` has ended. Return False if it was cancelled, or another one has begun since.

        Servers can use this database if it is the target. All rows are durable.
        """
