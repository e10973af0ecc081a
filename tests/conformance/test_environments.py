"""The environments of the clients: their lock files, and how they are installed."""

import json
import re
from pathlib import Path

import pytest

from tests.conformance.environments import LOCKS, _install, _install_modules

NAMES = sorted(path.stem for path in LOCKS.glob("*.in"))
NODE_NAMES = sorted(path.parent.name for path in LOCKS.glob("*/package.json"))


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


@pytest.mark.parametrize("name", NODE_NAMES)
def test_a_lock_file_of_node_has_all_hashes_and_names_no_host(name: str) -> None:
    wanted = json.loads((LOCKS / name / "package.json").read_text())["dependencies"]
    packages = json.loads((LOCKS / name / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == wanted
    assert {f"node_modules/{each}" for each in wanted} <= packages.keys()
    for package in packages.values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package


def test_what_is_not_pinned_by_hash_is_not_installed(tmp_path: Path) -> None:
    lock = tmp_path / "bad.lock"
    lock.write_text("boto3\n")
    with pytest.raises(RuntimeError, match=r"(?s)bad.lock can't be installed: .*hashes"):
        _install(tmp_path / "environment", lock)


def test_a_module_of_node_that_has_another_hash_is_not_installed(tmp_path: Path) -> None:
    lock = tmp_path / "bad" / "package-lock.json"
    lock.parent.mkdir()
    good = LOCKS / "tus_js"
    lock.with_name("package.json").write_text((good / "package.json").read_text())
    text = (good / "package-lock.json").read_text()
    lock.write_text(re.sub(r'"sha512-[^"]*"', f'"sha512-{"A" * 86}=="', text, count=1))
    with pytest.raises(RuntimeError, match=r"(?s)package-lock.json can't be installed: .*EINTEGRITY"):
        _install_modules(tmp_path / "modules", lock)
