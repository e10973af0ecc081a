"""The steps of a check: their times and their errors."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from domain.errors import BlobError, IntegrityError


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a check, and the `error` that it failed with, if it did."""

    name: str
    seconds: float
    error: BlobError | None = None


@dataclass(frozen=True, slots=True)
class Checklist:
    """The steps taken on one backend, in their order. Only the last may have failed."""

    backend: str = ""
    taken: list[Step] = field(default_factory=list)
    monotonic: Callable[[], float] = time.monotonic

    @contextmanager
    def taking(self, name: str) -> Iterator[None]:
        """Time the body as a step. Record its error, and raise it again."""
        began = self.monotonic()
        try:
            yield
        except BlobError as error:
            error.locate(self.backend, name)
            self.taken.append(Step(name, self.monotonic() - began, error))
            raise
        self.taken.append(Step(name, self.monotonic() - began))


def require(holds: bool, otherwise: str) -> None:
    """Raise INTEGRITY with the text `otherwise` unless the condition `holds`."""
    if not holds:
        raise IntegrityError(otherwise)
