"""`drivebay move-metadata`: move the rows to another database."""

import asyncio
import os
import secrets
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from application.maintenance.move_rows import MovedRows, MoveRows, RowListener
from application.ports.rows import Rows
from application.ports.schema import Opening
from domain.errors import BlobError
from entrypoints.cli.exit_codes import INCOMPLETE, WRONG, show_hints, tell_and_exit
from entrypoints.composition import databases, lifecycle
from entrypoints.composition.container import Container
from entrypoints.config import values
from entrypoints.config.loading import load_all
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.telemetry import logs

OF_ANOTHER = (
    "A move from this database has begun, which may be that of another command. Until it ends, changes are refused."
)
ON_A_TERMINAL, ELSEWHERE = 0.5, 10.0  # seconds between lines of progress


@click.command("move-metadata", short_help="Move the rows to another database.")
@click.option(
    "--to",
    "target",
    metavar="URL",
    help="The URL of the new database, or the path of a file with it, because others can see a command line.",
)
@click.option("--dry-run", is_flag=True, help="Only look at both databases, and count what would be moved.")
@click.option("--cancel", is_flag=True, help="Give up a move that has not ended: the old database takes changes again.")
@click.option("--json", "as_json", is_flag=True, help="Write the summary as a JSON object.")
def move_metadata(*, target: str | None, dry_run: bool, cancel: bool, as_json: bool) -> None:
    """Move all rows to an empty database, of the same kind or another, while servers serve reads.

    The old database, that of the settings, refuses all changes from the beginning on, by whatever program, and for
    good: clients get 503 with Retry-After. Servers need not be restarted for that. If READ_ONLY is set on
    them, they do not even try. The new database refuses servers until all rows are there and have been compared, by
    numbers and SHA-256. With STORAGE=database, or SMALL_BLOBS=database, the bytes are rows too, and go along.

    The command can be killed at any moment, and continued by the same command. When it has ended, set DATABASE_URL
    to the new database on all servers, and restart them. The storages stay where they are.

    \b
    It exits with
      0  if all of it was moved, or could be
      1  if the move can't be made, or rows differ: nothing was switched, but the old database may
         refuse changes until you continue the move, or cancel it
      2  if it was called wrongly, or a database can't be used
      3  if it was stopped

    \b
    Examples:
      drivebay move-metadata --to postgresql://drivebay:secret@db:5432/drivebay --dry-run
      drivebay move-metadata --to new-database-url
      drivebay move-metadata --cancel
    """
    progress = _Progress()
    try:
        loaded = load_all(os.environ)
        show_hints(loaded)
        settings = loaded.settings
        if settings.database == "memory":
            raise SettingsError("STORAGE: with memory there are no rows to move. Set it to another.")
        logs.configure()
        if cancel:
            asyncio.run(_cancel(settings))
            click.echo("The database takes changes again.")
            return
        there = _settings_of(target, settings)
        found = asyncio.run(_move(settings, there, progress, dry_run=dry_run))
    except (SettingsError, StartError) as error:
        tell_and_exit(error)
    except (BlobError, _UnfinishedMoveError) as error:
        progress.clear()
        click.echo(f"drivebay: {error.detail if isinstance(error, BlobError) else error}", err=True)
        sys.exit(WRONG)
    except KeyboardInterrupt:
        progress.clear()
        click.echo(f"drivebay: stopped. {_left_off(dry_run=dry_run, cancel=cancel)}", err=True)
        sys.exit(INCOMPLETE)
    progress.clear()
    _show(found, databases.location(there), dry_run=dry_run, as_json=as_json)


class _UnfinishedMoveError(Exception):
    """A move has failed after it has begun. The text is for people."""


def _left_off(*, dry_run: bool = False, cancel: bool = False) -> str:
    """Return what a command that was stopped has left, and what to do."""
    if cancel:
        return "The database may refuse changes still. Run the same command again."
    if dry_run:
        return "Nothing was changed."
    return "The old database may refuse changes. Run the same command to continue, or --cancel."


def _settings_of(target: str | None, settings: Settings) -> Settings:
    """Return the settings with the new database. Raises SettingsError."""
    if not target:
        raise SettingsError("--to: not given. Give the URL of the new database.")
    try:
        text = target if "://" in target else values.read_secret(target)
        url = values.database_url(text).text
    except ValueError as error:
        raise SettingsError(f"--to: {error}") from None
    there = replace(settings, database_url=url)
    if url == settings.database_url:
        raise SettingsError("--to: it is the database of the settings. Give another.")
    if there.database == "sqlite" and not there.sqlite_path.absolute().parent.is_dir():
        raise SettingsError(f"--to: there is no folder {Path(there.sqlite_path).absolute().parent}. Create it.")
    return there


async def _move(here: Settings, there: Settings, progress: "_Progress", *, dry_run: bool) -> MovedRows:
    async with AsyncExitStack() as stack:
        source = await _open(stack, here, Opening.REQUIRE)
        opening = Opening.INSPECT if dry_run or await _takes_part(there) else Opening.MIGRATE
        key = secrets.token_hex(16)
        move = MoveRows(source, await _open(stack, there, opening, "--to"), lambda: key)
        if dry_run:
            return MovedRows(await move.look(), copied=0)
        try:
            return await move(progress)
        except BlobError as error:
            if left := await _left_by(move, key):
                raise _UnfinishedMoveError(f"{error.detail} {left}") from error
            raise


async def _left_by(move: MoveRows, key: str) -> str:
    """Return what a move that failed has left, and what to do; nothing if none has begun."""
    try:
        ours = await move.source.move()
    except BlobError:
        return _left_off()
    if ours is None or not ours.is_source:
        return ""
    try:
        theirs = await move.target.move()
    except BlobError:
        return _left_off() if ours.key == key else OF_ANOTHER
    if ours.key not in (key, theirs and theirs.key):
        return "" if ours.has_ended else OF_ANOTHER
    if ours.has_ended:
        return "" if theirs and theirs.has_ended else "Both databases refuse changes. Run the same command to end it."
    return _left_off()


async def _takes_part(settings: Settings) -> bool:
    """Whether a move to this database has begun: then its tables are there, and are not to be migrated."""
    async with AsyncExitStack() as stack:
        return await (await _open(stack, settings, Opening.INSPECT, "--to")).move() is not None


async def _cancel(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        source = await _open(stack, settings, Opening.REQUIRE)
        await MoveRows(source, source, str).cancel()


async def _open(stack: AsyncExitStack, settings: Settings, opening: Opening, setting: str = "DATABASE_URL") -> Rows:
    """Open a database. Raises StartError."""
    container = Container(settings=settings, opening=opening)
    try:
        await lifecycle.enter(stack, container.database())
    except BlobError as error:
        raise StartError(f"{setting}: {error.detail}") from error
    return container.rows()


class _Progress(RowListener):
    """Progress for people, on the standard error."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown = time.monotonic()
        self._rows = 0

    def copied(self, table: str, rows: int) -> None:
        self._rows += rows
        self._show(f"{self._rows:,} rows are copied: {table}")

    def comparing(self, table: str) -> None:
        self._show(f"{self._rows:,} rows were copied, and are compared: {table}")

    def clear(self) -> None:
        if self._is_terminal:
            click.echo("\r\x1b[K", err=True, nl=False)

    def _show(self, line: str) -> None:
        now = time.monotonic()
        if now - self._shown >= (ON_A_TERMINAL if self._is_terminal else ELSEWHERE):
            self._shown = now
            shown = f"\r\x1b[K{line}" if self._is_terminal else f"drivebay: {line}"
            click.echo(shown, err=True, nl=not self._is_terminal)


def _show(found: MovedRows, place: str, *, dry_run: bool, as_json: bool) -> None:
    total = sum(found.rows.values())
    if as_json:
        summary = {"rows": found.rows, "total": total, "copied": found.copied, "dry_run": dry_run}
        click.echo(msgspec.json.encode({"summary": summary}))
    elif dry_run:
        click.echo(f"{total:,} rows would be moved to {place}.")
    else:
        click.echo(f"{total:,} rows are in {place} now, and were compared.")
        click.echo("Set DATABASE_URL to it on all servers, and restart them. The old one refuses changes for good.")
