"""`make audit`: known vulnerabilities of what the lock files install, asked of a public list. It needs network."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,.-]+\])?==([\w.!+-]+)(?: ; (.+?))? \\$", re.MULTILINE)


def script(lock: str) -> str:
    """A script that depends on just what is pinned: uv audits projects and scripts, and no lock file of pip's."""
    pins = [f"{name}=={version}{marker and f' ; {marker}'}" for name, version, marker in found(lock)]
    lines = ['requires-python = ">=3.11"', "dependencies = [", *(f"  {pin!r}," for pin in pins), "]"]
    return "\n".join(["# /// script", *(f"# {line}" for line in lines), "# ///", ""])


def found(lock: str) -> list[tuple[str, str, str]]:
    """The name, the version and the marker of each pin."""
    return [(name, version, marker.replace("'", '"')) for name, version, marker in PIN.findall(lock)]


def main() -> int:
    """The exit code: 0 if nothing is known."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pinned.py"
        path.write_text(script((ROOT / "requirements-dev.lock").read_text()))
        uv = Path(sys.executable).parent / "uv"
        return subprocess.run([uv, "audit", "--quiet", "--script", path], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
