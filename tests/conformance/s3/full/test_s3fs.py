"""s3fs, by the suite that fsspec has for file systems."""

import re

import pytest

from tests.conformance.environments import environment
from tests.conformance.s3.endpoint import SCRIPTS, Client

# Of its 137 items, three are about files of this machine alone.
ITEMS = 137


@pytest.mark.timeout(600)  # it makes and lists some thousand objects
def test_the_suite_of_fsspec(client: Client) -> None:
    python = str(environment("fsspec") / "python")
    options = [
        "-p",
        "no:cacheprovider",
        "--quiet",
        "--tb=short",
        "--rootdir",
        str(SCRIPTS),
        "-c",
        "/dev/null",
        "--noconftest",
    ]
    client.variables["PYTHONDONTWRITEBYTECODE"] = "1"
    client.variables["PYTHONPATH"] = str(SCRIPTS)
    said = client.run(
        python, "-m", "pytest", *options, "--import-mode=importlib", str(SCRIPTS / "with_s3fs.py"), patience=540
    )
    found = re.search(r"(\d+) passed(?:, (\d+) skipped)?", said.decode())
    assert found, said
    assert int(found[1]) + int(found[2] or 0) == ITEMS, said
