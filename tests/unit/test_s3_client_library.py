"""The client library of the storage S3."""

import subprocess
import sys

IMPORT = "import adapters.storage.s3.session, botocore.compat; print(botocore.compat.HAS_CRT)"


def test_it_signs_as_it_does_without_awscrt() -> None:
    found = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
