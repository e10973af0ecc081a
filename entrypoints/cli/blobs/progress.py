"""Progress of transfers: bars on a terminal, lines elsewhere, or JSON."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import click

from entrypoints.client import Progress


class Display(Protocol):
    """Shows the transfers of a command."""

    @contextmanager
    def transfer(self, name: str) -> Iterator[Progress | None]:
        """Show one transfer while it runs."""

    def done(self, text: str, **members: Any) -> None:
        """Report something that was done."""


class Lines:
    """A line for each transfer that has ended."""

    @contextmanager
    def transfer(self, name: str) -> Iterator[Progress | None]:
        yield None

    def done(self, text: str, **members: Any) -> None:
        click.echo(text, err=True)


class Json(Lines):
    """An object for each transfer that has ended, on the standard output."""

    def done(self, text: str, **members: Any) -> None:
        click.echo(json.dumps(members, ensure_ascii=False))


class Bars:
    """Bars with rates and the times that are left."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars

    @contextmanager
    def transfer(self, name: str) -> Iterator[Progress | None]:
        task = self._bars.add_task(name[-40:], total=None)
        try:
            yield lambda done, total: self._bars.update(task, completed=done, total=total)
        finally:
            self._bars.remove_task(task)

    def done(self, text: str, **members: Any) -> None:
        self._bars.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


@contextmanager
def display(*, as_json: bool = False) -> Iterator[Display]:
    """Show progress on the standard error, if that is a terminal."""
    if as_json:
        yield Json()
    elif not sys.stderr.isatty():
        yield Lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=Console(stderr=True), refresh_per_second=5) as bars:
            yield Bars(bars)


def size_text(count: int) -> str:
    """Return a number of bytes for people."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{count} bytes" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
