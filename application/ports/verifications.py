"""The port to the rows of verifications."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of the verification of a storage.

    `deep`: all bytes were read. `complete`: all of it could be verified. `blobs`, `bytes` and `objects`: the numbers of
    those verified. The others are numbers of findings, of which `repaired` were repaired.
    """

    storage: str
    begun_at: datetime
    ended_at: datetime
    deep: bool = False
    complete: bool = True
    blobs: int = 0
    bytes: int = 0
    objects: int = 0
    missing: int = 0
    damaged: int = 0
    orphans: int = 0
    unreadable: int = 0
    repaired: int = 0


class VerificationReader(Protocol):
    """Reads verifications outside any unit of work. Each call sees everything committed before it."""

    @abstractmethod
    async def last(self) -> Sequence[Verification]:
        """Return the last verification of each storage that was verified, in the order of their names' bytes."""


class VerificationRepository(VerificationReader, Protocol):
    """The last verification of each storage."""

    @abstractmethod
    async def record(self, verification: Verification) -> None:
        """Record a verification in place of the earlier one of its storage.

        Of concurrent units that record one for the same storage, all succeed, and the last commit counts.
        """
