"""Signals to the parent of the workers, blocked except while it waits."""

import os
import signal
from collections.abc import Iterable
from multiprocessing import connection

HANDLED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class HeldSignals:
    """Blocks the signals from its creation on. Create it in the main thread, which needs a handler for each of them.

    They never interrupt a fork, and a worker starts with all of them blocked, so that none is lost.
    """

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def wait(self, sentinels: Iterable[int], timeout: float | None) -> set[int]:
        """Wait for a signal, for one of the `sentinels`, or for `timeout` seconds. Return the signals received."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        try:
            connection.wait([self._reader, *sentinels], timeout)
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            return set(os.read(self._reader, 4096))
        except BlockingIOError:
            return set()

    def add(self, number: int) -> None:
        """Let `wait` return this number like that of a signal. Thread-safe."""
        os.write(self._writer, bytes([number]))
