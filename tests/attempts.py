"""The attempts that use cases record for the audit trail."""

from collections.abc import Iterator
from contextlib import contextmanager

from application.attempts import ATTEMPTS, Attempt


@contextmanager
def recorded() -> Iterator[list[Attempt]]:
    """Yield the attempts that are recorded inside, as if by one request."""
    attempts = list[Attempt]()
    token = ATTEMPTS.set(attempts)
    try:
        yield attempts
    finally:
        ATTEMPTS.reset(token)
