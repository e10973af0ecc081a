"""The environments of the clients: their lock files, and how they are installed."""

import re
import venv
from pathlib import Path

import pytest

from tests.conformance.environments import LOCKS, _install

NAMES = sorted(path.stem for path in LOCKS.glob("*.in"))


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_file_pins_all_by_hash_and_names_no_host(name: str) -> None:
    lock = (LOCKS / f"{name}.lock").read_text()
    assert "://" not in lock
    assert "--index-url" not in lock
    pins = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==", lock, re.MULTILINE)
    assert lock.count("--hash=sha256:") >= len(pins)
    wanted = re.findall(r"^([a-z][\w.-]*)", (LOCKS / f"{name}.in").read_text(), re.MULTILINE)
    assert wanted
    assert set(wanted) <= set(pins)


def test_what_is_not_pinned_by_hash_is_not_installed(tmp_path: Path) -> None:
    venv.create(tmp_path / "environment", symlinks=True)
    lock = tmp_path / "bad.lock"
    lock.write_text("boto3\n")
    with pytest.raises(RuntimeError, match=r"(?s)bad.lock can't be installed: .*hashes"):
        _install(tmp_path / "environment", lock)
