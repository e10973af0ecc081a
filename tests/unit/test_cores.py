"""WORKERS=auto: one worker for each core that the service may use."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from entrypoints.cli.main import main
from entrypoints.config.cores import usable_cores
from entrypoints.config.loading import load


@pytest.fixture
def affinity() -> Iterator[set[int]]:
    before = os.sched_getaffinity(0)
    yield before
    os.sched_setaffinity(0, before)


def test_there_is_a_worker_for_each_core_of_this_process(affinity: set[int], tmp_path: Path) -> None:
    assert load({"WORKERS": "auto"}, tmp_path / "no file").workers == min(usable_cores(), len(affinity))
    os.sched_setaffinity(0, {min(affinity)})
    assert load({"WORKERS": " auto "}, tmp_path / "no file").workers == 1


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000\n", 2), ("400000 100000\n", 2), ("150000 100000\n", 2), ("100000 100000\n", 1), ("1000 100000\n", 1)],
)
def test_the_quota_of_a_container_counts(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path) == cores


def test_without_a_quota_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert usable_cores(tmp_path) == 3


def test_the_option_takes_auto_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    run = partial(CliRunner(env={"STORAGE": "memory"}).invoke, main)
    assert run(["serve", "--workers", "auto"]).stderr.startswith("drivebay: WORKERS: with STORAGE=memory")
    assert "'all' is not a valid integer range" in run(["serve", "--workers", "all"]).stderr
