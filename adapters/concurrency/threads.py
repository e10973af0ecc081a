"""Worker threads for calls that block.

Like `loop.run_in_executor`, with two differences that the adapters need: a call that has begun is never left behind (a
caller that is cancelled waits for it to end, so that nothing is written unseen), and a call costs about half as much,
because one queue and one wake-up are all that lies between the caller and the answer.
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
    """A fixed number of threads that run what they are given, each call in one of them.

    To be entered before use, and once more after it was left, if need be.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None] | None] = deque()
        # A call goes to the thread that became idle last: it is still warm, and so is what it keeps to itself.
        self._idle: list[_Inbox] = []
        self._threads: list[threading.Thread] = []

    async def run(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """The outcome of `function(*args)`, run in a thread.

        If the caller is cancelled, it gets its CancelledError after the function has ended (or before it began). What
        the function returns is lost then: a function that takes hold of something leaves it where its caller finds it.
        """
        call = _Call(lambda: function(*args))
        self._hand_out(call)
        cancelled = None
        while not call.over:
            try:
                await call.ended
            except asyncio.CancelledError as error:
                cancelled = error
                call.unwanted = True
                call.ended = call.loop.create_future()
        fault = cancelled or call.error
        call.error = None
        if fault is None:
            return call.result
        try:
            raise fault
        finally:
            del cancelled, fault  # it holds the frames it passed, so that they would make it hold itself

    def __enter__(self) -> Self:
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
        """Let the calls that were made end, then the threads."""
        for _ in self._threads:
            self._hand_out(None)
        for thread in self._threads:
            thread.join()

    def _hand_out(self, call: Callable[[], None] | None) -> None:
        with self._lock:
            if self._idle:
                self._idle.pop().put(call)
            else:
                self._waiting.append(call)

    def _work(self, inbox: _Inbox) -> None:
        while (call := inbox.get()) is not None:
            call()
            del call  # and what it holds
            with self._lock:
                if self._waiting:
                    inbox.put(self._waiting.popleft())
                else:
                    self._idle.append(inbox)


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
