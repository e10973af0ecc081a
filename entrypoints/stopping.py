"""How a worker stops without failing a request, at a SIGTERM."""

import asyncio
import os
import signal
import time
from contextlib import suppress

import structlog

from entrypoints import connections

LOG = structlog.get_logger()
TICK = 0.02  # seconds
QUIET = 0.1  # seconds after which who has sent nothing is taken to be idle
SETTLED_WITHIN = 1.0  # seconds; whom nobody answers asks again after one


class Stopping:
    """A stop of this process, in steps, or that there is none yet.

    1. For `drain` seconds all is served as ever, but it is not ready, and each answer is the last of its connection.
    2. No new connections are taken. Those that were are accepted, and their requests read.
    3. The server stops: it closes what is idle, and finishes what is under way.
    4. After `timeout` seconds what is still under way is cut off, and cleaned up like all that breaks off.
    """

    def __init__(self, port: int = 0, drain: float = 0, timeout: float = 30) -> None:
        self._port = port
        self._drain = drain
        self._timeout = timeout
        self._steps: asyncio.Task[None] | None = None

    @property
    def has_begun(self) -> bool:
        return self._steps is not None

    def stop_at_sigterm(self) -> None:
        """From here on, in the running loop. The server's own way to stop stays the one for SIGINT."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.begin)

    def begin(self) -> None:
        if self._steps is None:
            self._steps = asyncio.get_running_loop().create_task(self._stop())

    async def end(self) -> None:
        """When all is done: nothing is to be cut off any more."""
        if self._steps is not None:
            self._steps.cancel()
            with suppress(asyncio.CancelledError):
                await self._steps

    async def _stop(self) -> None:
        await asyncio.sleep(self._drain)
        if connections.turn_away(self._port):
            await self._settled()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(self._timeout)
        LOG.warning("requests that did not end in time are cut off")
        connections.cut_all(self._port)

    async def _settled(self) -> None:
        """Wait until whoever is connected was heard, or sends nothing: what the server then closes is idle."""
        deadline = time.monotonic() + SETTLED_WITHIN
        while time.monotonic() < deadline:
            await asyncio.sleep(TICK)
            now = connections.traffic(self._port)
            if not now.waiting and now.quiet > QUIET * 1000:
                break
