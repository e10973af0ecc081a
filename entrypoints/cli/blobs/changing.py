"""`drivebay rm`, `cp` and `mv`: changes on the server, which move no bytes."""

import click

from entrypoints.cli.blobs.completion import BLOB
from entrypoints.cli.blobs.outcome import Outcomes
from entrypoints.cli.blobs.running import command
from entrypoints.client import AsyncClient, DrivebayError, NotFound
from entrypoints.client.flows.blobs import batches

recursive_option = click.option("-r", "--recursive", is_flag=True, help="All blobs whose ids begin with it.")
dry_run_option = click.option("--dry-run", is_flag=True, help="With --recursive: only count.")
if_match_option = click.option("--if-match", metavar="ETAG", help="Only this version.")


@command("rm", "Delete blobs.")
@click.argument("ids", type=BLOB, nargs=-1, required=True, metavar="ID...")
@recursive_option
@dry_run_option
@click.option("-f", "--force", is_flag=True, help="It is no failure if there is no such blob.")
@if_match_option
async def rm(
    client: AsyncClient, *, ids: tuple[str, ...], recursive: bool, dry_run: bool, force: bool, if_match: str | None
) -> int:
    """Delete blobs. They can be restored for a while: see TRASH_RETENTION of the server.

    With --recursive, up to 100,000 blobs are deleted at once: all or none.

    \b
    Examples:
      drivebay rm films/film.mp4
      drivebay rm --recursive --dry-run old/
    """
    _check(recursive=recursive, dry_run=dry_run, if_match=if_match, count=len(ids))
    outcomes = Outcomes()
    for each in ids:
        try:
            if recursive:
                count = await client.delete_prefix(_prefix(each), dry_run=dry_run)
                click.echo(f"{'to be deleted' if dry_run else 'deleted'}: {count:,}", err=True)
            else:
                await client.delete(each, if_match=if_match)
        except NotFound as error:
            if not force:
                outcomes.add(each, error)
        except (DrivebayError, ValueError) as error:
            outcomes.add(each, error)
    return outcomes.code


@command("cp", "Copy blobs on the server.")
@click.argument("source", type=BLOB)
@click.argument("target", type=BLOB)
@recursive_option
@click.option("--create-only", is_flag=True, help="Replace no blob.")
@if_match_option
async def cp(
    client: AsyncClient, *, source: str, target: str, recursive: bool, create_only: bool, if_match: str | None
) -> None:
    """Copy the blob SOURCE to the id TARGET, at once for any size. If TARGET ends with a slash, the name is added.

    With --recursive, both are prefixes. Each 1,000 blobs are copied at once.

    \b
    Examples:
      drivebay cp films/film.mp4 latest.mp4 --create-only
      drivebay cp --recursive films/ copies/films/
    """
    _check(recursive=recursive, if_match=if_match)
    if not recursive:
        await client.copy(source, _below(target, source), overwrite=not create_only, if_match=if_match)
        return
    ids = [meta.id async for meta in client.list(_prefix(source))]
    for batch in batches(ids):
        pairs = [{"from": each, "to": target + each.removeprefix(source), "replace": not create_only} for each in batch]
        await client.commit([{"copy": pair} for pair in pairs])
    click.echo(f"copied: {len(ids):,}", err=True)


@command("mv", "Move blobs on the server.")
@click.argument("source", type=BLOB)
@click.argument("target", type=BLOB)
@recursive_option
@dry_run_option
@click.option("--create-only", is_flag=True, help="Replace no blob.")
@if_match_option
async def mv(
    client: AsyncClient,
    *,
    source: str,
    target: str,
    recursive: bool,
    dry_run: bool,
    create_only: bool,
    if_match: str | None,
) -> None:
    """Give the blob SOURCE the id TARGET, at once for any size. If TARGET ends with a slash, the name is added.

    With --recursive, both are prefixes, and up to 100,000 blobs move at once: all or none. No blob is replaced then.

    \b
    Examples:
      drivebay mv films/film.mp4 archive/
      drivebay mv --recursive films/ movies/
    """
    _check(recursive=recursive, dry_run=dry_run, if_match=if_match)
    if not recursive:
        await client.rename(source, _below(target, source), overwrite=not create_only, if_match=if_match)
        return
    count = await client.rename_prefix(_prefix(source), target, dry_run=dry_run)
    click.echo(f"{'to be moved' if dry_run else 'moved'}: {count:,}", err=True)


def _below(target: str, source: str) -> str:
    return target + source.rpartition("/")[2] if target.endswith("/") else target


def _prefix(text: str) -> str:
    if not text:
        raise click.UsageError("The empty prefix stands for all blobs. Name a longer one.")
    return text


def _check(*, recursive: bool, dry_run: bool = False, if_match: str | None = None, count: int = 1) -> None:
    if recursive and if_match is not None:
        raise click.UsageError("--if-match is for one blob. Leave out --recursive.")
    if dry_run and not recursive:
        raise click.UsageError("--dry-run goes with --recursive.")
    if if_match is not None and count > 1:
        raise click.UsageError("--if-match is for one blob. Delete the others by another command.")
