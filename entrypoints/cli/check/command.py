"""`drivebay check`: try the configuration out, against the real servers."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import click

from application.ports.schema import Opening
from entrypoints.cli.check import parts
from entrypoints.cli.check.report import JsonReport, Report, TextReport, count
from entrypoints.cli.check.result import CheckResult, State
from entrypoints.cli.exit_codes import INCOMPLETE, WRONG, tell_and_exit
from entrypoints.composition.container import Container
from entrypoints.composition.missing_features import MissingFeatures
from entrypoints.config.loading import Loaded, load_all
from entrypoints.config.settings import SettingsError
from entrypoints.telemetry import logs


@click.command(short_help="Try the configuration against the real servers.")
@click.option(
    "--json", "as_json", is_flag=True, help="Write a JSON object a line: each part, and a summary at the end."
)
def check(*, as_json: bool) -> None:
    """Try the configuration out, as `drivebay serve` would use it: report what works, and advice about the rest.

    \b
    What is tried:
      settings      all of them are read; each wrong one is reported, and so is a name
                    that is not a setting, but close to one
      data folder   it takes a file
      token         it is set, or can be read
      database      it lets the user in, its tables are the newest, its clock agrees,
                    and a row can be written, changed, and deleted
      keys          they were made with the master key of this server
      storage ...   each that is configured, for new blobs and for older ones: a probe of
                    100 kB is written, read back and compared, whole and in part, listed, and
                    deleted; features that its server lacks are named

    It may run beside servers at any time. It changes nothing and leaves nothing behind, also when it is interrupted:
    the probe is noted in the database like an upload, so if all else fails the servers delete it. No secret is shown.
    Each step is tried once, so an error that comes and goes may show. With READ_ONLY, nothing is written.

    \b
    It exits with
      0  if all of it works
      1  if something does not
      2  if it was called wrongly, or the settings are wrong
      3  if nothing failed, and not all could be tried: what a start makes is not there
         yet, or the check was interrupted

    \b
    Examples:
      drivebay check
      drivebay check --json | tail -n 1
      STORAGE=s3 S3_BUCKET=other drivebay check     try something before it goes into .env
    """
    try:
        loaded = load_all(os.environ)
    except SettingsError as error:
        tell_and_exit(error)
    logs.configure()
    try:
        checked = asyncio.run(_check(loaded, JsonReport() if as_json else TextReport()))
    except asyncio.CancelledError:
        click.echo("drivebay: it was interrupted.", err=True)
        sys.exit(INCOMPLETE)
    sys.exit(WRONG if count(checked, State.FAILED) else INCOMPLETE if count(checked, State.NOT_YET) else 0)


async def _check(loaded: Loaded, report: Report) -> list[CheckResult]:
    task = asyncio.current_task()
    assert task is not None
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # to remove the probe; also when a shell started it in the background
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    all_of_it = []
    async for checked in _parts(loaded):
        report.tell(checked)
        all_of_it.append(checked)
    report.end(all_of_it)
    return all_of_it


async def _parts(loaded: Loaded) -> AsyncIterator[CheckResult]:
    settings = loaded.settings
    # One attempt only, to show the state as it is.
    container = Container(
        settings=replace(settings, storage_attempts=1),
        opening=Opening.INSPECT,
        missing_features=MissingFeatures(logged=False),
    )
    yield CheckResult("settings", State.OK, "all of them can be read", " ".join(loaded.hints))
    if (folder := parts.data_folder(settings)) is not None:
        yield folder
    yield parts.token(settings)
    async with AsyncExitStack() as stack:
        rows = await parts.database(settings, container, stack)
        yield rows
        if rows.state is State.OK:
            yield await parts.keys(settings, container)
        for backend in settings.storages:
            yield await parts.storage(backend, settings, container, stack, write=rows.state is State.OK)
