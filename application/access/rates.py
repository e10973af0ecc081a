"""Limits on the requests of a key."""

import time
from collections.abc import Callable

from application.attempts import record
from domain.access import Grant
from domain.errors import RateLimited

CAPACITY = 10_000  # keys


class RequestRates:
    """Admits so many requests per second of each key that has such a limit, in this process.

    A key may send the requests of one second at once, after a pause. What is not used is not saved for longer.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent_until: dict[str, float] = {}

    def admit(self, grant: Grant) -> None:
        """Count a request. Raises RATE_LIMITED if it is one too many."""
        rate = grant.limits.requests_per_second
        if rate is None:
            return
        now = self._clock()
        burst = max(1.0, 1 / rate)  # seconds; at least one request
        spent_until = max(self._spent_until.pop(grant.key_id, 0.0), now) + 1 / rate
        wait = spent_until - (now + burst)
        if wait > 1e-9:
            self._spent_until[grant.key_id] = spent_until - 1 / rate
            record(grant, "request", is_granted=False)
            error = RateLimited()
            error.retry_after = wait
            raise error
        while len(self._spent_until) >= CAPACITY:
            self._spent_until.pop(next(iter(self._spent_until)))
        self._spent_until[grant.key_id] = spent_until
