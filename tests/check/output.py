"""What `drivebay check` says of a part."""

from pathlib import Path
from typing import Any

from tests.check.command import Told, drivebay

SECRET = "hidden-in-the-tests"


def prepare(folder: Path, settings: dict[str, Any] | None = None) -> None:
    """Make the tables."""
    told = drivebay(folder, "migrations", "upgrade", settings=settings)
    assert told.code == 0, told.errors


def steps(told: Told, part: str) -> list[str]:
    """Those that were taken. Fails if one has no duration."""
    taken = told.parts[part]["steps"]
    assert all(step["milliseconds"] >= 0 for step in taken)
    return [step["step"] for step in taken]


def fault(told: Told, part: str, step: str, kind: str = "unavailable") -> tuple[str, str]:
    """What is told of a part that failed in a step, and what to do."""
    found = told.parts[part]
    assert (told.code, found["state"]) == (1, "failed"), found
    assert (found["steps"][-1]["step"], found["steps"][-1]["fault"]) == (step, kind), found
    assert SECRET not in told.out + told.errors
    return found["detail"], found["to_do"]
