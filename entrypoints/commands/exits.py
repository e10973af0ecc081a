"""How the commands that look at something end: what their exit codes mean, and what is said if nothing can begin."""

import sys
from typing import NoReturn

import click

from entrypoints.lifecycle import StartError
from entrypoints.settings import SettingsError

WRONG, UNUSABLE, INCOMPLETE = 1, 2, 3


def tell_and_exit(fault: SettingsError | StartError) -> NoReturn:
    """Say why nothing can begin, a line each, and exit."""
    click.echo("\n".join(f"drivebay: {line}" for line in str(fault).splitlines()), err=True)
    sys.exit(UNUSABLE)
