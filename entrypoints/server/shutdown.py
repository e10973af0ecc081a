"""How a worker stops at a SIGTERM: without failing a request."""

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
QUIET = 0.1  # seconds after which who has sent nothing is taken to be idle
QUIET_WITHIN = 1.0  # seconds
ACCEPTED_WITHIN = 5.0  # seconds
KILLED_AFTER = 2.0  # seconds after a worker should have stopped: it hangs


def hold_sigterm() -> None:
    """Hold back a SIGTERM to this worker for `GracefulShutdown`. Ignore a Ctrl-C, which the parent has too.

    A handler in the loop would miss one that comes while the loop does not run: before it starts, or as it listens.
    The parent holds its own signals, so that none is lost between the fork and this either.
    """
    signal.set_wakeup_fd(-1)  # the parent's
    if signal.SIGINT in signal.sigpending():
        signal.sigwait({signal.SIGINT})
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM})


class GracefulShutdown:
    """A stop of this process, in steps, or that there is none yet.

    1. For `drain` seconds all is served as ever, but it is not ready, and each answer is the last of its connection.
    2. New connections are refused. Those that were taken are accepted, and their requests read.
    3. The server stops: it closes what is idle, and finishes what is under way.
    4. After `timeout` seconds what is still under way is cut off, and cleaned up like all that breaks off.

    A process that hangs is killed by its parent after `longest` seconds. One without a parent ends a little later.
    """

    def __init__(self, port: int | None = None, drain: float = 0, timeout: float = 30) -> None:
        self._port = port
        self._drain = drain
        self._timeout = timeout
        self._steps: asyncio.Task[None] | None = None

    @property
    def longest(self) -> float:
        return self._drain + ACCEPTED_WITHIN + self._timeout + KILLED_AFTER

    @property
    def has_begun(self) -> bool:
        return self._steps is not None

    @asynccontextmanager
    async def at_sigterm(self) -> AsyncIterator[None]:
        """It begins at a SIGTERM, which was held. The HTTP server's own way to stop is the one for SIGINT."""
        if self._port is not None:
            begin = partial(asyncio.get_running_loop().call_soon_threadsafe, self._begin, self._port)
            threading.Thread(target=_at_each_sigterm, args=(begin, self.longest), name="sigterm", daemon=True).start()
        try:
            yield
        finally:
            if self._steps is not None:
                self._steps.cancel()  # nothing is left that could be cut off
                with suppress(asyncio.CancelledError):
                    await self._steps

    def _begin(self, port: int) -> None:
        if self._steps is not None:
            return
        if not sockets.is_served(port):
            raise SystemExit  # the start still waits for something
        self._steps = asyncio.get_running_loop().create_task(self._stop(port))

    async def _stop(self, port: int) -> None:
        await asyncio.sleep(self._drain)
        if not sockets.turn_away(port):
            LOG.info("this system turns nobody away: who connects while the listener closes is reset")
        if sys.platform == "linux":
            await _settled(port)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(self._timeout)
        LOG.warning("requests that did not end in time are cut off")
        sockets.cut_all(port)


def _at_each_sigterm(act: Callable[[], object], longest: float) -> None:
    while signal.sigwait({signal.SIGTERM}):
        signal.alarm(ceil(longest + KILLED_AFTER))  # the kernel's, which needs no help of what hangs
        with suppress(RuntimeError):  # the loop is closed: it has stopped
            act()


async def _settled(port: int) -> None:
    """Wait until whoever is connected was heard, or sends nothing: what the server then closes is idle."""
    started = time.monotonic()
    while True:
        await asyncio.sleep(TICK)
        now = sockets.traffic(port)
        within = ACCEPTED_WITHIN if now.waiting else QUIET_WITHIN if now.quiet < QUIET * 1000 else 0
        if time.monotonic() - started > within:
            break
