"""Commits whose outcome is always known: if the response of the database is lost, it is asked whether they happened."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from application.ports.metadata import KeySource, UnitOfWork, UnitOfWorkFactory
from application.repeat import repeated
from application.uploads.unknown_commit import WAITS, confirm, resolve
from domain.errors import CommitUnknown, Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Committer:
    """Makes changes in one transaction each, with a mark by which a lost commit is recognised.

    A change that is rolled back for the sake of another one is repeated. Raises what the change raises, UNAVAILABLE if
    the connection was lost and nothing was changed, and COMMIT_UNKNOWN if the database does not say in time.
    """

    units: UnitOfWorkFactory
    new_key: KeySource
    waits: Sequence[float] = WAITS

    async def __call__(self, change: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        return await repeated(lambda: self._commit(change))

    async def confirm(self) -> None:
        """Return once every change that is visible now is durable: see `confirm` in `unknown_commit.py`.

        For requests that are repeated, and find that an earlier one has succeeded, which may not know it.
        """
        await self(_change_nothing)

    async def _commit(self, change: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        key = self.new_key()

        async def prevent() -> bool:
            """Wait for the lost commit, by adding its mark in a unit that is not committed if that succeeds."""
            async with self.units() as work:
                if await work.commits.add(key):
                    return True
                await confirm(work)
                return False

        try:
            async with self.units() as work:
                result = await change(work)
                await work.commits.add(key)
                await work.commit()
        except CommitUnknown as error:
            if await resolve(prevent, error, self.waits):
                detail = "The connection to the database was lost, and nothing was changed. Send the request again."
                raise Unavailable(detail, backend=error.backend) from error
        return result


async def _change_nothing(_: UnitOfWork) -> None:
    """Leave it to the mark of the unit."""
