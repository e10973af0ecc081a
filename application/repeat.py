"""Repetition of units of work that the database has rolled back."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from domain.errors import RolledBack

T = TypeVar("T")

ATTEMPTS = 10  # each rollback lets another transaction commit, so units that race for one blob end soon


async def repeated(unit: Callable[[], Awaitable[T]]) -> T:
    """Run `unit`, again while it is rolled back for another transaction. Raises ROLLED_BACK after ten attempts."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await unit()
        except RolledBack:
            pass
    return await unit()
