"""Shared by all tests: whether there is Docker, the backends that run in it, and the order."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["tests.backends.fixtures"]

TESTS = Path(__file__).parent

# Each example has 200 ms otherwise, which a busy machine exceeds.
hypothesis.settings.register_profile("drivebay", deadline=None)
hypothesis.settings.load_profile("drivebay")

# The longest start first. Otherwise one process still has much to do at the end, and the others nothing. Tests that
# mostly wait for containers are spread among tests that compute.
LONG = [
    "compose/test_profiles.py",
    "http/test_combinations.py",
    "crash/test_failpoints.py",
    "compose/test_cluster.py",
    "http/test_stopping.py",
    "compose/test_source_documents.py",
    "faults/test_frozen_writers.py",
    "model/test_model.py",
    "http/test_slow_clients.py",
    "verify/test_beside_a_server.py",
    "http/test_openapi.py",
    "http/test_workers.py",
    "faults/test_metadata.py",
    "faults/test_ftp.py",
    "verify/test_backends.py",
    "crash/test_load.py",
    "crash/test_planted.py",
    "faults/test_small_disks.py",
    "faults/test_full_disks.py",
]

HOW_TO_GET_THEM = "needs a Docker engine that answers (docker info); start one and run the tests again"


def pytest_configure() -> None:
    """Let programs that tests start be stopped by Ctrl-C, also if a shell has started this run in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def copied_tables() -> None:
    """Let new SQLite databases get their tables without a migration each."""
    from tests import migrated

    migrated.install()


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """Leave the umask as it was: a start in the process of the tests changes it."""
    umask = os.umask(0o022)
    os.umask(umask)
    yield
    os.umask(umask)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order them, and leave the container tests out where there is no Docker, but not where they are required."""
    from tests.backends.containers import docker_answers

    items.sort(key=_rank)
    if os.environ.get("CI") or not any(item.get_closest_marker("docker") for item in items) or docker_answers():
        return
    for item in items:
        if item.get_closest_marker("docker"):
            item.add_marker(pytest.mark.skip(reason=HOW_TO_GET_THEM))


def pytest_collection_finish() -> None:
    """Let the garbage collector skip what lives until the end: thousands of tests, and the modules."""
    gc.collect()
    gc.freeze()


def _rank(item: pytest.Item) -> int:
    name = item.path.relative_to(TESTS).as_posix()
    return LONG.index(name) if name in LONG else len(LONG)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [
        report for report in terminalreporter.stats.get("skipped", []) if HOW_TO_GET_THEM in str(report.longrepr)
    ]
    if left_out:
        terminalreporter.section("left out")
        terminalreporter.line(f"{len(left_out)} tests of backends in containers: each {HOW_TO_GET_THEM}.")
