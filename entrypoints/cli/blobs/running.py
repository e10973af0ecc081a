"""How a command for users runs: its server, its event loop, its errors, and what happens at Ctrl-C."""

import asyncio
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import click

from entrypoints.cli.blobs import profiles
from entrypoints.cli.blobs.outcome import EXIT_CODES, INTERRUPTED, code_of, words_of
from entrypoints.cli.blobs.profiles import Profile
from entrypoints.client import AsyncClient, DrivebayError

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, one object per line.")
Command = Callable[..., Awaitable[int | None]]


def command(name: str, short_help: str) -> Callable[[Command], click.Command]:
    """Make a command of a coroutine function, whose first parameter is the client. Its result is the exit code."""

    def decorate(function: Command) -> click.Command:
        def run(profile: str | None, **parameters: Any) -> None:
            found = profiles.find(profile, os.environ)
            run_and_exit(lambda: _with_client(function, found, parameters), "Interrupted. Nothing is half-written.")

        params = [*getattr(function, "__click_params__", [])[::-1], _profile_option()]
        text = with_exit_codes(inspect.getdoc(function) or "")
        return click.Command(name, callback=run, params=params, help=text, short_help=short_help)

    return decorate


def _profile_option() -> click.Option:
    return click.Option(["--profile"], metavar="NAME", help="A server of the file of profiles.")


def with_exit_codes(text: str) -> str:
    """Return a help text with the exit codes before its examples."""
    before, mark, examples = text.partition("\b\nExamples:")
    return f"{before.rstrip()}\n\n{inspect.cleandoc(EXIT_CODES)}\n\n{mark}{examples}"


async def _with_client(function: Command, profile: Profile, parameters: dict[str, Any]) -> int | None:
    async with client_of(profile) as client:
        return await function(client, **parameters)


def client_of(profile: Profile) -> AsyncClient:
    """Return a client. Raises click.UsageError for what is not a URL."""
    try:
        return AsyncClient(profile.url, profile.token)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def run_and_exit(work: Callable[[], Awaitable[int | None]], interrupted: str) -> None:
    """Run a coroutine, and exit with its result; or report its error, and exit with the code of that."""

    async def main() -> int:
        return await work() or 0

    try:
        code = asyncio.run(main())
    except KeyboardInterrupt:
        click.echo(f"\ndrivebay: {interrupted} To go on, run the same command again.", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has enough. Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141  # as of SIGPIPE
    except (DrivebayError, OSError, ValueError, TypeError) as error:
        click.echo(f"drivebay: {words_of(error)}", err=True)
        code = code_of(error)
    sys.exit(code)
