"""How a worker stops without failing a request, at a SIGTERM."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from entrypoints import connections

LOG = structlog.get_logger()
TICK = 0.02  # seconds
QUIET = 0.1  # seconds after which who has sent nothing is taken to be idle
QUIET_WITHIN = 1.0  # seconds
ACCEPTED_WITHIN = 5.0  # seconds


class Stopping:
    """A stop of this process, in steps, or that there is none yet.

    1. For `drain` seconds all is served as ever, but it is not ready, and each answer is the last of its connection.
    2. No new connections are taken. Those that were are accepted, and their requests read.
    3. The server stops: it closes what is idle, and finishes what is under way.
    4. After `timeout` seconds what is still under way is cut off, and cleaned up like all that breaks off.
    """

    def __init__(self, port: int | None = None, drain: float = 0, timeout: float = 30) -> None:
        self._port = port
        self._drain = drain
        self._timeout = timeout
        self._steps: asyncio.Task[None] | None = None

    @property
    def has_begun(self) -> bool:
        return self._steps is not None

    @asynccontextmanager
    async def at_sigterm(self) -> AsyncIterator[None]:
        """It begins at a SIGTERM, inside, for the server at the port. Its own way to stop stays the one for SIGINT."""
        if self._port is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._begin, self._port)
        try:
            yield
        finally:
            if self._steps is not None:
                self._steps.cancel()  # nothing is left that could be cut off
                with suppress(asyncio.CancelledError):
                    await self._steps

    def _begin(self, port: int) -> None:
        if not connections.is_served(port):
            raise SystemExit  # the start still waits for something
        if self._steps is None:
            self._steps = asyncio.get_running_loop().create_task(self._stop(port))

    async def _stop(self, port: int) -> None:
        await asyncio.sleep(self._drain)
        if connections.turn_away(port):
            await _settled(port)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(self._timeout)
        LOG.warning("requests that did not end in time are cut off")
        connections.cut_all(port)


async def _settled(port: int) -> None:
    """Wait until whoever is connected was heard, or sends nothing: what the server then closes is idle."""
    started = time.monotonic()
    while True:
        await asyncio.sleep(TICK)
        now = connections.traffic(port)
        within = ACCEPTED_WITHIN if now.waiting else QUIET_WITHIN if now.quiet < QUIET * 1000 else 0
        if time.monotonic() - started > within:
            break
