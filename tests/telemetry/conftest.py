"""Servers for the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.server import Server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One for a test that counts what it has done."""
    with Server(tmp_path, REAP_INTERVAL="60") as server:
        yield server
