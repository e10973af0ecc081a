"""What `drivebay check` says of a part."""

from pathlib import Path
from typing import Any

from tests.check.command import CommandResult, drivebay

SECRET = "hidden-in-the-tests"


def prepare(folder: Path, settings: dict[str, Any] | None = None) -> None:
    """Make the tables."""
    result = drivebay(folder, "migrations", "upgrade", settings=settings)
    assert result.code == 0, result.errors


def steps(result: CommandResult, part: str) -> list[str]:
    """Those that were taken. Fails if one has no duration."""
    taken = result.parts[part]["steps"]
    assert all(step["milliseconds"] >= 0 for step in taken)
    return [step["step"] for step in taken]


def fault(result: CommandResult, part: str, step: str, kind: str = "unavailable") -> tuple[str, str]:
    """The detail of a part that failed in a step, and what to do."""
    found = result.parts[part]
    assert (result.code, found["state"]) == (1, "failed"), found
    assert (found["steps"][-1]["step"], found["steps"][-1]["fault"]) == (step, kind), found
    assert SECRET not in result.out + result.errors
    return found["detail"], found["to_do"]
