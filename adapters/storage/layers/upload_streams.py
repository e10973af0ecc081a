"""A limit on concurrent streams to a storage, which slow clients can't exhaust."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from adapters.operation_timer import WholeOperationTimer
from application.ports.observer import UNOBSERVED, Observer
from domain.errors import TimedOut

IDLE = 0.5  # seconds without a byte from or to its client, after which a stream can be reclaimed
LOOK = IDLE / 4  # seconds between two checks for idle streams


class _Queue:
    """The free streams of one kind, and the queue for them."""

    def __init__(self, count: int) -> None:
        self.free = count
        self.waiting: deque[asyncio.Future[_Queue]] = deque()

    def release(self) -> None:
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(self)
                return
        self.free += 1

    def leave(self, turn: "asyncio.Future[_Queue]") -> None:
        """Remove a turn, which may be in several queues, and was taken from one of them if it is done."""
        with suppress(ValueError):
            self.waiting.remove(turn)


class UploadStreams:
    """At most `count` concurrent streams, and one more for short puts. Raises TIMEOUT after a wait of `seconds`.

    While others wait, an idle stream is reclaimed from its client. Waits are reported to the observer as the operation
    `wait`.
    """

    def __init__(self, count: int, seconds: float, backend: str, observer: Observer = UNOBSERVED) -> None:
        self._seconds = seconds
        self._backend = backend
        self._observer = observer
        self._common = _Queue(count)
        self._reserve = _Queue(1)
        self._idle: dict[Stream, float] = {}  # monotonic times, the longest idle first
        self._reclaimed: set[Stream] = set()  # not released yet

    @asynccontextmanager
    async def short(self, operation: str, subject: object) -> AsyncIterator[None]:
        """Hold a stream for a put whose bytes have all arrived, which is therefore short."""
        queue = await self._acquire(operation, subject, (self._common, self._reserve))
        try:
            yield
        finally:
            queue.release()

    async def _acquire(self, operation: str, subject: object, queues: tuple[_Queue, ...]) -> _Queue:
        for queue in queues:
            if queue.free:
                queue.free -= 1
                return queue
        with WholeOperationTimer(self._observer, self._backend, "wait"):
            turn = asyncio.get_running_loop().create_future()
            for queue in queues:
                queue.waiting.append(turn)
            try:
                return await self._wait_for(turn)
            except BaseException as error:
                if turn.done():
                    turn.result().release()
                if isinstance(error, TimeoutError):
                    detail = "Too many objects are being written and read. Try again later."
                    raise TimedOut(detail, operation=operation, backend=self._backend, subject=subject) from None
                raise
            finally:
                for queue in queues:
                    queue.leave(turn)

    async def _wait_for(self, turn: "asyncio.Future[_Queue]") -> _Queue:
        async with asyncio.timeout(self._seconds):
            while not turn.done():
                self._reclaim_one()
                await asyncio.wait({turn}, timeout=LOOK)
        return turn.result()

    def _reclaim_one(self) -> None:
        """Reclaim the stream that has been idle for the longest, unless enough are being reclaimed already."""
        needed = sum(not turn.done() for turn in self._common.waiting)
        stream = next(iter(self._idle), None)
        if stream is None or len(self._reclaimed) >= needed or time.monotonic() - self._idle[stream] < IDLE:
            return
        del self._idle[stream]
        self._reclaimed.add(stream)
        stream.reclaim()


class Stream:
    """A stream for one client. `reclaim` is called while it is idle and others wait.

    It must lead to `release` or to `keep`.
    """

    def __init__(self, streams: UploadStreams, reclaim: Callable[[], None]) -> None:
        self.reclaim = reclaim
        self._streams = streams
        self.is_held = False

    async def acquire(self, operation: str, subject: object) -> None:
        """Wait for a stream. Raises TIMEOUT."""
        await self._streams._acquire(operation, subject, (self._streams._common,))
        self.is_held = True

    def release(self) -> None:
        """Release the stream, if one is held."""
        self.busy()
        self._streams._reclaimed.discard(self)
        if self.is_held:
            self.is_held = False
            self._streams._common.release()

    def idle(self) -> None:
        """Allow `reclaim`, while waiting for the client."""
        if self.is_held:
            self._streams._idle[self] = time.monotonic()

    def busy(self) -> None:
        """Forbid `reclaim`."""
        self._streams._idle.pop(self, None)

    def keep(self) -> None:
        """Ignore a `reclaim` that came too late. Another stream is reclaimed in its place."""
        self._streams._reclaimed.discard(self)
