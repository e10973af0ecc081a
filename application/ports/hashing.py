"""The port to hashes whose state can be kept."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol


class ResumableHash(Protocol):
    """SHA-256 (FIPS 180-4) of bytes that come one after another."""

    @abstractmethod
    def update(self, data: bytes) -> None:
        """Add bytes. May be called in a thread."""

    @abstractmethod
    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""

    @abstractmethod
    def state(self) -> bytes | None:
        """Return a state from which another process can go on, up to 1 KiB; None if there is none."""


HashFactory = Callable[[bytes | None], ResumableHash | None]
"""Returns a hash that goes on from a state, or a new one for None. It returns None for a state that it can't use."""
