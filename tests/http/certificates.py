"""Certificates of the tests' own making."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SUBJECT = ["-subj", "/CN=drivebay", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]


def make(folder: Path, name: str = "server") -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    if not shutil.which("openssl"):  # Where all must run, it is missing.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("nothing makes certificates here: needs openssl")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *curve, "-days", "2", *SUBJECT, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return certificate, key
