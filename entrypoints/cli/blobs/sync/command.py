"""The command."""

import os
from pathlib import Path

import click

from entrypoints.cli.blobs.completion import FILE
from entrypoints.cli.blobs.outcome import Outcomes
from entrypoints.cli.blobs.profiles import folder_of
from entrypoints.cli.blobs.progress import display, size_text
from entrypoints.cli.blobs.running import command, json_option
from entrypoints.cli.blobs.sync.digests import Digests
from entrypoints.cli.blobs.sync.files import Selection
from entrypoints.cli.blobs.sync.run import Download, Settings, Upload
from entrypoints.client import AsyncClient

SCHEME = "drivebay://"


@command("sync", "Make a folder and a prefix the same.")
@click.argument("source", type=FILE)
@click.argument("target", type=FILE)
@click.option("--delete", is_flag=True, help="Delete at TARGET what SOURCE lacks.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only these names, as *.jpg. May be repeated.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these names. May be repeated.")
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@click.option("--parallel", type=click.IntRange(1, 100), default=8, show_default=True, help="Transfers at once.")
@json_option
async def sync(
    client: AsyncClient,
    *,
    source: str,
    target: str,
    delete: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    dry_run: bool,
    parallel: int,
    as_json: bool,
) -> int:
    """Transfer what differs from SOURCE to TARGET. One of them is a folder, the other one drivebay://PREFIX/.

    Files and blobs are compared by size and SHA-256, from the list of the server and from a cache of the digests of
    files. What is the same on both sides is not read. A PATTERN without a slash is for any part of a path, so that
    --exclude cache leaves out all folders of that name; another one is for the whole path below the folder. What is
    left out is not deleted either, nor are blobs with the name of a pipe, a socket or a device. With --delete, nothing
    is deleted if a part of SOURCE can't be read, or if the token is only for some of the blobs with the prefix of
    SOURCE.

    After an interruption, run it again: it goes on.

    \b
    Examples:
      drivebay sync photos drivebay://photos/
      drivebay sync photos drivebay://photos/ --delete --exclude .git --exclude '*.tmp'
      drivebay sync drivebay://photos/ photos --dry-run
    """
    is_upload, folder, prefix = _sides(source, target, dry_run=dry_run)
    settings = Settings(folder, prefix, Selection(include, exclude), delete, dry_run, parallel)
    outcomes = Outcomes()
    with display(as_json=as_json) as shown:
        digests = Digests(folder_of("CACHE", os.environ) / "digests.db", folder, client.url, prefix)
        run = (Upload if is_upload else Download)(client, settings, digests, shown, outcomes)
        await run.run()
        counts = run.counts
        changed = "to be transferred" if dry_run else "transferred"
        text = (
            f"{changed}: {counts.transferred:,} ({size_text(counts.bytes)}), unchanged: {counts.unchanged:,}, "
            f"{'to be ' if dry_run else ''}deleted: {counts.deleted:,}, files read to compare: {digests.hashed:,}"
        )
        members = {name: getattr(counts, name) for name in ("transferred", "bytes", "unchanged", "deleted")}
        shown.done(text, action="summary", **members, dry_run=dry_run, hashed=digests.hashed)
    return outcomes.code


def _sides(source: str, target: str, *, dry_run: bool) -> tuple[bool, Path, str]:
    """Return whether it is an upload, the folder, and the prefix. Raises click.UsageError."""
    is_upload = target.startswith(SCHEME)
    if is_upload == source.startswith(SCHEME):
        raise click.UsageError(f"One side is a folder, the other one a prefix: drivebay sync photos {SCHEME}photos/")
    prefix = (target if is_upload else source).removeprefix(SCHEME)
    folder = Path(source if is_upload else target)
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    if is_upload and not folder.is_dir():
        raise click.UsageError(f"There is no folder {folder}. To store a file, use: drivebay put {folder} {prefix}")
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"{folder} is a file. Name a folder.")
    if not is_upload and not dry_run:
        folder.mkdir(parents=True, exist_ok=True)
    return is_upload, folder, prefix
