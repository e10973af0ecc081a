"""Verifications in memory."""

from collections.abc import Sequence

from adapters.metadata.memory.rows import Tables
from application.ports.verifications import Verification, VerificationRepository


class MemoryVerifications(VerificationRepository):
    def __init__(self, tables: Tables) -> None:
        self._rows = tables.verifications

    async def last(self) -> Sequence[Verification]:
        return sorted(self._rows.values(), key=lambda each: each.storage.encode())

    async def record(self, verification: Verification) -> None:
        self._rows.set(verification.storage, verification)
