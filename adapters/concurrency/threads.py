"""Worker threads for calls that block.

Like `loop.run_in_executor`, with two differences: a cancelled caller waits for its running call to end, so that no
write continues unobserved, and a call costs about half as much, because it takes one queue and one wake-up.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar, TypeVarTuple

T = TypeVar("T")
_Inbox = SimpleQueue[Callable[[], None] | None]
Args = TypeVarTuple("Args")


class Threads:
    """A fixed number of worker threads. Enter the context before use. It can be entered again after it exits."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None] | None] = deque()
        # Last in, first out: the thread that became idle last has warm caches.
        self._idle: list[_Inbox] = []
        self._threads: list[threading.Thread] = []
        self._is_over = True

    async def run(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """Run `function(*args)` in a thread, and return its result.

        A cancelled caller gets its CancelledError after the function has ended, or before it starts. The result is lost
        then, so a function that opens a resource has to store it where the caller can close it.
        Raises RuntimeError once the context is left.
        """
        call = _Call(lambda: function(*args))
        self._dispatch(call)
        cancelled = None
        while not call.is_over:
            try:
                await call.ended
            except asyncio.CancelledError as error:
                cancelled = error
                call.is_cancelled = True
                call.ended = call.loop.create_future()
        failure = cancelled or call.error
        call.error = None
        if failure is None:
            return call.result
        try:
            raise failure
        finally:
            del cancelled, failure  # avoids a reference cycle through the frames of its traceback

    def start(self, function: Callable[[], None], then: Callable[[], None]) -> None:
        """Run `function` in a thread, and then `then` in the event loop. No cancellation stops them.

        `function` must not raise.
        """
        loop = asyncio.get_running_loop()

        def call() -> None:
            function()
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(then)

        self._dispatch(call)

    def start_if_idle(self, function: Callable[[], None]) -> bool:
        """Run `function` in a thread if more than a quarter of them are idle. Return whether it runs.

        `function` must not raise. Any thread may call this.
        """
        with self._lock:
            if len(self._idle) <= self._count // 4:
                return False
            self._idle.pop().put(function)
            return True

    def __enter__(self) -> Self:
        self._is_over = False
        self._idle = [SimpleQueue() for _ in range(self._count)]
        self._threads = [
            threading.Thread(target=self._work, args=(inbox,), name=f"{self._name}-{number}", daemon=True)
            for number, inbox in enumerate(self._idle)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the calls made so far, then end the threads."""
        self._is_over = True
        for _ in self._threads:
            self._dispatch(None)
        for thread in self._threads:
            thread.join()

    def _dispatch(self, call: Callable[[], None] | None) -> None:
        with self._lock:
            if call is not None and self._is_over:
                raise RuntimeError(f"The threads {self._name!r} have ended: nothing would run the call.")
            if self._idle:
                self._idle.pop().put(call)
            else:
                self._waiting.append(call)

    def _work(self, inbox: _Inbox) -> None:
        while (call := inbox.get()) is not None:
            call()
            del call  # frees its arguments while the thread is idle
            with self._lock:
                if self._waiting:
                    inbox.put(self._waiting.popleft())
                else:
                    self._idle.append(inbox)


class _Call(Generic[T]):
    """A call of a function in a thread. Only `__call__` runs in the thread, everything else in the event loop."""

    result: T

    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function
        self.loop = asyncio.get_running_loop()
        self.ended = self.loop.create_future()
        self.is_over = False
        self.is_cancelled = False
        self.error: BaseException | None = None

    def __call__(self) -> None:
        try:
            if not self.is_cancelled:
                self.result = self.function()
        except BaseException as error:  # noqa: BLE001 - raised again in `run`
            self.error = error
        with suppress(RuntimeError):  # the loop is closed: no caller waits any more
            self.loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self.is_over = True
        if not self.ended.done():
            self.ended.set_result(None)
