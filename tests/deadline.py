"""A deadline that turns a hang into a failure."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class DeadlinePassedError(Exception):
    """The work took more processor time than it may."""


@contextmanager
def processor_time(seconds: float) -> Iterator[None]:
    """Let the work inside take this much of the processor at most. Other load on the machine does not count.

    Regular expressions are interrupted too: their engine heeds signals.
    """

    passed = DeadlinePassedError(f"it took more than {seconds} seconds of processor time")
    is_passed = False

    def pass_deadline(*_: object) -> None:
        nonlocal is_passed
        is_passed = True
        raise passed

    before = signal.signal(signal.SIGVTALRM, pass_deadline)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    if is_passed:
        raise passed  # the work has handled it
