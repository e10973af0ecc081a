"""Units of work whose connection is lost at a commit, and what others do before it is back."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import fields

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from domain.errors import CommitUnknown, Unavailable


class LosesAnAnswer(UnitOfWorkFactory):
    """Units of work of which the commit with this number loses its answer, after or before it happened."""

    def __init__(self, units: UnitOfWorkFactory, number: int, *, happens: bool) -> None:
        self.units = units
        self.left = number
        self.happens = happens

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self.units() as work:
            commit = work.commit

            async def lose() -> None:
                self.left -= 1
                if self.left or self.happens:
                    await commit()
                if not self.left:
                    raise CommitUnknown("the connection was lost")

            work.commit = lose  # type: ignore[method-assign]  # for this unit alone
            yield work


class WithoutAStandby(UnitOfWorkFactory):
    """Units of work in memory that, from the commit with this number on, have lost their synchronous standby.

    So many commits lose their answer, after they happened. One that changes nothing waits for no standby.
    """

    def __init__(self, metadata: MemoryMetadata, number: int, losses: int) -> None:
        self.metadata = metadata
        self.left = number
        self.losses = losses

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self.metadata() as work:
            commit = work.commit

            async def lose() -> None:
                self.left -= 1
                before = self._rows()
                await commit()
                if self.left <= 0 and self.losses and self._rows() != before:
                    self.losses -= 1
                    raise CommitUnknown("no standby has confirmed it")

            work.commit = lose  # type: ignore[method-assign]  # for this unit alone
            yield work

    def _rows(self) -> list[object]:
        tables = [getattr(self.metadata.rows, table.name) for table in fields(self.metadata.rows)]
        return [table.copy() for table in tables if isinstance(table, dict)]


class DownFor(UnitOfWorkFactory):
    """Units of work that, once an answer was lost, are refused so many times."""

    def __init__(self, units: LosesAnAnswer, refusals: int) -> None:
        self.units = units
        self.refusals = refusals

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        if self.units.left <= 0 and self.refusals:
            self.refusals -= 1
            raise Unavailable("the database is down")
        async with self.units() as work:
            yield work


class LetsOthersIn(UnitOfWorkFactory):
    """Units of work that, once an answer was lost, let others act before the next one begins."""

    def __init__(self, units: LosesAnAnswer | WithoutAStandby, others: Callable[[], Awaitable[object]]) -> None:
        self.units = units
        self.others = others
        self.acted = False

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        if self.units.left <= 0 and not self.acted:
            self.acted = True
            await self.others()
        async with self.units() as work:
            yield work
