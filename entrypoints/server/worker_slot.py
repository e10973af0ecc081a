"""A worker and its replacements."""

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
    """Starts a worker, and replaces it after it has died or its event loop has stalled.

    A worker that dies early is replaced after a growing pause, so that crash loops cost little. `create` returns a
    process that is not started yet. Not thread-safe: after one thread has reaped a process, it looks alive to another.
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
        """The seconds until the next `check`, unless the process ends before."""
        return BEAT if self._process else max(self._due - time.monotonic(), 0)

    def check(self) -> None:
        """Start or replace the worker if necessary."""
        now = time.monotonic()
        if self.has_ended():
            self._remove(now)
        if self._process is None:
            if now >= self._due:
                self._start(now)
        elif self._watchdog.has_stalled(now):
            LOG.error("a worker whose event loop has stalled is killed", worker=self.number, pid=self._process.pid)
            self._process.kill()
            self._watchdog = Watchdog(Heartbeat())  # does not report another stall

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process is not None and not self._process.is_alive()

    def terminate(self) -> None:
        """Send a SIGTERM to the process."""
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
        except OSError as error:  # out of memory or processes
            self._postpone(now, 0)
            LOG.error("a worker can't be started", worker=self.number, fault=str(error), pause=self._pause)
            return
        self._process, self._watchdog, self._born = process, Watchdog(heartbeat), now

    def _remove(self, now: float) -> None:
        assert self._process is not None
        pid, code = self._process.pid, self._process.exitcode or 0
        self._process.close()
        self._process = None
        self._postpone(now, now - self._born)
        reason = f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"
        LOG.error("a worker has ended unexpectedly", worker=self.number, pid=pid, reason=reason, pause=self._pause)

    def _postpone(self, now: float, lived: float) -> None:
        self._pause = 0.0 if lived >= LONG_LIFE else min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        self._due = now + self._pause
