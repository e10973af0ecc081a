"""A plugin for pytest in the environment of a suite: what was collected, and what it came to, as lines of JSON."""

import json
import os
from pathlib import Path

import pytest

RESULTS = Path(os.environ["SUITE_RESULTS"])
ONLY = os.environ.get("SUITE_ONLY")  # a file with the names to run


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Write the names and the markers of all items, and leave those out that are not asked for."""
    for item in items:
        _write(name=item.name, markers=sorted({marker.name for marker in item.iter_markers()}))
    if ONLY:
        asked = set(Path(ONLY).read_text().split())
        config.hook.pytest_deselected(items=[item for item in items if item.name not in asked])
        items[:] = [item for item in items if item.name in asked]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write how an item ended: at its call, or where its preparation or its clean-up failed."""
    if report.when == "call" or not report.passed:
        _write(name=report.nodeid.rpartition("::")[2], outcome=report.outcome, said=report.longreprtext[-2000:])


def _write(**line: object) -> None:
    with RESULTS.open("a") as results:
        results.write(json.dumps(line) + "\n")
