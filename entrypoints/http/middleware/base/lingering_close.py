"""Lingering close: after an early response, the rest of the request's body is read and discarded for a while.

If a server closes a connection while the client still sends, the client's next bytes cause a reset. The reset makes
sending fail, and can destroy the response before the client reads it (RFC 9112, section 9.6).
"""

import asyncio
from dataclasses import dataclass

from litestar.types import Receive


@dataclass(frozen=True, slots=True)
class LingerLimits:
    """Limits on lingering, so that clients without a token can't hold connections with it.

    `idle`: seconds without a byte. `total`: seconds per request. `size`: bytes per request. `connections`: lingering
    connections of one worker at the same time; any further one is closed immediately.
    """

    idle: float = 5
    total: float = 30
    size: int = 256 * 1024**2
    connections: int = 1000


class Lingering:
    """The lingering connections of one worker."""

    def __init__(self, limits: LingerLimits) -> None:
        self._limits = limits
        self._free = limits.connections

    async def discard(self, receive: Receive) -> bool:
        """Read until the body ends, the client leaves, or a limit is reached: then False. Nothing is kept."""
        if not self._free:
            return False
        self._free -= 1
        try:
            async with asyncio.timeout(self._limits.total):
                return await self._discard(receive)
        except TimeoutError:
            return False
        finally:
            self._free += 1

    async def _discard(self, receive: Receive) -> bool:
        remaining = self._limits.size
        more = True
        while more and remaining > 0:
            async with asyncio.timeout(self._limits.idle):
                message = await receive()
            if message["type"] != "http.request":
                return True
            remaining -= len(message.get("body", b""))
            more = message.get("more_body", False)
        return not more
