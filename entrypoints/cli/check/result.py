"""The result of a check of one part of the configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from application.checks.checklist import Step


class State(Enum):
    """How a part is. The value is what users see."""

    OK = "ok"
    NOT_YET = "not yet"
    """Nothing is known to be wrong, and not all was tried: something that a start makes is not there."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A part, its state, what was seen, and what to do about it. `steps`: what was tried; only the last may fail."""

    part: str
    state: State
    summary: str
    to_do: str = ""
    steps: Sequence[Step] = ()
