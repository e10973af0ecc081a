"""Libraries for tables and arrays that know Drivebay through fsspec."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conformance.environments import environment
from tests.conformance.s3.endpoint import Endpoint
from tests.http.wire import TOKEN

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[2]
PATIENCE = 100  # seconds
pytestmark = pytest.mark.timeout(900)  # the first one installs a gigabyte


@pytest.mark.parametrize("endpoint", ["http"], indirect=True)
@pytest.mark.parametrize("function", ["with_pandas", "with_pyarrow", "with_xarray", "with_paths"])
def test_what_is_written_is_read(endpoint: Endpoint, function: str) -> None:
    ended = subprocess.run(
        [str(environment("tables") / "python"), str(HERE / "scripts" / "with_tables.py"), function],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DRIVEBAY_URL": endpoint.url,
            "DRIVEBAY_TOKEN": TOKEN,
            "PREFIX": f"{function}/a b/",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
