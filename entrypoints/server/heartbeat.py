"""The heartbeat of a worker, by which its parent sees that the worker's event loop still runs."""

import asyncio
import mmap

BEAT = 1.0  # seconds between two beats, and at least between two looks at them
STALLED_AFTER = 30  # looks without a beat


class Heartbeat:
    """A count in memory that a worker shares with its parent: create it before the fork.

    It is 0 while the worker is not judged: before its application has started, and after it has stopped serving.
    """

    def __init__(self) -> None:
        self._count = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        self._next: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        return self._count[0]

    def start(self) -> None:
        """Beat from now on. Called in the event loop, as `stop` is."""
        self._count[0] += 1
        self._next = asyncio.get_running_loop().call_later(BEAT, self.start)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
        self._count[0] = 0


class Watchdog:
    """The parent's judgement of one worker.

    It counts its own looks, not the time: while the machine sleeps, or is too busy to let the parent run, there are
    none, and the worker is not blamed for it.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._seen = 0
        self._looked = float("-inf")
        self._missed = 0

    def has_stalled(self, now: float) -> bool:
        """Look at the heartbeat, if the last look was long enough ago. `now` is a monotonic time."""
        if now - self._looked >= BEAT:
            self._looked = now
            seen, self._seen = self._seen, self._heartbeat.count
            self._missed = self._missed + 1 if self._seen and self._seen == seen else 0
        return self._missed >= STALLED_AFTER
