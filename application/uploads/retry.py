"""Further attempts at a write that failed temporarily."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from domain.errors import BlobError

LONGEST_WAIT = 2.0  # seconds
RetryReport = Callable[[str, BlobError, float], None]
"""Called before a further attempt, with the backend, the error, and the seconds until then."""


def unreported(backend: str, error: BlobError, seconds: float) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Up to `attempts` attempts; the second starts up to `first_wait` seconds after the first has failed."""

    attempts: int = 1
    report: RetryReport = unreported
    first_wait: float = 0.2

    def waits(self) -> Iterator[float]:
        """Yield the seconds before each further attempt: increasing, and random, so that many writers spread out."""
        for doublings in range(self.attempts - 1):
            longest = min(self.first_wait * 2 ** min(doublings, 10), LONGEST_WAIT)
            yield random.uniform(longest / 2, longest)  # noqa: S311 - not a secret


ONCE = Retry()
