"""Virtual environments of clients: what they pin conflicts with what Drivebay pins.

Each has a lock file in `clients`, and is installed into `.venv-clients` when it is first used. Its name contains a hash
of the lock file, so that a change of this makes another one.
"""

import fcntl
import hashlib
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

LOCKS = Path(__file__).parent / "clients"
INSTALLED = Path(__file__).parents[2] / ".venv-clients"
PATIENCE = 600  # seconds


@cache
def environment(name: str) -> Path:
    """Return the folder of the programs of this environment. Install it first if it is not there.

    Any number of processes may ask at the same time: one installs, the others wait. Raises RuntimeError if the
    installation fails.
    """
    lock = LOCKS / f"{name}.lock"
    identity = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = INSTALLED / f"{name}-{identity}"
    INSTALLED.mkdir(exist_ok=True)
    with (INSTALLED / f"{folder.name}.busy").open("wb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        if not (folder / ".ready").exists():
            venv.create(folder, clear=True, symlinks=True)
            _install(folder, lock)
            (folder / ".ready").touch()
    return folder / "bin"


def _install(folder: Path, lock: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    installed = subprocess.run(
        [*pip, "install", "--quiet", "--require-hashes", "--requirement", str(lock)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if installed.returncode:
        raise RuntimeError(f"{lock.name} can't be installed: {installed.stderr[-2000:]}")
