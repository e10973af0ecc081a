"""Expensive results, shared by concurrent callers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedResult(Generic[T]):
    """The result of `make`, which runs again only if it ended more than `fresh` seconds ago.

    It runs to completion, even if callers are cancelled. Callers that wait for the same run share its error too.
    """

    def __init__(self, make: Callable[[], Awaitable[T]], fresh: float) -> None:
        self._make = make
        self._fresh = fresh
        self._made = float("-inf")
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        is_stale = time.monotonic() - self._made > self._fresh
        if self._task is None or (self._task.done() and is_stale):
            self._task = asyncio.create_task(self._run())
        return await asyncio.shield(self._task)

    async def _run(self) -> T:
        result = await self._make()
        self._made = time.monotonic()
        return result
