"""Calls that run while their caller does something else."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class Pipeline(Generic[T]):
    """Calls in progress. Leaving the context cancels them, and waits until they have ended."""

    def __init__(self) -> None:
        self._tasks = deque[asyncio.Task[T]]()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, call: Coroutine[Any, Any, T]) -> None:
        self._tasks.append(asyncio.create_task(call))

    async def next(self) -> T:
        """Return the result of the oldest call, once it has ended, and forget it. Raises its error."""
        return await self._tasks.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
