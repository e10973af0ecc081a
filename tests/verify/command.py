"""`drivebay verify` in a process of its own, and in this one, where that takes a second less."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.check.command import drivebay, environment
from tests.http.forking import run

PATIENCE = 100  # seconds


@dataclass(frozen=True)
class CommandResult:
    """What it said, and how it ended."""

    code: int
    out: str
    errors: str

    @property
    def faults(self) -> list[dict[str, Any]]:
        """With `--json`: all lines but the last."""
        return [json.loads(line) for line in self.out.splitlines()[:-1]]

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(self.out.splitlines()[-1])["summary"]
        return summary

    @property
    def storages(self) -> dict[str, dict[str, Any]]:
        return {each["storage"]: each for each in self.summary["storages"]}


def verify(folder: Path, *options: str, settings: Mapping[str, Any] | None = None) -> CommandResult:
    """Run it in `folder`, with `settings` as its environment and nothing else of ours but the path."""
    ended = run(["verify", *options], folder, environment(settings or {}), PATIENCE)
    return CommandResult(ended.returncode, ended.stdout, ended.stderr)


def verify_here(folder: Path, *options: str, settings: Mapping[str, Any]) -> CommandResult:
    """The same in this process."""
    result = drivebay(folder, "verify", *options, settings=settings)
    return CommandResult(result.code, result.out, result.errors)
