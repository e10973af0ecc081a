"""The commands for users, in processes of their own."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.http.server import DRIVEBAY
from tests.http.wire import TOKEN

PATIENCE = 100  # seconds


@dataclass(frozen=True)
class Ended:
    """The output of a command, and its exit code."""

    code: int
    out: str
    errors: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The lines of the output, which are JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """A home directory, and a server."""

    def __init__(self, home: Path, url: str | None, **environment: str) -> None:
        self.home = home
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", **environment}
        if url is not None:
            self.environment = {"DRIVEBAY_URL": url, "DRIVEBAY_TOKEN": TOKEN, **self.environment}

    def run(self, *arguments: str, given: bytes = b"", **environment: str) -> Ended:
        ended = subprocess.run(
            [DRIVEBAY, *arguments],
            cwd=self.home,
            env=self.environment | environment,
            input=given,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command, and let it run."""
        return await asyncio.create_subprocess_exec(
            DRIVEBAY,
            *arguments,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


async def end(process: asyncio.subprocess.Process) -> Ended:
    """Wait until a command has ended."""
    out, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), errors.decode())


async def interrupt(process: asyncio.subprocess.Process) -> Ended:
    """Press Ctrl-C."""
    process.send_signal(signal.SIGINT)
    return await end(process)


def names_below(folder: Path) -> Sequence[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
