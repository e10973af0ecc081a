"""Named points at which a request is recorded, fails, stands still, or takes the process with it.

A header arms one point for one request: `Failpoint: commit:before#2=die` kills the process when the request comes to
`commit:before` for the second time. `Failpoint: record` only notes the points that it passes. A request without the
header passes no points at all, and neither does what runs in the background.
"""

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Self

from domain.errors import Unavailable

HEADER = "Failpoint"
RECORD = "record"
DIE = "die"  # the worker, which its parent replaces
CRASH = "crash"  # worker and parent
RAISE = "raise"
REFUSE = "refuse"  # as a backend that can't be used now
HANG = "hang"  # until it is released; only where the loop can go on with other work
ARMED = re.compile(rf"(.+)#(\d+)=({DIE}|{CRASH}|{RAISE}|{REFUSE}|{HANG})")


class Fault(Exception):
    """What no code expects."""


@dataclass
class Passage:
    """A request on its way. At the point `armed`, when it comes there for the `nth` time, `action` is taken."""

    armed: str = ""
    nth: int = 0
    action: str = ""
    passed: list[str] = field(default_factory=list)
    put_keys: list[str] = field(default_factory=list)
    reached: bool = False
    ended: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _times: Counter[str] = field(default_factory=Counter)

    @classmethod
    def from_header(cls, value: str) -> Self:
        if value == RECORD:
            return cls()
        found = ARMED.fullmatch(value)
        assert found, f"{HEADER}: {value}"
        return cls(found[1], int(found[2]), found[3])

    def due(self, name: str) -> str:
        """The action to take here, if any."""
        self.passed.append(name)
        self._times[name] += 1
        return self.action if name == self.armed and self._times[name] == self.nth else ""


PASSAGE: ContextVar[Passage | None] = ContextVar("passage", default=None)


async def point(name: str) -> None:
    """A point in code of the event loop."""
    passage = PASSAGE.get()
    if passage is not None and (action := passage.due(name)):
        if action == HANG:
            passage.reached = True
            await passage.released.wait()
        else:
            _take(action, name)


def point_that_blocks(name: str) -> None:
    """A point in code that blocks, in a thread or a greenlet."""
    passage = PASSAGE.get()
    if passage is not None and (action := passage.due(name)):
        assert action != HANG, f"{name} can't stand still"
        _take(action, name)


@asynccontextmanager
async def step(name: str) -> AsyncIterator[None]:
    """A point before, and one after what succeeds."""
    await point(f"{name}:before")
    yield
    await point(f"{name}:after")


@contextmanager
def step_that_blocks(name: str) -> Iterator[None]:
    """The same in code that blocks."""
    point_that_blocks(f"{name}:before")
    yield
    point_that_blocks(f"{name}:after")


def _take(action: str, name: str) -> None:
    if action == RAISE:
        raise Fault(name)
    if action == REFUSE:
        raise Unavailable(name)
    if action == CRASH:
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
