"""The heartbeat of a worker's event loop, which its parent checks."""

import asyncio
import mmap

BEAT = 1.0  # seconds between two beats, and at least between two checks
STALLED_AFTER = 30  # checks without a beat


class Heartbeat:
    """A counter in memory shared by a worker and its parent. Create it before the fork.

    The counter is 0, and not checked, before the application has started and after it has stopped.
    """

    def __init__(self) -> None:
        self._count = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        self._next: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        return self._count[0]

    def start(self) -> None:
        """Start to beat. Call this and `stop` in the event loop."""
        self._count[0] += 1
        self._next = asyncio.get_running_loop().call_later(BEAT, self.start)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
        self._count[0] = 0


class Watchdog:
    """The parent's check of one worker.

    Counts its checks instead of the time, so that a worker does not count as stalled after the machine was suspended or
    overloaded.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._seen = 0
        self._checked_at = float("-inf")
        self._missed = 0

    def has_stalled(self, now: float) -> bool:
        """Check the heartbeat, at most once per `BEAT`. `now` is a monotonic time."""
        if now - self._checked_at >= BEAT:
            self._checked_at = now
            seen, self._seen = self._seen, self._heartbeat.count
            self._missed = self._missed + 1 if self._seen and self._seen == seen else 0
        return self._missed >= STALLED_AFTER
