"""Bounded concurrency over many items."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def for_each(items: AsyncIterator[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Call `work` with each of `items`, up to `at_once` concurrently. Items are pulled lazily, one per free slot.

    Raises the first error of the items or of the work, and cancels the rest.
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
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
