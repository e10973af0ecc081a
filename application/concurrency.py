"""Work on many items, a few of them at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def for_each(items: AsyncIterator[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Call `work` with each of `items`, with up to `at_once` under way. An item is asked for when it can be begun.

    Raises the first fault of the items or of the work; what else was under way is cancelled.
    """
    turn = asyncio.Lock()

    async def work_on() -> None:
        while True:
            async with turn:
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work_on())
    except BaseExceptionGroup as faults:
        raise faults.exceptions[0] from None
