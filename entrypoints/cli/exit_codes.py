"""Exit codes of the commands, and their errors before anything begins."""

import sys
from collections.abc import Iterable
from typing import NoReturn

import click

from entrypoints.config.loading import Loaded
from entrypoints.config.settings import SettingsError
from entrypoints.errors import StartError

WRONG, UNUSABLE, INCOMPLETE = 1, 2, 3


def tell_and_exit(error: SettingsError | StartError, hints: Iterable[str] = ()) -> NoReturn:
    """Print the error, and hints about settings without effect, a line each, and exit."""
    _print_lines([*str(error).splitlines(), *hints])
    sys.exit(UNUSABLE)


def show_hints(loaded: Loaded) -> None:
    """Print hints about settings without effect."""
    _print_lines(loaded.hints)


def show_new_token(token: str) -> None:
    """Print a new token. It is printed only once: later starts print the path of its file."""
    click.echo(f"A new token: {token}")


def show_new_token_aside(token: str) -> None:
    """Print a new token to the standard error, because the output is for something else."""
    click.echo(f"A new token: {token}", err=True)


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(f"drivebay: {line}", err=True)
