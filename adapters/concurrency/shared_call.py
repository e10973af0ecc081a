"""Blocking calls that may hang, such as those on a dead mount."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """A blocking call of `function` in its own thread, at most one at a time.

    Callers that come while it runs get its result, or its error. However long it hangs, it keeps no thread that others
    need, and no process from ending. A cancelled caller does not wait for it.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._running: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        running = self._running
        if running is None or running.done():
            running = asyncio.get_running_loop().create_future()
            threading.Thread(target=self._run, args=(running,), name="shared-call", daemon=True).start()
            self._running = running
        return await asyncio.shield(running)

    def _run(self, running: "asyncio.Future[T]") -> None:
        end: Callable[[], None]
        try:
            end = partial(running.set_result, self._function())
        except BaseException as error:  # noqa: BLE001 - raised again in the callers
            end = partial(running.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed
            running.get_loop().call_soon_threadsafe(end)
