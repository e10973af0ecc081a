"""Passwords, as hashes of scrypt (RFC 7914) with a salt of their own."""

import asyncio
import base64
import hashlib
import hmac
import secrets

from domain.errors import RateLimited

COST = 2**14  # 16 MiB, and some 50 milliseconds
BLOCK = 8
MAX_BYTES = 1024  # of a password
AT_ONCE = 2
WAITING = 20


class Passwords:
    """Hashes and compares passwords in threads, a few at once: each takes a core for a while."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def hashed(self, password: bytes) -> str:
        """Return the hash of a password, with its parameters and salt."""
        salt = secrets.token_bytes(16)
        return f"scrypt${COST}${_text(salt)}${_text(await self._scrypt(password, salt, COST))}"

    async def matches(self, password: bytes, stored: str) -> bool:
        """Return whether this is the password with the hash `stored`. The comparison takes constant time."""
        _, cost, salt, expected = stored.split("$")
        found = await self._scrypt(password[: MAX_BYTES + 1], base64.b64decode(salt), int(cost))
        return hmac.compare_digest(found, base64.b64decode(expected))

    async def _scrypt(self, password: bytes, salt: bytes, cost: int) -> bytes:
        if self._waiting >= WAITING:
            raise RateLimited("Too many passwords are being checked. Try again later.")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        call = asyncio.to_thread(
            hashlib.scrypt, password, salt=salt, n=cost, r=BLOCK, p=1, maxmem=64 * 1024**2, dklen=32
        )
        running = asyncio.create_task(call)
        running.add_done_callback(lambda _: self._slots.release())
        # A thread runs on when its request is cancelled, and keeps its slot.
        return await asyncio.shield(running)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
