"""Move the rows of a database to another one of any kind.

The source refuses all changes from the beginning of the move, so what is copied is one state, however long that takes.
Reads go on. The target refuses servers until all its rows have been compared with the rows of the source. So there is
never a moment at which two databases accept changes: neither does during the move, and only the target does after it.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from application.ports.rows import RowMove, Rows
from domain.errors import Unavailable

_OTHER_ORDER = "sorts letters and digits as one language does, so its rows can't be compared"
_COMMON_ORDER = "TEMPLATE template0 LOCALE 'C'"


class RowListener(Protocol):
    """Learns of the progress of a move of rows."""

    @abstractmethod
    def copied(self, table: str, rows: int) -> None:
        """`rows` more rows of a table are in the target."""

    @abstractmethod
    def comparing(self, table: str) -> None: ...


@dataclass(frozen=True, slots=True)
class MovedRows:
    """The numbers of all rows, by table, and of the rows that this call has copied."""

    rows: dict[str, int]
    copied: int


@dataclass(frozen=True, slots=True)
class MoveRows:
    """Copy all rows, compare them, and let the target be used in place of the source.

    It can be killed at any moment, and called again. Raises UNAVAILABLE if the target has rows of its own, if another
    move has begun, if both are one database, if this move is cancelled before its end, or if rows differ in the end.
    """

    source: Rows
    target: Rows
    new_key: Callable[[], str]

    async def __call__(self, listener: RowListener) -> MovedRows:
        theirs = await self._find()
        if theirs is not None and theirs.has_ended:
            return MovedRows(await self._counts(self.target), copied=0)
        key = theirs.key if theirs is not None else self.new_key()  # never that of a move to elsewhere
        if not await self.source.close(key):
            raise _cancelled()
        if theirs is None and not await self.target.begin(key):
            raise await self._not_begun(key)
        copied = 0
        for table in self.source.tables:
            copied += await self._copy(table, listener)
        await self.target.flush()  # otherwise, rows that were compared could be lost in a crash before the end
        rows = {table: await self._compare(key, table, listener) for table in self.source.tables}
        # Once the source has ended, it can't be opened again. One that is open again can't end.
        if not await self.source.end(key) or not await self.target.end(key):
            raise _cancelled()
        return MovedRows(rows, copied)

    async def look(self) -> dict[str, int]:
        """Return the number of rows of each table, and change nothing. Raises the errors of a beginning."""
        await self._find()
        return await self._counts(self.source)

    async def cancel(self) -> None:
        """Let the source take changes again. Raises UNAVAILABLE if the move has ended: then two databases would."""
        if not await self.source.reopen():
            raise Unavailable("The rows have been moved, and the new database may have changed since. Use that one.")

    async def _find(self) -> RowMove | None:
        """Return the move of the target, which is that of the source, or None if it has none."""
        ours, theirs = await self.source.move(), await self.target.move()
        if ours is not None and not ours.is_source:
            ours = None  # an earlier move, to this database
        is_same = ours is not None and theirs is not None and ours.key == theirs.key
        if theirs is not None and theirs == ours:
            raise _same_database()
        if ours is not None and ours.has_ended and not is_same:
            raise Unavailable("These rows have been moved to another database already. Give that one.")
        if theirs is not None and not is_same:
            raise _in_another_move()
        if theirs is None or not theirs.has_ended:
            await self._require_common_order()
        if theirs is None and (filled := await self.target.filled()):
            raise Unavailable(f"The other database has rows already, in {', '.join(filled)}. Give one that is empty.")
        return theirs

    async def _require_common_order(self) -> None:
        """Rows are found and compared in the order of their keys, which has to be the same in both databases."""
        if not await self.target.has_common_order():
            raise Unavailable(f"The other database {_OTHER_ORDER}. Create it with {_COMMON_ORDER}.")
        if not await self.source.has_common_order():
            advice = f"Stop all servers, restore it by pg_dump and pg_restore into a database with {_COMMON_ORDER}"
            raise Unavailable(f"The old database {_OTHER_ORDER}. {advice}, and move the rows from there.")

    async def _not_begun(self, key: str) -> Unavailable:
        """Return why the target can't begin the move. If it is the source itself, allow changes again."""
        theirs = await self.target.move()
        if theirs is None or theirs.key != key:
            return _in_another_move()
        await self.source.reopen()
        return _same_database()

    async def _copy(self, table: str, listener: RowListener) -> int:
        copied = 0
        rows = await self.source.page(table, await self.target.last(table))
        while rows:
            following, _ = await asyncio.gather(self.source.page(table, rows[-1]), self.target.add(table, rows))
            copied += len(rows)
            listener.copied(table, len(rows))
            rows = following
        return copied

    async def _compare(self, key: str, table: str, listener: RowListener) -> int:
        listener.comparing(table)
        here, there = await asyncio.gather(self.source.summary(table), self.target.summary(table))
        if here != there:
            ours = await self.source.move()
            if ours is None or ours.key != key:
                raise _cancelled()
            raise Unavailable(
                f"The rows of the table {table} differ: {here.rows:,} here, {there.rows:,} there. Nothing was switched."
                " Empty the other database, and run this again."
            )
        return here.rows

    async def _counts(self, rows: Rows) -> dict[str, int]:
        return {table: await rows.count(table) for table in rows.tables}


def _cancelled() -> Unavailable:
    text = "The move was cancelled, or another one from this database has begun. Nothing was switched."
    return Unavailable(f"{text} To move the rows, empty the other database, and run this again.")


def _same_database() -> Unavailable:
    return Unavailable("Both are the same database, under two names. Give another one.")


def _in_another_move() -> Unavailable:
    return Unavailable("The other database takes part in another move. Give one that is empty.")
