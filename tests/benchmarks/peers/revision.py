"""The sources of another revision, from git, in a folder of their own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def check_out(revision: str, folder: Path) -> Path:
    """Unpack the sources of a revision into a new folder. Exits if git does not know the revision."""
    packed = subprocess.run(["git", "archive", "--format=tar", revision], cwd=ROOT, capture_output=True)
    if packed.returncode:
        sys.exit(f"git has no revision {revision}: {packed.stderr.decode().strip()}")
    folder.mkdir()
    # Not tarfile, whose filters the first releases of Python 3.11 lack.
    subprocess.run(["tar", "--extract", "--directory", folder], input=packed.stdout, check=True)
    return folder
