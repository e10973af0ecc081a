"""A graceful stop of a worker at a SIGTERM, without failed requests."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import ceil

import structlog

from entrypoints.server import sockets

LOG = structlog.get_logger()
TICK = 0.02  # seconds
QUIET = 1.0  # seconds without data after which a client counts as idle: a far one needs a round trip to ask again
QUIET_WITHIN = 3.0  # seconds for which the stop waits until all are idle
SENT_WITHIN = 1.0  # seconds that a client has for its first bytes on a new connection
ACCEPTED_WITHIN = 5.0  # seconds
KILLED_AFTER = 2.0  # seconds of delay after which a stopping worker counts as hung


def hold_sigterm() -> None:
    """Block SIGTERM in this worker, for `GracefulShutdown`. Ignore a Ctrl-C, which the parent also receives.

    A handler in the event loop would miss a signal that arrives before the loop runs. The parent blocks its signals, so
    that none is lost between the fork and this call.
    """
    signal.set_wakeup_fd(-1)  # the parent's
    if signal.SIGINT in signal.sigpending():
        signal.sigwait({signal.SIGINT})
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM})


class GracefulShutdown:
    """The stop of this process, in steps.

    1. For `drain` seconds it serves all requests, but reports that it is not ready, and each response closes its
       connection.
    2. It refuses new connections, accepts the pending ones, and reads their requests.
    3. The server closes idle connections, and completes requests in progress.
    4. After `timeout` seconds, it closes the other connections, and cleans up their requests.

    The parent kills a hung process after `longest` seconds. Without a parent, the kernel kills it a little later.
    """

    def __init__(self, port: int | None = None, drain: float = 0, timeout: float = 30) -> None:
        self._port = port
        self._drain = drain
        self._timeout = timeout
        self._steps: asyncio.Task[None] | None = None
        self.has_begun = False

    @property
    def longest(self) -> float:
        return self._drain + ACCEPTED_WITHIN + self._timeout + KILLED_AFTER

    @asynccontextmanager
    async def at_sigterm(self) -> AsyncIterator[None]:
        """Begin the stop at a SIGTERM. In step 3, a SIGINT stops the HTTP server."""
        if self._port is not None:
            begin = partial(asyncio.get_running_loop().call_soon_threadsafe, self._begin, self._port)
            threading.Thread(target=_at_each_sigterm, args=(begin, self.longest), name="sigterm", daemon=True).start()
        try:
            yield
        finally:
            if self._steps is not None:
                self._steps.cancel()  # no connection is left to close
                with suppress(asyncio.CancelledError):
                    await self._steps

    def _begin(self, port: int) -> None:
        if self._steps is not None:
            return
        if not sockets.is_served(port):
            raise SystemExit  # the start is not complete
        self._steps = asyncio.get_running_loop().create_task(self._stop(port))
        self.has_begun = True

    async def _stop(self, port: int) -> None:
        await asyncio.sleep(self._drain)
        if not sockets.refuse_new(port):
            LOG.info(
                "this system can't refuse new connections early: some that arrive while the listener closes are reset"
            )
        if sys.platform == "linux":
            try:
                await _accept_pending(port)
            except Exception:
                LOG.exception("the pending connections can't be seen: the stop goes on without waiting for them")
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(self._timeout)
        LOG.warning("requests that did not end in time are aborted")
        sockets.cut_all(port)


def _at_each_sigterm(act: Callable[[], object], longest: float) -> None:
    while signal.sigwait({signal.SIGTERM}):
        signal.alarm(ceil(longest + KILLED_AFTER))  # a hung process can't stop itself
        with suppress(RuntimeError):  # the loop is closed: the worker has stopped
            act()


async def _accept_pending(port: int) -> None:
    """Wait until all connections are accepted, and their clients idle or their requests read.

    A client that has just connected, and is slow to send its request, is waited for too.
    """
    started = time.monotonic()
    while True:
        await asyncio.sleep(TICK)
        now = sockets.traffic(port)
        if now.waiting or now.new < SENT_WITHIN * 1000:
            within = ACCEPTED_WITHIN
        else:
            within = QUIET_WITHIN if now.quiet < QUIET * 1000 else 0
        if time.monotonic() - started > within:
            break
