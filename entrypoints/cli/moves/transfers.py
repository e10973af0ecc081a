"""`drivebay import` and `drivebay export`: files of a tree become blobs, and blobs become files."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import click
import msgspec

from application.maintenance.rate import Rate
from application.ports.schema import Opening
from application.transfers.report import (
    Existing,
    Problem,
    TransferFinding,
    TransferListener,
    TransferOptions,
    TransferReport,
)
from domain.errors import BlobError
from entrypoints.cli.blobs.sync.files import Selection
from entrypoints.cli.exit_codes import INCOMPLETE, WRONG, show_hints, tell_and_exit
from entrypoints.cli.moves.move import ELSEWHERE, ON_A_TERMINAL, BytesPerSecond
from entrypoints.cli.wording import counted, were
from entrypoints.composition import lifecycle, trees
from entrypoints.composition.container import Container
from entrypoints.config.loading import load_all
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.telemetry import logs

F = TypeVar("F", bound=Callable[..., object])
ADVICE = {
    Problem.CHANGED: "Run this command again.",
    Problem.FAILED: "Run this command again.",
}
OPTIONS = (
    click.option("--prefix", default="", metavar="PREFIX", help="The begin of the ids, before the paths: photos/"),
    click.option("--include", multiple=True, metavar="PATTERN", help="Only these paths, as *.jpg. May be repeated."),
    click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these paths. May be repeated."),
    click.option(
        "--existing",
        type=click.Choice([each.value for each in Existing]),
        default=Existing.FAIL.value,
        show_default=True,
        help="What to do about one that exists already and differs: report it, leave it, or replace it.",
    ),
    click.option("--checksum", is_flag=True, help="Compare what exists by SHA-256, not by size and time."),
    click.option("--verify", is_flag=True, help="Read back what was written or was there, and compare its SHA-256."),
    click.option("--rate", type=BytesPerSecond(), metavar="RATE", help="Bytes a second at most: 500K, 50M, 1G."),
    click.option("--concurrency", type=click.IntRange(1, 100), default=8, show_default=True, help="Files at once."),
    click.option("--dry-run", is_flag=True, help="Only count what would be transferred."),
    click.option("--json", "as_json", is_flag=True, help="Write a JSON object a line: each finding, and a summary."),
)


def _with_options(command: F) -> F:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command("import", short_help="Make blobs of the files of a folder, a bucket or an FTP server.")
@click.argument("source")
@_with_options
@click.option("--link", is_flag=True, help="Share the bytes with the files of a folder instead of copying them.")
def import_command(*, source: str, link: bool, **options: Any) -> None:
    """Make a blob of each file below SOURCE, which is a folder, s3://BUCKET/PREFIX or ftp://USER@HOST/FOLDER.

    The id of a blob is PREFIX and the path of its file below SOURCE. The media type follows from the name, or is that
    of the object in the bucket. The time of the file is kept in the metadata as mtime, as rclone does. It may run while
    servers read and write, with their settings. Memory stays the same for any number of files.

    It can be stopped at any moment, even by kill -9, and continued by the same command: a file whose blob has its size
    and its time (or its ETag, in a bucket) is not read again, and one whose blob has no such mark is compared by its
    SHA-256. A file that is changed while it is read is reported, and does not become a blob.

    For a bucket, AWS_ACCESS_KEY_ID or AWS_PROFILE count, with AWS_ENDPOINT_URL, or else the settings S3_... For FTP the
    password is taken from FTP_PASSWORD, if host and user are those of the settings, or from ~/.netrc; ftps:// is
    implicit TLS, and FTP_TLS decides for ftp://.

    --link needs STORAGE=fs on the same disk. The bytes are shared by a reflink (Btrfs, XFS), which is safe, or by a
    hard link: then never write into a file again, because the blob would change too. You may replace or delete it.

    \b
    It exits with
      0  if all files are blobs now, or could be
      1  if something could not be imported: each is reported
      2  if it was called wrongly, or could not start
      3  if it was stopped

    \b
    Examples:
      drivebay import photos --prefix photos/ --dry-run
      drivebay import photos --prefix photos/ --exclude .git --exclude '*.tmp'
      drivebay import s3://old-bucket/films --prefix films/ --rate 50M --existing replace
      drivebay import ftp://ada@ftp.example.com/archive --prefix archive/
    """
    _run(source, "import", _import, link=link, **options)


@click.command("export", short_help="Write blobs as files into a folder, a bucket or an FTP server.")
@click.argument("target")
@_with_options
def export_command(*, target: str, **options: Any) -> None:
    """Write each blob whose id begins with PREFIX as a file below TARGET. The path is the id without PREFIX.

    TARGET is a folder, s3://BUCKET/PREFIX or ftp://USER@HOST/FOLDER, as for drivebay import. A file appears under its
    name once it is whole, and its size and SHA-256 were compared. It gets the time that the metadata mtime names, or
    that of the blob. In a bucket it keeps the media type and the metadata too. An empty blob whose id ends with a slash
    is a folder. Nothing outside of TARGET is ever written.

    Ids that are not paths are reported, and the rest goes on: with an empty segment, . or .., or below an id that is a
    blob itself (a and a/b). It can be stopped at any moment, and continued by the same command: a file that has the
    size and the time, or the SHA-256, of its blob is not written again.

    \b
    It exits with
      0  if all blobs are files now, or could be
      1  if something could not be exported: each is reported
      2  if it was called wrongly, or could not start
      3  if it was stopped

    \b
    Examples:
      drivebay export backup --prefix photos/
      drivebay export s3://new-bucket/films --prefix films/ --verify
      drivebay export ftps://ada@ftp.example.com//srv/archive --existing replace
    """
    _run(target, "export", _export, link=False, **options)


def _run(
    place: str,
    verb: str,
    transfer: Callable[..., Any],
    *,
    link: bool,
    prefix: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    existing: str,
    checksum: bool,
    verify: bool,
    rate: int | None,
    concurrency: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    report = (_JsonReport if as_json else _TextReport)(f"{verb}ed")
    selection = Selection(include, exclude)
    options = TransferOptions(prefix, selection.takes, Existing(existing), checksum, verify, dry_run, concurrency)
    try:
        loaded = load_all(os.environ)
        show_hints(loaded)
        logs.configure()
        done = asyncio.run(transfer(loaded.settings, place, options, report, Rate(rate), link))
    except (SettingsError, StartError) as error:
        tell_and_exit(error)
    except KeyboardInterrupt:
        report.interrupted()
        sys.exit(INCOMPLETE)
    report.end(done, dry_run=dry_run)
    sys.exit(INCOMPLETE if done.stopped else WRONG if done.found else 0)


async def _import(
    settings: Settings, place: str, options: TransferOptions, report: "_TextReport", rate: Rate, link: bool
) -> TransferReport:
    tree = trees.make_tree(place, settings, os.environ)
    container = Container(settings=settings, opening=Opening.REQUIRE)
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(trees.opened(tree, create=False))
        await stack.enter_async_context(lifecycle.entered(container))
        await _require(container, settings.storage, is_marked=not options.dry_run)
        linker = await stack.enter_async_context(trees.opened_links(opened, settings)) if link else None
        return await container.import_files()(opened, options, report, rate, linker)


async def _export(
    settings: Settings, place: str, options: TransferOptions, report: "_TextReport", rate: Rate, _: bool
) -> TransferReport:
    tree = trees.make_tree(place, settings, os.environ)
    container = Container(settings=settings, opening=Opening.REQUIRE)
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(trees.opened(tree, create=not options.dry_run))
        await stack.enter_async_context(lifecycle.entered(container))
        for name in settings.storages:
            await _require(container, name, is_marked=False)
        return await container.export_blobs()(opened, options, report, rate)


async def _require(container: Container, name: str, *, is_marked: bool) -> None:
    """Raise StartError unless a storage is the one that the database knows. Mark it if it was never used."""
    try:
        await container.ownership().require(name)
        if is_marked:
            await container.ownership().open(name)
    except BlobError as error:
        raise StartError(f"{name}: {error.detail}") from error


class _TextReport(TransferListener):
    """For people: a line for each finding, progress on the standard error, and a summary."""

    def __init__(self, participle: str) -> None:
        self._participle = participle
        self._is_terminal = sys.stderr.isatty()
        self._began = self._shown = time.monotonic()
        self._counts = TransferReport()

    def progressed(self, report: TransferReport) -> None:
        self._counts = report
        now = time.monotonic()
        if now - self._shown >= (ON_A_TERMINAL if self._is_terminal else ELSEWHERE):
            self._shown = now
            rate = report.bytes / max(now - self._began, 0.001)
            line = f"{_amount(report)}, {rate / 1024**2:,.1f} MiB/s, {report.unchanged:,} unchanged"
            click.echo(
                f"\r\x1b[K{line}" if self._is_terminal else f"drivebay: {line}", err=True, nl=not self._is_terminal
            )

    def found(self, finding: TransferFinding) -> None:
        self._clear()
        path = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in finding.path)
        text = f"{finding.problem.value}: {path}: {finding.detail} {ADVICE.get(finding.problem, '')}".rstrip()
        click.echo(text.encode(errors="backslashreplace"))

    def end(self, report: TransferReport, *, dry_run: bool) -> None:
        self._clear()
        lines = [f"{_amount(report)} {'would be' if dry_run else were(report.files)} {self._participle}"]
        if report.unchanged:
            lines.append(f"{report.unchanged:,} {were(report.unchanged)} there already")
        if report.kept:
            lines.append(f"{report.kept:,} there already with other content {were(report.kept)} left alone")
        lines += [f"{count:,} {problem.value}" for problem, count in report.found.items()]
        if report.stopped:
            lines.append(f"It was broken off: {report.stopped} Run the same command to continue")
        click.echo("".join(f"{line}.\n" for line in lines).encode(), nl=False)

    def interrupted(self) -> None:
        self._clear()
        done = f"{_amount(self._counts)} {were(self._counts.files)} {self._participle}"
        click.echo(f"drivebay: stopped. {done}. Run the same command to continue.", err=True)

    def _clear(self) -> None:
        if self._is_terminal:
            click.echo("\r\x1b[K", err=True, nl=False)


class _JsonReport(_TextReport):
    """JSON Lines: an object for each finding, then one with the summary."""

    def found(self, finding: TransferFinding) -> None:
        self._clear()
        line = {"fault": finding.problem.value, "path": finding.path, "detail": finding.detail}
        click.echo(msgspec.json.encode(line))

    def end(self, report: TransferReport, *, dry_run: bool) -> None:
        self._clear()
        summary: dict[str, Any] = {
            "files": report.files,
            "bytes": report.bytes,
            "skipped": {"unchanged": report.unchanged, "existing": report.kept},
            "found": {problem.value: report.found[problem] for problem in Problem},
            "dry_run": dry_run,
            "complete": not report.stopped and not report.found,
            "stopped": report.stopped or None,
        }
        click.echo(msgspec.json.encode({"summary": summary}))


def _amount(report: TransferReport) -> str:
    return f"{counted(report.files, 'file')} of {counted(report.bytes, 'byte')}"
