"""`drivebay adopt`: let this database be the one that uses a storage."""

import asyncio
import os
import sys
from typing import Any

import click
import msgspec

from application.ownership.adopt import Adopted
from application.ownership.markers import WITHOUT_MARKERS, interval_for
from application.ports.schema import Opening
from domain.errors import BlobError
from entrypoints.cli.exit_codes import WRONG, tell_and_exit
from entrypoints.cli.storage_option import chosen
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.telemetry import logs

IF_LOST = "If they are lost, add --even-if-missing."
WHAT_NEXT = "Run drivebay verify to see what does not fit."


@click.command(short_help="Let this database use a restored or moved storage.")
@click.option(
    "--storage",
    "names",
    multiple=True,
    metavar="NAME",
    help="Adopt only this storage: fs, s3 or ftp. May be given more than once.",
)
@click.option("--dry-run", is_flag=True, help="Only look, and say what would be done.")
@click.option(
    "--even-if-missing",
    is_flag=True,
    help="Adopt it even if more than 5 % of the sampled objects are missing. That is refused otherwise, because the"
    " disk, bucket or folder may be a wrong one.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object per line: one for each storage.")
def adopt(*, names: tuple[str, ...], dry_run: bool, even_if_missing: bool, as_json: bool) -> None:
    """Let this database, and no copy of it, be the one that uses a storage from now on.

    Each storage has a marker that its database knows. A server does not start without it, because the disk may not be
    mounted, or the bucket be another one. And of a database and its copies only one deletes what is no longer needed.
    After the following, decide which database that is, and run this command with its settings:

    \b
      a restore    of the database, or of the storage, from a backup
      a clone      of the database that is to go on by itself, with a copy of the storage
      a move       of the storage to another disk, bucket or folder

    It looks at a sample of the blobs first. Then it writes a new marker, and deletes the former one. So the database
    that this one was copied from refuses the storage from then on: its servers become unready, and do not start. If the
    former marker is not there any more, the markers of other databases are deleted too. Never adopt a storage that
    another database is to go on with.

    It may run while servers of this database do.

    \b
    It exits with
      0  if all of it was adopted, or could be
      1  if a storage was refused, or can't be used
      2  if it was called wrongly, or could not start

    \b
    Examples:
      drivebay adopt --dry-run
      drivebay adopt --storage s3
      drivebay adopt && drivebay verify
    """
    try:
        settings = load(os.environ)
        wanted = sorted((chosen(names, settings) or frozenset(settings.storages)) - WITHOUT_MARKERS)
        logs.configure()
        asyncio.run(_adopt(settings, wanted, dry_run, even_if_missing, as_json))
    except (SettingsError, StartError) as error:
        tell_and_exit(error)


async def _adopt(settings: Settings, wanted: list[str], dry_run: bool, even_if_missing: bool, as_json: bool) -> None:
    container = Container(settings=settings, opening=Opening.REQUIRE)
    interval = interval_for(settings.reap_interval)
    failed = False
    async with lifecycle.entered(container):
        for name in wanted:
            try:
                adopted = await container.adopt_storage()(
                    name, interval, dry_run=dry_run, even_if_missing=even_if_missing
                )
            except BlobError as error:
                failed = True
                _write(as_json, f"{name}: {error.detail}", {"storage": name, "adopted": False, "refused": error.detail})
                continue
            failed = failed or bool(adopted.refused)
            _write(as_json, _line(adopted, even_if_missing=even_if_missing), _object(adopted))
    if not wanted and not as_json:
        click.echo("There is nothing to adopt: these storages keep the bytes with the rows.")
    if failed:
        sys.exit(WRONG)


def _write(as_json: bool, line: str, of: dict[str, Any]) -> None:
    click.echo(msgspec.json.encode(of) if as_json else line.encode())


def _line(adopted: Adopted, *, even_if_missing: bool) -> str:
    seen = f"{adopted.sample.looked} blobs were sampled, and the objects of {adopted.sample.missing} are missing"
    if adopted.others:
        seen += f"; {len(adopted.others)} other databases had adopted it"
    if adopted.refused:
        # The option only helps if objects are missing, and then nothing else was tried.
        advice = "" if even_if_missing or not adopted.sample.is_suspicious else f" {IF_LOST}"
        return f"{adopted.backend}: refused: {adopted.refused}{advice}"
    if adopted.adopted:
        return f"{adopted.backend}: adopted. {seen}. {WHAT_NEXT}"
    return f"{adopted.backend}: would be adopted. {seen}."


def _object(adopted: Adopted) -> dict[str, Any]:
    return {
        "storage": adopted.backend,
        "adopted": adopted.adopted,
        "refused": adopted.refused or None,
        "was_known": adopted.was_known,
        "sampled": adopted.sample.looked,
        "missing": adopted.sample.missing,
        "others": [key.value for key in adopted.others],
    }
