"""The result of a check of one part of the configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from application.checks.checklist import Step


class State(Enum):
    """The state of a part. Users see the value."""

    OK = "ok"
    NOT_YET = "not yet"
    """No error is known, but not all was tried: something that a start makes does not exist yet."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A part, its state, a summary, and the advice. Of the `steps` that were tried, only the last may have failed."""

    part: str
    state: State
    summary: str
    to_do: str = ""
    steps: Sequence[Step] = ()
