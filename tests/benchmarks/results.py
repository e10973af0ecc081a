"""The figures of a run, each with its reference of the same run and its goal, and the file that holds them."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Self

import msgspec

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).with_name("results")
LATEST = FOLDER / "latest.json"  # of the last run here, unknown to git
PUBLISHED = FOLDER / "bench.json"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """`ratio`: of the median to the reference's. `lowest` and `highest`: of the ratios within a round.

    `goal`: the least ratio wanted, or with `at_most` the greatest.
    """

    work: str
    unit: str
    value: float
    reference: str
    reference_value: float
    ratio: float
    lowest: float
    highest: float
    goal: float | None = None
    at_most: bool = False

    @classmethod
    def of_rounds(
        cls,
        work: str,
        unit: str,
        values: Sequence[float],
        reference: str,
        references: Sequence[float],
        goal: float | None = None,
        at_most: bool = False,
    ) -> Self:
        """Make a figure of what was measured in each round, next to what the reference had in the same round."""
        ratios = [value / other for value, other in zip(values, references, strict=True)]
        value, other = median(values), median(references)
        return cls(
            work=work,
            unit=unit,
            value=value,
            reference=reference,
            reference_value=other,
            ratio=value / other,
            lowest=min(ratios),
            highest=max(ratios),
            goal=goal,
            at_most=at_most,
        )

    @property
    def key(self) -> str:
        """The same in each run."""
        return f"{self.work} / {self.reference}"


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """`machine`: in two words. `load`: how many processes wanted to run on average in the minute before the run.

    `python`: the version of Python, empty in results from before it was noted.
    """

    date: str
    machine: str
    python: str = ""
    commit: str
    command: str
    load: float
    figures: list[Figure]


def read(path: Path) -> Results:
    """Read the results of a run. Raises OSError or msgspec.DecodeError."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def write(results: Results, path: Path) -> None:
    """Write them with a line for each value, so that git shows what has changed."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_rounded(results)), indent=2) + b"\n")


def describe(command: str, load: float, figures: list[Figure]) -> Results:
    """Add to the figures of a run where and when it was."""
    return Results(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=f"{len(os.sched_getaffinity(0))}-core {platform.machine()}",
        python=platform.python_version(),
        commit=_commit(),
        command=command,
        load=load,
        figures=figures,
    )


def _commit() -> str:
    """The commit that is measured, marked if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip() or "unknown"


def _rounded(results: Results) -> Results:
    """Four digits are more than a measurement is worth."""
    names = ("value", "reference_value", "ratio", "lowest", "highest")
    figures = [
        msgspec.structs.replace(each, **{name: float(f"{getattr(each, name):.4g}") for name in names})
        for each in results.figures
    ]
    return msgspec.structs.replace(results, figures=figures, load=round(results.load, 1))
