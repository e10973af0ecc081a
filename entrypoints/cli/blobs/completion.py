"""Completion of arguments in a shell, and `drivebay completion`, which prints the script for it."""

import os
from typing import Any

import click
from click.shell_completion import CompletionItem, add_completion_class, get_completion_class

from entrypoints.cli.blobs import profiles
from entrypoints.cli.blobs.shells import Bash, Fish
from entrypoints.client import Client, DrivebayError, Retries

PATIENCE = 2.0  # seconds; a user who pressed Tab waits
VARIABLE = "_DRIVEBAY_COMPLETE"


class BlobArgument(click.ParamType[str]):
    """The id of a blob. The server is asked for completions, up to the next slash."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the ids and prefixes that begin with what was typed; none if the server does not respond."""
        try:
            profile = profiles.find(ctx.params.get("profile"), os.environ)
            with Client(profile.url, profile.token, timeout=PATIENCE, retries=Retries(attempts=1)) as client:
                found = client.list_with_delimiter(incomplete)
        except (DrivebayError, ValueError, click.UsageError):
            return []
        return [CompletionItem(each) for each in [*found.prefixes, *(meta.id for meta in found.blobs)]]


class FileArgument(click.ParamType[str]):
    """A file of this machine, completed by the shell."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Leave it to the shell."""
        return [CompletionItem(incomplete, type="file")]


BLOB, FILE = BlobArgument(), FileArgument()
add_completion_class(Bash)
add_completion_class(Fish)


@click.command("completion", short_help="Print the script for completion in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script with which a shell completes commands, options, files, and the ids of blobs.

    \b
    It exits with
      0  if it was printed
      2  if it was called wrongly

    \b
    Examples:
      eval "$(drivebay completion bash)"          in ~/.bashrc
      eval "$(drivebay completion zsh)"           in ~/.zshrc
      drivebay completion fish | source           in ~/.config/fish/config.fish
    """
    complete = get_completion_class(shell)
    assert complete is not None
    click.echo(complete(ctx.find_root().command, {}, "drivebay", VARIABLE).source())
