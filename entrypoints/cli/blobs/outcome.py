"""Exit codes of the commands for users, and their errors in words."""

import click

from entrypoints.client import (
    AlreadyExists,
    Conflict,
    ConnectionFailed,
    DrivebayError,
    NotFound,
    PreconditionFailed,
    Unauthorized,
)
from entrypoints.client.flows.retrying import is_temporary

FAILED, WRONG_USE, TEMPORARY, MISSING, CONFLICT, INTERRUPTED = 1, 2, 3, 4, 5, 130

EXIT_CODES = """
    \b
    It exits with
      0  if it was done
      1  if it was refused or failed, or if several things failed in different ways
      2  if it was called wrongly
      3  if the server can't be reached or used now: run the same command again
      4  if there is no such blob
      5  if the id is in use, or the blob is another version
"""


def code_of(error: Exception) -> int:
    """Return the exit code for an error."""
    if isinstance(error, NotFound):
        return MISSING
    if isinstance(error, PreconditionFailed | Conflict):
        return CONFLICT
    if isinstance(error, DrivebayError) and is_temporary(error):
        return TEMPORARY
    return FAILED


def words_of(error: Exception) -> str:
    """Return an error in words, with what to do about it."""
    if isinstance(error, Unauthorized):
        return f"{error.detail} Set DRIVEBAY_TOKEN, or the token of the profile."
    if isinstance(error, ConnectionFailed) and not error.was_sent:
        return f"{error.detail}. Is the server running, and is DRIVEBAY_URL right?"
    if isinstance(error, AlreadyExists):
        return error.detail
    if isinstance(error, OSError) and not isinstance(error, DrivebayError):
        return f"{error.filename}: {error.strerror}" if error.strerror else str(error)
    return str(error) or type(error).__name__


class Outcomes:
    """The failures of a command that does several things, and goes on after each."""

    def __init__(self) -> None:
        self._codes = set[int]()

    def add(self, subject: str, error: Exception) -> None:
        """Report a failure."""
        self._codes.add(code_of(error))
        click.echo(f"drivebay: {subject}: {words_of(error)}", err=True)

    @property
    def code(self) -> int:
        """The exit code: that of the failures if they have the same."""
        return FAILED if len(self._codes) > 1 else next(iter(self._codes), 0)
