"""The commands, called in this process, where that takes a second less; and in processes of their own."""

import json
import os
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from click.testing import CliRunner

from entrypoints.cli.main import main
from tests.http.forking import run

PATIENCE = 100  # seconds


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """`settings`, and nothing else of ours but the path."""
    return {"PATH": os.environ["PATH"], **settings}


@dataclass(frozen=True)
class CommandResult:
    """What it said, and how it ended."""

    code: int
    out: str
    errors: str

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """With `--json`: what was reported of each part."""
        lines = [json.loads(line) for line in self.out.splitlines()[:-1]]
        return {line["part"]: line for line in lines}

    @property
    def states(self) -> dict[str, str]:
        return {part: result["state"] for part, result in self.parts.items()}


def drivebay(folder: Path, *arguments: str, settings: Mapping[str, Any] | None = None) -> CommandResult:
    """Run it in `folder`."""
    # It would send the log lines of the tests, too, to where this command writes.
    with chdir(folder), mock.patch("entrypoints.telemetry.logs.configure"):
        ended = CliRunner(env=settings).invoke(main, arguments)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return CommandResult(ended.exit_code, ended.stdout, ended.stderr)


def drivebay_apart(folder: Path, *arguments: str, settings: Mapping[str, Any] | None = None) -> CommandResult:
    """Run it in `folder`, in a process."""
    ended = run(arguments, folder, environment(settings or {}), PATIENCE)
    return CommandResult(ended.returncode, ended.stdout, ended.stderr)


def check(folder: Path, settings: Mapping[str, Any] | None = None) -> CommandResult:
    """Run `drivebay check --json`."""
    return drivebay(folder, "check", "--json", settings=settings)
