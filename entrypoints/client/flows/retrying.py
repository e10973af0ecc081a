"""Requests that are repeated after a temporary failure, if that is safe."""

import random
import time
from dataclasses import dataclass

from entrypoints.client.errors import UNCHANGED, ConnectionFailed, DrivebayError
from entrypoints.client.flows.commands import Call, Flow, Open, Reply, Sleep

TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})
NEVER = frozenset({"integrity", "internal_error", "not_implemented"})
MAX_DOUBLINGS = 30  # of a pause; more would exceed what a float can hold


@dataclass(frozen=True, slots=True)
class Retries:
    """How a failed request is repeated: up to `attempts` times in all, as long as no bytes move in between.

    With more than one, timeouts do not count while the server compares a large upload with its digest.
    The pauses double from `pause` seconds to `longest`, and are varied by chance. The server's Retry-After counts if
    it is longer, up to a minute.
    """

    attempts: int = 6
    pause: float = 0.25
    longest: float = 10.0
    longest_asked: float = 60.0


class Attempts:
    """The attempts of one request, or of one transfer."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self.moved()

    def moved(self) -> None:
        """Begin to count again, because the transfer has got further."""
        self._failures = self._timeouts = 0
        self._timed_out_at: float | None = None

    def wait(self, error: DrivebayError, patience: float = 0) -> Flow[None]:
        """Wait before another attempt. Raises `error` after the last one.

        Timeouts do not count as attempts for `patience` seconds after the first of them.
        """
        if self._is_within_patience(error, patience):
            self._timeouts += 1
        else:
            self._failures += 1
        if self._failures >= self._retries.attempts:
            raise error
        doublings = min(self._failures + self._timeouts - 1, MAX_DOUBLINGS)
        pause = min(self._retries.pause * 2**doublings, self._retries.longest)
        pause *= random.uniform(0.5, 1)  # noqa: S311 - so that clients do not come back all at the same moment
        asked = min(error.retry_after or 0, self._retries.longest_asked)
        yield Sleep(max(pause, asked))

    def _is_within_patience(self, error: DrivebayError, patience: float) -> bool:
        if not patience or not is_timeout(error) or self._retries.attempts == 1:
            return False
        now = time.monotonic()
        if self._timed_out_at is None:
            self._timed_out_at = now
        return now < self._timed_out_at + patience


def is_temporary(error: DrivebayError) -> bool:
    """Return whether the same request may succeed later."""
    if isinstance(error, ConnectionFailed):
        return True
    return error.status in TEMPORARY and error.code not in NEVER


def is_timeout(error: DrivebayError) -> bool:
    """Return whether a server that is still at work may be the cause."""
    return error.status == 504 or (isinstance(error, ConnectionFailed) and error.is_timeout)


def has_changed_nothing(error: DrivebayError) -> bool:
    """Return whether the server has certainly not done what was asked."""
    return not error.was_sent if isinstance(error, ConnectionFailed) else error.code in UNCHANGED


def send(call: Call, retries: Retries, *, repeatable: bool = True, patience: float = 0) -> Flow[Reply]:
    """Return a successful response. Raises the error of another one.

    `repeatable`: the request may be made twice with the effect of one. `patience`: see `Attempts.wait`.
    """
    attempts = Attempts(retries)
    while True:
        try:
            reply: Reply = yield call
            if reply.is_success:
                return reply
            raise reply.error()
        except DrivebayError as error:
            if not is_temporary(error) or not (repeatable or has_changed_nothing(error)):
                raise
            yield from attempts.wait(error, patience)


def open_stream(call: Call) -> Flow[Reply]:
    """Return a successful response whose body is yet to be read. Raises the error of another one."""
    reply: Reply = yield Open(call)
    if reply.stream is None:
        raise reply.error()
    return reply
