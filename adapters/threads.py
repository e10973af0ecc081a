"""Worker threads for calls that block.

Like `loop.run_in_executor`, with two differences that the adapters need: a call that has begun is never left behind (a
caller that is cancelled waits for it to end, so that nothing is written unseen), and a call costs about half as much,
because one queue and one wake-up are all that lies between the caller and the answer.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar, TypeVarTuple

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Threads:
    """A fixed number of threads that run what they are given, each call in one of them. To be entered before use."""

    def __init__(self, name: str, count: int) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]

    async def run(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """The outcome of `function(*args)`, run in a thread.

        If the caller is cancelled, it gets its CancelledError after the function has ended (or before it began). What
        the function returns is lost then: a function that takes hold of something leaves it where its caller finds it.
        """
        call = _Call(lambda: function(*args))
        self._calls.put(call)
        cancelled = None
        while not call.over:
            try:
                await call.ended
            except asyncio.CancelledError as error:
                cancelled = error
                call.unwanted = True
                call.ended = call.loop.create_future()
        if cancelled is not None:
            raise cancelled
        if call.error is not None:
            raise call.error
        return call.result

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the calls that were made end, then the threads."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call


class _Call(Generic[T]):
    """A function on its way to a thread, and its outcome on the way back. All but `__call__` is the loop's."""

    result: T

    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function
        self.loop = asyncio.get_running_loop()
        self.ended = self.loop.create_future()
        self.over = False
        self.unwanted = False
        self.error: BaseException | None = None

    def __call__(self) -> None:
        try:
            if not self.unwanted:
                self.result = self.function()
        except BaseException as error:  # noqa: BLE001 - raised again where the call was made
            self.error = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self.over = True
        if not self.ended.done():
            self.ended.set_result(None)
