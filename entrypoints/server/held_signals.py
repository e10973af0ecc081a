"""Signals to the parent of the workers, held except while it waits."""

import os
import signal
from collections.abc import Iterable
from multiprocessing import connection

HEEDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class HeldSignals:
    """The signals that come from now on. To be made in the main thread, which then needs a handler for each of them.

    A fork is never interrupted by one, and a worker starts with all of them held, so that none is lost on it either.
    """

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def wait(self, sentinels: Iterable[int], timeout: float | None) -> set[int]:
        """Wait for a signal, for one of the `sentinels`, or for `timeout` seconds, and return the signals that came."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        try:
            connection.wait([self._reader, *sentinels], timeout)
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
        try:
            return set(os.read(self._reader, 4096))
        except BlockingIOError:
            return set()

    def add(self, number: int) -> None:
        """Let `wait` return this number, as if it were a signal's. For other threads."""
        os.write(self._writer, bytes([number]))
