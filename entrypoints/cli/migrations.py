"""`drivebay migrations`: the revision of the tables, and the upgrade to the newest."""

import asyncio
import os
import sys

import click

from application.ports.schema import Opening, Revisions
from entrypoints.cli.exit_codes import WRONG, show_hints, show_new_token, tell_and_exit
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load_all
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.telemetry import logs


@click.group(short_help="The tables: their revision, and the newest.")
def migrations() -> None:
    """Show the revision of the tables in the database, and upgrade them to the newest.

    `drivebay serve` does that by itself at its start. So this is for those who want to see it done, or who do it apart:
    with a user of the database who may change tables, where the server's may not.

    It is safe beside anything: of several that start at once, on any number of machines, one changes the tables, under
    a lock of the database, and the others wait for it. What was stored stays. There is no way back to older tables:
    make a backup before you install a newer Drivebay. An older one refuses to work with newer tables, and says so.

    \b
    Examples:
      drivebay migrations status             what is there, and what is to come
      drivebay migrations upgrade            do it now
      drivebay migrations sql --after 0003   the statements, for somebody else to run
    """


@migrations.command(short_help="Show the revision of the tables, and the pending revisions.")
def status() -> None:
    """Show the revision of the tables, and the pending revisions. Changes nothing.

    \b
    It exits with
      0  if the tables are the newest
      1  if some revisions are still to come
      2  if the database can't be used, or its tables are those of a newer Drivebay
    """
    try:
        found = asyncio.run(_look(_settings()))
    except (SettingsError, StartError) as error:
        tell_and_exit(error)
    if not found.pending:
        click.echo(f"The tables have revision {found.current}, which is the newest.")
        return
    has = "There are no tables yet" if found.current is None else f"The tables have revision {found.current}"
    click.echo(f"{has}. To come, when `drivebay serve` starts or by `drivebay migrations upgrade`:")
    _list(found)
    sys.exit(WRONG)


@migrations.command(short_help="Bring them to the newest now.")
def upgrade() -> None:
    """Upgrade the tables to the newest revision, and make what does not exist: the data folder, the tables, the token.

    Doing it twice does no harm.

    \b
    It exits with
      0  if the tables are the newest now
      2  if the database can't be used, or its tables are those of a newer Drivebay
    """
    try:
        settings = lifecycle.prepare(_settings(), show_new_token)
        before = asyncio.run(_upgrade(settings))
    except (SettingsError, StartError) as error:
        tell_and_exit(error)
    _list(before)
    newest = before.known[-1].name
    click.echo(f"The tables have revision {newest}{' now' if before.pending else ', which is the newest'}.")


@migrations.command(short_help="Write the statements, and run none.")
@click.option(
    "--after", metavar="REVISION", help="Only what comes after this one, which the tables have. All by default."
)
def sql(after: str | None) -> None:
    """Write the statements that make the newest tables, in the SQL of the database that DATABASE_URL names.

    The database is not asked, and nothing is changed. The statements note the revision, so that a server finds nothing
    to do afterwards, and needs no right to change tables.

    \b
    Examples:
      drivebay migrations sql > all.sql
      DATABASE_URL=mariadb://host/name drivebay migrations sql --after 0002
    """
    try:
        written = Container(settings=_settings()).tables().sql(after)
    except SettingsError as error:
        tell_and_exit(error)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--after") from None
    click.echo(written.strip())


def _settings() -> Settings:
    loaded = load_all(os.environ)
    show_hints(loaded)
    settings = loaded.settings
    if settings.database == "memory":
        raise SettingsError("STORAGE: with memory there are no tables. Set it to another.")
    logs.configure()
    return settings


async def _look(settings: Settings) -> Revisions:
    async with lifecycle.tables(Container(settings=settings, opening=Opening.INSPECT)) as tables:
        return await tables.revisions()


async def _upgrade(settings: Settings) -> Revisions:
    """Upgrade the tables, and return the revisions from before."""
    before = await _look(settings)
    async with lifecycle.tables(Container(settings=settings)):
        return before


def _list(revisions: Revisions) -> None:
    for each in revisions.pending:
        click.echo(f"  {each.name}  {each.news}")
