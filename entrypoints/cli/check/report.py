"""The output of `drivebay check`: a table for people, or JSON for programs."""

import shutil
import sys
import textwrap
from typing import Any, Protocol

import click
import msgspec

from application.checks.checklist import Step
from entrypoints.cli.check.result import CheckResult, State

COLOURS = {State.OK: "green", State.NOT_YET: "yellow", State.FAILED: "red"}
PARTS = len("storage database")
STATES = max(len(state.value) for state in State)
LEAST = 40  # columns for the text


class Report(Protocol):
    """Receives each part as soon as it is known, and the end."""

    def tell(self, checked: CheckResult) -> None: ...

    def end(self, all_of_it: list[CheckResult]) -> None: ...


class TextReport:
    """A line for each part, with the advice below it. On a terminal, lines are wrapped to its width."""

    def __init__(self) -> None:
        self._indent = " " * (PARTS + STATES + 4)
        self._width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0

    def tell(self, checked: CheckResult) -> None:
        state = click.style(f"{checked.state.value:{STATES}}", fg=COLOURS[checked.state])
        first, *others = self._lines(checked)
        click.echo(f"{checked.part:{PARTS}}  {state}  {first}")
        for line in others:
            click.echo(f"{self._indent}{line}")

    def end(self, all_of_it: list[CheckResult]) -> None:
        click.echo(sentence(all_of_it))

    def _lines(self, checked: CheckResult) -> list[str]:
        texts = [checked.summary, durations(checked.steps), checked.to_do]
        if not self._width:
            return [text for text in texts if text]
        width = max(self._width - len(self._indent), LEAST)
        return [line for text in texts for line in textwrap.wrap(text, width, break_on_hyphens=False)]


class JsonReport:
    """JSON Lines: an object for each part, then one with the summary."""

    def tell(self, checked: CheckResult) -> None:
        click.echo(msgspec.json.encode(object_of(checked)))

    def end(self, all_of_it: list[CheckResult]) -> None:
        click.echo(msgspec.json.encode({"summary": {state.value: count(all_of_it, state) for state in State}}))


def durations(steps: Any) -> str:
    """Return the duration of each step, in milliseconds."""
    return ", ".join(f"{step.name} {step.seconds * 1000:.1f} ms" for step in steps)


def sentence(all_of_it: list[CheckResult]) -> str:
    """A summary of all parts."""
    failed, later = count(all_of_it, State.FAILED), count(all_of_it, State.NOT_YET)
    if not failed and not later:
        return "All of it works."
    counts = [f"{failed} failed"] * bool(failed) + [f"{later} could not be tried yet"] * bool(later)
    return f"{len(all_of_it)} parts: {', '.join(counts)}."


def count(all_of_it: list[CheckResult], state: State) -> int:
    return sum(checked.state is state for checked in all_of_it)


def object_of(checked: CheckResult) -> dict[str, Any]:
    return {
        "part": checked.part,
        "state": checked.state.value,
        "detail": checked.summary,
        "to_do": checked.to_do or None,
        "steps": [_step(step) for step in checked.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    error = step.error.kind.value if step.error else None
    return {"step": step.name, "milliseconds": round(step.seconds * 1000, 3), "fault": error}
