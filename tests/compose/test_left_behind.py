"""The sweep of compose projects that killed test runs have left."""

import json
import secrets
import shutil
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.backends.containers import engine
from tests.backends.run import Backends, hold
from tests.compose.project import KINDS, LABEL, PATIENCE, ROOT, parts, remove, remove_left_behind

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2 * PATIENCE)]

SERVICE = {"build": str(ROOT / "docker" / "setup"), "entrypoint": ["true"], "volumes": ["data:/data"]}
COMPOSE = {"services": {"ended": SERVICE}, "volumes": {"data": {}}}


def left(name: str) -> set[str]:
    """Return the kinds of parts that the project has."""
    with engine() as client:
        return {kind for kind in KINDS if parts(client, kind, f"{LABEL}={name}")}


def start(name: str, folder: Path) -> None:
    """Start a project whose only container ends."""
    (folder / "compose.yaml").write_text(json.dumps(COMPOSE))
    command = ["docker", "compose", "--project-name", name, "up", "--build"]
    subprocess.run(command, cwd=folder, capture_output=True, timeout=PATIENCE, check=True)
    assert left(name) == set(KINDS)


@pytest.mark.parametrize("gone", [(), ("containers",), ("containers", "networks", "volumes")])
def test_all_parts_of_a_killed_run_are_removed(tmp_path: Path, gone: tuple[str, ...]) -> None:
    run = Path("/tmp") / f"drivebay-tests-{secrets.token_hex(4)}"  # noqa: S108 - where runs make their folders
    name = f"{run.name}-killed"
    run.mkdir()
    try:
        with closing(hold(run)):  # until then, other processes of these tests do not sweep it
            start(name, tmp_path)
            with engine() as client:
                removals = {
                    "containers": client.api.remove_container,
                    "networks": client.api.remove_network,
                    "volumes": client.api.remove_volume,
                }
                for kind in gone:
                    for part, _ in parts(client, kind, f"{LABEL}={name}"):
                        removals[kind](part)
        remove_left_behind()
        # Another process may have swept first, and be at it still.
        deadline = time.monotonic() + PATIENCE
        while left(name) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left(name) == set()
    finally:
        remove(name)
        shutil.rmtree(run)


def test_a_run_that_lives_keeps_its_projects(tmp_path: Path, backends: Backends) -> None:
    name = f"{backends.folder.name}-lives"
    try:
        start(name, tmp_path)
        remove_left_behind()
        assert left(name) == set(KINDS)
    finally:
        remove(name)
    assert left(name) == set()
