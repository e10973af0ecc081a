"""`drivebay move`: move the bytes of blobs to another storage."""

import asyncio
import os
import re
import sys
import time
from typing import Any

import click
import msgspec

from application.blobs.list import end_of
from application.maintenance.move import LEASE
from application.maintenance.move_report import MoveFinding, MoveListener, MoveOptions, MoveReport, Problem
from application.maintenance.rate import Rate
from application.ports.schema import Opening
from domain.errors import BlobError
from entrypoints.cli.exit_codes import INCOMPLETE, WRONG, show_hints, tell_and_exit
from entrypoints.cli.storage_option import the_one
from entrypoints.cli.wording import are, counted, were
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load_all
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.telemetry import logs

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
LEAST_RATE = 64 * 1024  # bytes a second: a storage may end a connection on which less comes
ON_A_TERMINAL, ELSEWHERE = 0.5, 10.0  # seconds between lines of progress
ADVICE = {
    Problem.MISSING: "Run drivebay verify.",
    Problem.DAMAGED: "Run drivebay verify --deep.",
    Problem.FAILED: "Run this command again.",
}


class BytesPerSecond(click.ParamType[int]):
    """A number of bytes with a unit: 500K, 50M, 1G."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d{1,12})([KMG]?)", str(value), re.ASCII)
        rate = int(found[1]) * UNITS[found[2]] if found else 0
        if rate < LEAST_RATE:
            self.fail(f"{value!r} is no rate. Give bytes a second, at least 64K: 500K, 50M, 1G.", param, ctx)
        return rate


@click.command(short_help="Move the bytes of blobs to another storage.")
@click.option("--from", "source", required=True, metavar="NAME", help="The storage to empty: fs, database, s3 or ftp.")
@click.option("--to", "target", required=True, metavar="NAME", help="The storage to fill.")
@click.option("--prefix", default="", metavar="PREFIX", help="Move only blobs whose ids begin with this.")
@click.option("--rate", type=BytesPerSecond(), metavar="RATE", help="Bytes a second at most: 500K, 50M, 1G. No limit.")
@click.option("--concurrency", type=click.IntRange(1, 100), default=8, show_default=True, help="Objects at once.")
@click.option("--dry-run", is_flag=True, help="Only count what would be moved.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object a line: each finding, and a summary.")
def move(
    *, source: str, target: str, prefix: str, rate: int | None, concurrency: int, dry_run: bool, as_json: bool
) -> None:
    """Move the bytes of blobs from one storage to another, while servers read and write.

    Configure both storages on all servers first, with STORAGE set to the new one: then new blobs go there, and this
    moves the older ones. Clients notice nothing: ids, ETags, dates and digests stay. Deleted versions that can be
    restored are moved too, and so are the parts of unfinished uploads. The bytes of a blob and of its copies are
    one object: if --prefix names one of them, they are moved for all.

    Each object is compared with its size and SHA-256. One that is missing or damaged stays, and is reported. The
    command can be stopped at any moment, and continued by the same command. Any number may run at once, on any
    machines. The old objects are deleted by the servers once open downloads had READERS_GRACE to finish: leave the
    old storage configured until `drivebay verify` reports nothing to be deleted there.

    \b
    It exits with
      0  if all of it was moved, or could be
      1  if something can't be moved: each is reported
      2  if it was called wrongly, or could not start
      3  if it was stopped, or if objects are left that another command is moving

    \b
    Examples:
      drivebay move --from ftp --to s3 --dry-run
      drivebay move --from ftp --to s3 --rate 50M
      drivebay move --from database --to fs --prefix films/ --concurrency 2
    """
    report = _JsonReport() if as_json else _TextReport()
    try:
        loaded = load_all(os.environ)
        show_hints(loaded)
        settings = loaded.settings
        options = MoveOptions(
            frozenset({the_one("--from", source, settings)}),
            the_one("--to", target, settings),
            prefix,
            end_of(prefix),
            dry_run,
            concurrency,
        )
        if options.target in options.sources:
            raise SettingsError("--to: it is the same storage as --from. Give another.")
        logs.configure()
        if settings.storage in options.sources and not dry_run:
            click.echo(f"drivebay: STORAGE is {settings.storage}: new blobs still go there.", err=True)
        moved = asyncio.run(_move(settings, options, report, Rate(rate)))
    except (SettingsError, StartError) as error:
        tell_and_exit(error)
    except KeyboardInterrupt:
        report.interrupted()
        sys.exit(INCOMPLETE)
    report.end(moved, dry_run=dry_run)
    sys.exit(WRONG if moved.found else 0 if moved.is_done else INCOMPLETE)


async def _move(settings: Settings, options: MoveOptions, report: "_TextReport", rate: Rate) -> MoveReport:
    container = Container(settings=settings, opening=Opening.REQUIRE)
    async with lifecycle.entered(container):
        for name in (*options.sources, options.target):
            try:
                await container.ownership().require(name)
                if name == options.target and not options.dry_run:
                    await container.ownership().open(name)  # which marks it if it was never used
            except BlobError as error:
                raise StartError(f"{name}: {error.detail}") from error
        return await container.move_objects()(options, report, rate)


class _TextReport(MoveListener):
    """For people: a line for each finding, progress on the standard error, and a summary."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._began = self._shown = time.monotonic()
        self._counts = MoveReport()
        self._waits = False

    def moved(self, report: MoveReport) -> None:
        self._counts, self._waits = report, False
        now = time.monotonic()
        if now - self._shown >= (ON_A_TERMINAL if self._is_terminal else ELSEWHERE):
            self._shown = now
            rate = report.bytes / max(now - self._began, 0.001)
            line = f"{_amount(report)}, {rate / 1024**2:,.1f} MiB/s"
            click.echo(
                f"\r\x1b[K{line}" if self._is_terminal else f"drivebay: {line}", err=True, nl=not self._is_terminal
            )

    def waiting(self, report: MoveReport) -> None:
        if not self._waits:
            self._clear()
            text = f"waiting for {counted(report.busy, 'object')} of another command, or of one that was killed"
            click.echo(f"drivebay: {text}, {LEASE.total_seconds() / 60:.0f} minutes at most", err=True)
        self._waits = True

    def found(self, finding: MoveFinding) -> None:
        self._clear()
        location = finding.object.location
        text = f"{finding.problem.value}: {location.backend} {location.key}: {finding.detail} {ADVICE[finding.problem]}"
        click.echo(text.encode())

    def end(self, report: MoveReport, *, dry_run: bool) -> None:
        self._clear()
        lines = [f"{_amount(report)} {'would be' if dry_run else were(report.objects)} moved"]
        if report.kept:
            lines.append(f"{counted(report.kept, 'small blob')} left in the database, because of SMALL_BLOBS")
        if report.busy:
            others = f"{report.busy:,} {are(report.busy)} being moved by another command, or one that was killed"
            lines.append(f"{others}. Run this again")
        lines += [f"{count:,} {problem.value}" for problem, count in report.found.items()]
        if report.stopped:
            lines.append(f"It was broken off: {report.stopped} Run this again to continue")
        elif not report.is_done and not report.busy:
            lines.append("Objects are still added. Run this again once STORAGE is another one")
        click.echo("".join(f"{line}.\n" for line in lines).encode(), nl=False)

    def interrupted(self) -> None:
        self._clear()
        done = f"{_amount(self._counts)} {were(self._counts.objects)} moved"
        click.echo(f"drivebay: stopped. {done}. Run the same command to continue.", err=True)

    def _clear(self) -> None:
        if self._is_terminal:
            click.echo("\r\x1b[K", err=True, nl=False)


class _JsonReport(_TextReport):
    """JSON Lines: an object for each finding, then one with the summary."""

    def found(self, finding: MoveFinding) -> None:
        self._clear()
        location = finding.object.location
        line = {
            "fault": finding.problem.value,
            "storage": location.backend,
            "key": location.key.value,
            "size": finding.object.size,
            "detail": finding.detail,
        }
        click.echo(msgspec.json.encode(line))

    def end(self, report: MoveReport, *, dry_run: bool) -> None:
        self._clear()
        summary: dict[str, Any] = {
            "objects": report.objects,
            "bytes": report.bytes,
            "skipped": {"small": report.kept, "busy": report.busy},
            "found": {problem.value: report.found[problem] for problem in Problem},
            "dry_run": dry_run,
            "complete": report.is_done,
            "stopped": report.stopped or None,
        }
        click.echo(msgspec.json.encode({"summary": summary}))


def _amount(report: MoveReport) -> str:
    return f"{counted(report.objects, 'object')} of {counted(report.bytes, 'byte')}"
