"""What all tests share: whether there is Docker, and the backends that run in it."""

import os

import pytest

pytest_plugins = ["tests.backends", "tests.mariadb"]

HOW_TO_GET_THEM = "needs a Docker engine that answers (docker info); start one and run the tests again"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the container tests out where there is no Docker, but not where they are required."""
    from tests.backends import docker_answers

    if os.environ.get("CI") or not any(item.get_closest_marker("docker") for item in items) or docker_answers():
        return
    for item in items:
        if item.get_closest_marker("docker"):
            item.add_marker(pytest.mark.skip(reason=HOW_TO_GET_THEM))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [
        report for report in terminalreporter.stats.get("skipped", []) if HOW_TO_GET_THEM in str(report.longrepr)
    ]
    if left_out:
        terminalreporter.section("left out")
        terminalreporter.line(f"{len(left_out)} tests of servers: each {HOW_TO_GET_THEM}.")
