"""Commits of unknown outcome: the connection to the database was lost before the response."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from domain.blob import ObjectKey
from domain.errors import BlobError, CommitUnknown, Unavailable

T = TypeVar("T")

# Seconds between the attempts: together, longer than a database takes to restart or to fail over.
WAITS = (0.1, 0.3, 1.0, 3.0, 6.0)
PATIENCE = 30.0  # seconds in all, for which the client waits for its response


async def resolve(check: Callable[[], Awaitable[T]], error: BlobError, waits: Sequence[float] = WAITS) -> T:
    """Return what `check` finds out about the commit that failed with `error`. Raise `error` if that takes too long.

    `check` is called again after each temporary error, so it may meet the changes of its own earlier call. Before it
    reports that the commit has happened, it calls `confirm`.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            for wait in (*waits, None):
                try:
                    return await check()
                except BlobError as failed:
                    if not failed.temporary or wait is None:
                        raise
                await asyncio.sleep(wait)
    except (BlobError, TimeoutError):
        pass
    raise error


async def confirm(work: UnitOfWork) -> None:
    """Commit a unit that has seen an earlier commit. Once this one is durable, so is that one.

    A change can be visible before it is durable: when a client leaves, PostgreSQL ends the wait of its COMMIT for the
    synchronous standbys, and lets others see the change. A unit that writes nothing would not wait for them. So each
    call adds another mark: its commit comes later in the log of the database, and waits for all that is before it.
    Raises what `commit` raises.
    """
    await work.commits.add(ObjectKey.random())
    await work.commit()


async def require_published(
    units: UnitOfWorkFactory,
    prevent: Callable[[], Awaitable[bool]],
    is_published: Callable[[UnitOfWork], Awaitable[bool]],
    error: CommitUnknown,
    waits: Sequence[float],
    subject: ObjectKey,
) -> None:
    """Return if the commit that failed with `error` has published its object, whose key is the `subject`, durably.

    `prevent` waits for that commit, and returns whether it has not happened and never will: then UNAVAILABLE is raised.
    Otherwise `is_published` decides, and `error` is raised if it is false: the object was replaced or reaped since.
    """
    if await resolve(prevent, error, waits):
        detail = "The connection to the database was lost, and nothing was stored. Store the blob again."
        raise Unavailable(detail, backend=error.backend, subject=subject) from error

    async def look() -> bool:
        async with units() as work:
            if not await is_published(work):
                return False
            await confirm(work)
            return True

    if not await resolve(look, error, waits):
        raise error
