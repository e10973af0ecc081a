"""Streams to a storage: a bound on how many there are, which slow clients can't use up."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from adapters.operation_timer import WholeOperationTimer
from application.ports.observer import UNOBSERVED, Observer
from domain.errors import TimedOut

IDLE = 0.5  # seconds without a byte for or from its client, after which a stream may be wanted by others
LOOK = IDLE / 4  # seconds between two looks of those who wait


class _Lane:
    """Streams of one kind, and who waits for one."""

    def __init__(self, count: int) -> None:
        self.free = count
        self.waiting: deque[asyncio.Future[_Lane]] = deque()

    def give_back(self) -> None:
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(self)
                return
        self.free += 1


class UploadStreams:
    """At most `count` streams at once, and one more for short puts. To wait `seconds` for one is a TIMEOUT.

    A stream that is idle is lent: its holder is asked for it when others wait. Waits are reported to the observer as an
    operation of their own: `wait`.
    """

    def __init__(self, count: int, seconds: float, backend: str, observer: Observer = UNOBSERVED) -> None:
        self._seconds = seconds
        self._backend = backend
        self._observer = observer
        self._common = _Lane(count)
        self._reserve = _Lane(1)
        self._idle: dict[Stream, float] = {}  # since when, the longest first
        self._asked: set[Stream] = set()  # which have not given theirs back yet

    @asynccontextmanager
    async def short(self, operation: str, subject: object) -> AsyncIterator[None]:
        """A stream for a client whose bytes are all there: so it can't be held for long."""
        lane = await self._take(operation, subject, (self._common, self._reserve))
        try:
            yield
        finally:
            lane.give_back()

    async def _take(self, operation: str, subject: object, lanes: tuple[_Lane, ...]) -> _Lane:
        for lane in lanes:
            if lane.free:
                lane.free -= 1
                return lane
        with WholeOperationTimer(self._observer, self._backend, "wait"):
            turn = asyncio.get_running_loop().create_future()
            for lane in lanes:
                lane.waiting.append(turn)
            try:
                return await self._wait_for(turn)
            except BaseException as error:
                self._resign(turn, lanes)
                if isinstance(error, TimeoutError):
                    detail = "Too many objects are being written and read. Try again later."
                    raise TimedOut(detail, operation=operation, backend=self._backend, subject=subject) from None
                raise

    async def _wait_for(self, turn: "asyncio.Future[_Lane]") -> _Lane:
        async with asyncio.timeout(self._seconds):
            while not turn.done():
                self._ask_for_one()
                await asyncio.wait({turn}, timeout=LOOK)
        return turn.result()

    def _resign(self, turn: "asyncio.Future[_Lane]", lanes: tuple[_Lane, ...]) -> None:
        if turn.done():
            turn.result().give_back()
            return
        for lane in lanes:
            lane.waiting.remove(turn)

    def _ask_for_one(self) -> None:
        """Ask the holder that is idle for the longest, unless there are as many on their way as are wanted."""
        wanted = sum(not turn.done() for turn in self._common.waiting)
        stream = next(iter(self._idle), None)
        if stream is None or len(self._asked) >= wanted or time.monotonic() - self._idle[stream] < IDLE:
            return
        del self._idle[stream]
        self._asked.add(stream)
        stream.lend()


class Stream:
    """A stream that may be held, by one client at a time. `lend` is called to ask for it while it is idle."""

    def __init__(self, streams: UploadStreams, lend: Callable[[], None]) -> None:
        self.lend = lend
        self._streams = streams
        self._is_held = False

    async def take(self, operation: str, subject: object) -> None:
        """Wait for a stream. Raises TIMEOUT."""
        await self._streams._take(operation, subject, (self._streams._common,))
        self._is_held = True

    def give_back(self) -> None:
        """Let others have the stream, if one is held."""
        self.busy()
        self._streams._asked.discard(self)
        if self._is_held:
            self._is_held = False
            self._streams._common.give_back()

    def idle(self) -> None:
        """Note that the client is waited for, and that `lend` may be called."""
        if self._is_held:
            self._streams._idle[self] = time.monotonic()

    def busy(self) -> None:
        """Note that `lend` must not be called any more."""
        self._streams._idle.pop(self, None)
