"""`drivebay verify` in a process of its own, and in this one, where that takes a second less."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.check.command import drivebay
from tests.http.server import DRIVEBAY

PATIENCE = 100  # seconds


@dataclass(frozen=True)
class Told:
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


def verify(folder: Path, *options: str, settings: Mapping[str, Any] | None = None) -> Told:
    """Run it in `folder`, with `settings` as its environment and nothing else of ours but the path."""
    ended = subprocess.run(
        [DRIVEBAY, "verify", *options],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **(settings or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Told(ended.returncode, ended.stdout, ended.stderr)


def verify_here(folder: Path, *options: str, settings: Mapping[str, Any]) -> Told:
    """The same in this process."""
    told = drivebay(folder, "verify", *options, settings=settings)
    return Told(told.code, told.out, told.errors)
