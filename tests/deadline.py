"""A limit on the processor time of work: slow work fails, and a hang is ended."""

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from resource import RUSAGE_SELF, getrusage

ATTEMPTS = 3
HANG = 10  # times the limit


class DeadlinePassedError(Exception):
    """The work took more processor time than it may."""


def in_time(seconds: float) -> Iterator[AbstractContextManager[None]]:
    """Yield attempts at the same work until one takes this much of the processor at most.

    Other load on the machine does not count. A virtual machine that stands still may charge that time to the work,
    but not to each attempt; slow work is slow each time. Raises DeadlinePassedError after the third attempt, and at
    once for a hang.

        for attempt in in_time(2):
            with attempt:
                parse(value)
    """
    for _ in range(ATTEMPTS):
        start = getrusage(RUSAGE_SELF).ru_utime
        yield _without_hang(seconds * HANG)
        if getrusage(RUSAGE_SELF).ru_utime - start <= seconds:
            return
    raise DeadlinePassedError(f"it took more than {seconds} seconds of processor time, {ATTEMPTS} times")


@contextmanager
def _without_hang(seconds: float) -> Iterator[None]:
    """End the work inside. Regular expressions are interrupted too: their engine heeds signals."""
    hang = DeadlinePassedError(f"it took more than {seconds} seconds of processor time")
    is_passed = False

    def end(*_: object) -> None:
        nonlocal is_passed
        is_passed = True
        raise hang

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    if is_passed:
        raise hang  # the work has handled it
