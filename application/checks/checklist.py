"""What a check does, step by step: how long each step took, and what went wrong in it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from domain.errors import BlobError, IntegrityError


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was tried, and the `fault` that it failed with, if it did."""

    name: str
    seconds: float
    fault: BlobError | None = None


@dataclass(frozen=True, slots=True)
class Checklist:
    """Steps that were taken on one backend, in their order. Only the last may have failed."""

    backend: str = ""
    taken: list[Step] = field(default_factory=list)
    monotonic: Callable[[], float] = time.monotonic

    @contextmanager
    def taking(self, name: str) -> Iterator[None]:
        """What is done inside is a step. If it fails, that is noted, and raised."""
        began = self.monotonic()
        try:
            yield
        except BlobError as fault:
            fault.locate(self.backend, name)
            self.taken.append(Step(name, self.monotonic() - began, fault))
            raise
        self.taken.append(Step(name, self.monotonic() - began))


def require(holds: bool, otherwise: str) -> None:
    """Raise INTEGRITY, `otherwise`."""
    if not holds:
        raise IntegrityError(otherwise)
