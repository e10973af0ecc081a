"""All commands for users."""

import click

from entrypoints import __version__
from entrypoints.cli.blobs.changing import cp, mv, rm
from entrypoints.cli.blobs.completion import completion
from entrypoints.cli.blobs.links import share, sign
from entrypoints.cli.blobs.listing import ls, stat
from entrypoints.cli.blobs.sync.command import sync
from entrypoints.cli.blobs.transfers import cat, get, put

COMMANDS: tuple[click.Command, ...] = (put, get, cat, ls, stat, rm, cp, mv, sync, sign, share, completion)
main = click.Group("drivebay", {each.name or "": each for each in COMMANDS})
click.version_option(__version__, prog_name="drivebay")(main)
