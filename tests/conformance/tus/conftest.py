"""Clients of the servers that all tests share."""

from pathlib import Path

import pytest

from tests.conformance.s3.endpoint import Endpoint
from tests.conformance.tus.uploads import Uploads


@pytest.fixture
def uploads(endpoint: Endpoint, tmp_path: Path) -> Uploads:
    """A client with an empty folder, and the id of a blob that does not exist yet."""
    return Uploads(endpoint, tmp_path)
