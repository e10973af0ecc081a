"""Environments of clients: virtual ones of Python, because their pins conflict with Drivebay's, and modules of Node.

Each has a lock file in `clients`, and is installed into `.venv-clients` when it is first used. Its name contains a hash
of the lock file, so that a change of this makes another one.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from functools import cache
from pathlib import Path

LOCKS = Path(__file__).parent / "clients"
INSTALLED = Path(__file__).parents[2] / ".venv-clients"
PATIENCE = 600  # seconds


@cache
def environment(name: str) -> Path:
    """Return the folder of the programs of this environment of Python. Install it first if it is not there.

    Any number of processes may ask at the same time: one installs, the others wait. Raises RuntimeError if the
    installation fails.
    """
    lock = LOCKS / f"{name}.lock"
    return _installed(name, lock, sys.version, _install) / "bin"


@cache
def node_modules(name: str) -> Path:
    """Return the folder of the modules of this environment of Node, as `environment` does."""
    version = _output("node", "--version")
    return _installed(name, LOCKS / name / "package-lock.json", version, _install_modules) / "node_modules"


def _installed(name: str, lock: Path, version: str, install: Callable[[Path, Path], None]) -> Path:
    identity = hashlib.sha256(lock.read_bytes() + version.encode()).hexdigest()[:12]
    folder = INSTALLED / f"{name}-{identity}"
    INSTALLED.mkdir(exist_ok=True)
    with (INSTALLED / f"{folder.name}.busy").open("wb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        if not (folder / ".ready").exists():
            install(folder, lock)
            (folder / ".ready").touch()
    return folder


def _install(folder: Path, lock: Path) -> None:
    venv.create(folder, clear=True, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    _run(lock, *pip, "install", "--quiet", "--require-hashes", "--requirement", str(lock))


def _install_modules(folder: Path, lock: Path) -> None:
    """`npm ci` installs only what the lock file names, if it has the hash of that. No script of a module is run."""
    folder.mkdir(exist_ok=True)
    for name in ("package.json", lock.name):
        shutil.copy(lock.with_name(name), folder)
    _run(lock, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder))


def _run(lock: Path, *command: str) -> None:
    try:
        _output(*command)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise RuntimeError(f"{lock.name} can't be installed: {said[-2000:]}") from error


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
