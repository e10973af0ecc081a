"""The sources of another revision, from git, in a folder of their own."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[3]


def check_out(revision: str, folder: Path) -> Path:
    """Unpack the sources of a revision into a new folder. Exits if git does not know the revision."""
    packed = subprocess.run(["git", "archive", "--format=tar", revision], cwd=ROOT, capture_output=True)
    if packed.returncode:
        sys.exit(f"git has no revision {revision}: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
