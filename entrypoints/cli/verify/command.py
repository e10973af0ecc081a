"""`drivebay verify`: verify all blobs and objects, and repair what can be repaired."""

import asyncio
import os
import re
import sys
from datetime import timedelta

import click

from application.ports.schema import Opening
from application.verification.report import Repair, Verified, VerifyOptions
from entrypoints.cli.exit_codes import INCOMPLETE, WRONG, show_hints, tell_and_exit
from entrypoints.cli.storage_option import chosen
from entrypoints.cli.verify.report import JsonReport, TextReport
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load_all
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.telemetry import logs

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
A_DAY = timedelta(days=1)


class Age(click.ParamType[timedelta]):
    """A number with a unit: 30m, 12h, 1d; or 0."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,9})([smhd])|0", str(value), re.ASCII)
        if not found:
            self.fail(f"{value!r} is no age. Give a number with s, m, h or d, as in 30m, 12h, 1d; or 0.", param, ctx)
        return timedelta(seconds=int(found[1]) * SECONDS[found[2]]) if found[1] else timedelta(0)


@click.command(short_help="Look whether all blobs are there and whole.")
@click.option("--deep", is_flag=True, help="Read all bytes of all blobs, too, and compare their SHA-256.")
@click.option(
    "--storage",
    "names",
    multiple=True,
    metavar="NAME",
    help="Verify only this storage: fs, database, s3 or ftp. May be given more than once.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Write a JSON object a line: each fault, and a summary at the end."
)
@click.option("--repair", is_flag=True, help="Remove orphans that are older than --older-than.")
@click.option(
    "--older-than",
    type=Age(),
    metavar="AGE",
    help="With --repair: how long ago an orphan must have been written, as in 30m, 12h, 1d. The default is 1d."
    " With 0 it may be of any age, also of one that the storage does not tell.",
)
@click.option(
    "--drop-missing",
    is_flag=True,
    help="With --repair: remove the rows of blobs whose objects are missing, too. They are gone for good.",
)
@click.option(
    "--even-if-most-are",
    is_flag=True,
    help="With --repair: also where nothing is stored, or most of what is are orphans. That is refused otherwise, for"
    " DATABASE_URL or the storage's own setting may be wrong, and all would be removed.",
)
@click.option(
    "--even-if-missing",
    is_flag=True,
    help="With --repair: also where the objects of more than 5 % of the blobs are missing (of a few: more than five, or"
    " more than half). That is refused otherwise, because the disk, bucket or folder may be a wrong one. With"
    " --drop-missing the rows of all of them are removed.",
)
def verify(
    *,
    deep: bool,
    names: tuple[str, ...],
    as_json: bool,
    repair: bool,
    older_than: timedelta | None,
    drop_missing: bool,
    even_if_most_are: bool,
    even_if_missing: bool,
) -> None:
    """Look whether all blobs are there and whole, and whether anything is there that belongs to none.

    \b
    It finds, on every storage that is configured:
      missing     a blob whose object is not there
      damaged     a blob whose object has another size, or with --deep another SHA-256
      orphan      an object without a blob, that no upload in progress will ever make one
      unreadable  what the storage does not let it look at

    It may run while servers do, and is recorded for the status. Nothing else is changed without
    --repair: run it without that first. With --repair it waits until it is certain that no other
    database uses the storage, which takes up to three times REAP_INTERVAL, 15 minutes at most, and
    removes nothing otherwise: see `drivebay adopt`.

    \b
    It exits with
      0  if nothing is wrong, or not any more
      1  if something is wrong still
      2  if it was called wrongly, or could not start
      3  if nothing was found to be wrong, and not all could be verified

    \b
    Examples:
      drivebay verify
      drivebay verify --deep --storage s3 --json > faults.json
      drivebay verify --repair --older-than 7d
    """
    if not repair and (older_than is not None or drop_missing or even_if_most_are or even_if_missing):
        raise click.UsageError(
            "--older-than, --drop-missing, --even-if-most-are and --even-if-missing go with --repair."
        )
    repairing = Repair(A_DAY if older_than is None else older_than, drop_missing, even_if_most_are, even_if_missing)
    try:
        loaded = load_all(os.environ)
        show_hints(loaded)
        settings = loaded.settings
        wanted = VerifyOptions(chosen(names, settings) or None, deep, repairing if repair else None)
        logs.configure()
        verified = asyncio.run(_verify(settings, wanted, JsonReport() if as_json else TextReport()))
    except (SettingsError, StartError) as error:
        tell_and_exit(error)
    except KeyboardInterrupt:
        sys.exit(INCOMPLETE)
    sys.exit(WRONG if verified.wrong else 0 if verified.complete else INCOMPLETE)


async def _verify(settings: Settings, wanted: VerifyOptions, report: TextReport | JsonReport) -> Verified:
    container = Container(settings=settings, opening=Opening.REQUIRE)
    async with lifecycle.entered(container):
        verified = await container.verify()(wanted, report)
        report.end(verified)
        return verified
