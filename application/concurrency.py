"""Concurrent calls: bounded over many items, or shared by callers that want the same."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
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


class SharedCalls(Generic[K, T]):
    """Calls by key, at most one at a time for each. Callers that come while one runs get its result, or its error.

    A call runs to completion, even if its callers are cancelled.
    """

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[T]] = {}

    async def __call__(self, key: K, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.create_task(call())
            running.add_done_callback(lambda ended: self._end(key, ended))
        return await asyncio.shield(running)

    def _end(self, key: K, ended: "asyncio.Task[T]") -> None:
        del self._running[key]
        if not ended.cancelled():
            ended.exception()  # asyncio logs one that nobody has asked for, if all callers have gone
