"""One of the workers that serve together, and its replacements."""

import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import structlog

from entrypoints.server.heartbeat import BEAT, Heartbeat, Watchdog

LOG = structlog.get_logger()
FIRST_PAUSE = 0.5  # seconds, doubled with each worker that dies soon
LONGEST_PAUSE = 30.0  # seconds
LONG_LIFE = 60.0  # seconds after which a worker that dies is replaced at once


class WorkerSlot:
    """Starts a worker, and replaces it when it has died or its event loop has stalled.

    One that dies soon is replaced after a pause, which grows, so that a worker that can't live costs the others little.
    `create` makes a process that is not started yet. All is done in one thread: of two that wait for a process, one
    could take it for alive after the other has seen its end.
    """

    def __init__(self, number: int, create: Callable[[Heartbeat], BaseProcess]) -> None:
        self.number = number
        self._create = create
        self._process: BaseProcess | None = None
        self._watchdog = Watchdog(Heartbeat())
        self._born = 0.0
        self._pause = 0.0
        self._due = float("-inf")

    @property
    def sentinels(self) -> list[int]:
        """A descriptor that becomes readable when the process ends."""
        return [] if self._process is None else [self._process.sentinel]

    @property
    def wait(self) -> float:
        """The seconds until the next `look`, if nothing happens before."""
        return BEAT if self._process else max(self._due - time.monotonic(), 0)

    def look(self) -> None:
        """See to it that a worker serves."""
        now = time.monotonic()
        if self.has_ended():
            self._bury(now)
        if self._process is None:
            if now >= self._due:
                self._start(now)
        elif self._watchdog.has_stalled(now):
            LOG.error("a worker whose event loop has stalled is killed", worker=self.number, pid=self._process.pid)
            self._process.kill()
            self._watchdog = Watchdog(Heartbeat())  # that does not see another stall before the end

    def has_ended(self) -> bool:
        """Whether there was a process, which is gone."""
        return self._process is not None and not self._process.is_alive()

    def terminate(self) -> None:
        """Ask the process to stop."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def is_empty(self) -> bool:
        """Whether no process is left."""
        return self._process is None or self.has_ended()

    def _start(self, now: float) -> None:
        heartbeat = Heartbeat()
        process = self._create(heartbeat)
        try:
            process.start()
        except OSError as fault:  # no memory for one more, or no process
            self._postpone(now, 0)
            LOG.error("a worker can't be started", worker=self.number, fault=str(fault), pause=self._pause)
            return
        self._process, self._watchdog, self._born = process, Watchdog(heartbeat), now

    def _bury(self, now: float) -> None:
        assert self._process is not None
        pid, code = self._process.pid, self._process.exitcode or 0
        self._process.close()
        self._process = None
        self._postpone(now, now - self._born)
        reason = f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"
        LOG.error("a worker has ended unasked", worker=self.number, pid=pid, reason=reason, pause=self._pause)

    def _postpone(self, now: float, lived: float) -> None:
        self._pause = 0.0 if lived >= LONG_LIFE else min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        self._due = now + self._pause
