"""Checks of each part of the configuration. They leave nothing behind except folders that a start makes too."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from application.access.master_key import MasterKey
from application.checks.checklist import Checklist, Step
from application.ports.schema import Tables
from domain.errors import BlobError
from entrypoints.cli.check import advice
from entrypoints.cli.check.result import CheckResult, State
from entrypoints.composition import databases, lifecycle, storages
from entrypoints.composition.container import Container
from entrypoints.config import values
from entrypoints.config.kept_secrets import BEARER, MASTER_KEY, kept_secret, path_of
from entrypoints.config.settings import Settings

PAGE = 1000
SHOWN = 5  # ids of keys
SKEW = timedelta(seconds=2)  # worth reporting


def data_folder(settings: Settings) -> CheckResult | None:
    """Check DATA_DIR. Return None if nothing is stored there."""
    if not lifecycle.needs_data_dir(settings):
        return None
    return _folder("data folder", settings.data_dir, "DATA_DIR")


def _is_there(path: Path) -> bool:
    """Whether there is such a file or folder for this user. Path.exists raises an error in a folder that is denied."""
    return os.path.exists(path)


def _folder(part: str, folder: Path, setting: str) -> CheckResult:
    whole = folder.absolute()
    takes_the_write = whole if _is_there(whole) else whole.parent
    try:
        with tempfile.TemporaryFile(dir=takes_the_write):
            pass
    except FileNotFoundError:
        what_to_do = f"Create it, or set {setting}."
        return CheckResult(part, State.FAILED, f"There is no folder {takes_the_write}.", what_to_do)
    except OSError as error:
        summary = f"The folder {takes_the_write} takes no file: {error.strerror}."
        return CheckResult(part, State.FAILED, summary, f"Let this user write there, or set {setting} to another.")
    if takes_the_write == whole:
        return CheckResult(part, State.OK, f"{whole}")
    return CheckResult(part, State.NOT_YET, f"{whole} is not there, and can be made.", advice.MADE_AT_THE_START)


def token(settings: Settings) -> CheckResult:
    """Check the bearer token, without showing it."""
    if settings.tokens:
        count = len(settings.tokens)
        return CheckResult("token", State.OK, "one is set" if count == 1 else f"{count} are set")
    path = path_of(settings.data_dir, BEARER)
    if not _is_there(path):
        return CheckResult("token", State.NOT_YET, "None is set, and none was made.", advice.MADE_AT_THE_START)
    try:
        kept_secret(settings.data_dir, BEARER)
    except OSError as error:
        summary = f"{path} can't be read: {error.strerror or error}."
        return CheckResult("token", State.FAILED, summary, "Let this user read it, or set AUTH_BEARER_TOKEN.")
    return CheckResult("token", State.OK, f"kept in {path}")


async def database(settings: Settings, container: Container, stack: AsyncExitStack) -> CheckResult:
    """Check the database, and leave it open in `stack`. If the result is OK, rows can be written."""
    steps = Checklist()
    place = databases.location(settings)
    tables = None if settings.database == "memory" else container.tables()
    try:
        with steps.taking("connect"):
            await lifecycle.enter(stack, container.metadata())
            revisions = await tables.revisions() if tables else None
    except BlobError:
        return _failed("database", place, steps.taken, settings)
    if revisions is not None and revisions.pending:
        return _without_tables(settings, place, revisions.current)
    skew = await _skew(tables) if tables else timedelta(0)
    steps.taken.extend(await container.check_database()(settings.storage, write=not settings.read_only))
    if steps.taken[-1].error is not None:
        return _failed("database", place, steps.taken, settings)
    summary = f"{place}{f', tables of revision {revisions.current}' if revisions else ''}{_clock_difference(skew)}"
    to_do = advice.CLOCKS if abs(skew) > SKEW else _note(settings)
    return CheckResult("database", State.OK, summary, to_do, steps.taken)


async def keys(settings: Settings, container: Container) -> CheckResult:
    """Check that the keys in the database were made with the master key of this server."""
    if settings.database == "memory":
        return CheckResult("keys", State.OK, "in memory: they end with the server")
    path = path_of(settings.data_dir, MASTER_KEY)
    secret = settings.master_key
    if not secret and lifecycle.has_kept_master_key(settings):
        try:
            secret = values.master_key(kept_secret(settings.data_dir, MASTER_KEY).text)
        except (OSError, ValueError) as error:
            summary = f"{path} can't be used: {error}."
            return CheckResult("keys", State.FAILED, summary, "Let this user read it, or set MASTER_KEY.")
    fingerprint = MasterKey(secret).fingerprint if secret else ""
    count, others, last = 0, list[str](), ""
    while page := await container.metadata().keys.after(last, PAGE):
        count, last = count + len(page), page[-1].id
        others += [key.id for key in page if key.master != fingerprint]
    if others:
        shown = ", ".join(others[:SHOWN]) + (", ..." if len(others) > SHOWN else "")
        which = "another master key" if secret else "a master key, and there is none here"
        summary = f"{len(others)} of {count} were made with {which}: {shown}"
        return CheckResult("keys", State.FAILED, summary, advice.MASTER_KEY)
    if not secret:
        return CheckResult("keys", State.OK, "none, and no master key to make any", advice.SET_MASTER_KEY)
    return CheckResult("keys", State.OK, f"{count}, all of this server's master key" if count else "none yet")


def _without_tables(settings: Settings, place: str, current: str | None) -> CheckResult:
    if settings.database == "sqlite" and not _is_there(settings.sqlite_path) and not _waits_for_data_dir(settings):
        folder = _folder("database", settings.sqlite_path.parent, "DATABASE_URL")
        if folder.state is not State.OK:
            return CheckResult("database", State.FAILED, folder.summary, folder.to_do or advice.CREATE)
    has = "no tables yet" if current is None else f"tables of revision {current}, which is not the newest"
    return CheckResult("database", State.NOT_YET, f"{place}, {has}", advice.MIGRATE)


def _waits_for_data_dir(settings: Settings) -> bool:
    return settings.sqlite_path.parent == settings.data_dir and not _is_there(settings.data_dir)


async def _skew(tables: Tables) -> timedelta:
    """Return how far the database's clock is ahead of this machine's. The error is half of the time of the request."""
    before = datetime.now(UTC)
    with suppress(BlobError):  # the steps report it
        theirs = await tables.now()
        return theirs - before - (datetime.now(UTC) - before) / 2
    return timedelta(0)


def _clock_difference(skew: timedelta) -> str:
    if abs(skew) <= SKEW:
        return ""
    return f", its clock {abs(skew).total_seconds():.1f} s {'ahead' if skew > timedelta(0) else 'behind'}"


async def storage(
    backend: str, settings: Settings, container: Container, stack: AsyncExitStack, *, write: bool
) -> CheckResult:
    """Check a storage. Unless rows can be written (`write`), only check that it can be reached."""
    part = f"storage {backend}"
    role = "for new blobs" if backend == settings.storage else "for older blobs"
    place = f"{role}, {storages.location(backend, settings)}"
    folder = storages.folder(backend, settings)
    if folder and folder.parent == settings.data_dir and not _is_there(settings.data_dir):
        return CheckResult(part, State.NOT_YET, place, advice.MADE_AT_THE_START)
    opening = Checklist()
    try:
        with opening.taking("reach"):
            await lifecycle.enter(stack, container.stores().by_name[backend])
        steps = await container.check_storage()(backend, write=write, read_only=settings.read_only)
    except BlobError:
        steps = opening.taken
    if steps[-1].error is not None:
        return _failed(part, place, steps, settings)
    if not write:
        return CheckResult(part, State.NOT_YET, place, advice.AFTER_THE_DATABASE, steps)
    to_do = _note(settings) or advice.about_missing(container.missing_features().of(backend))
    return CheckResult(part, State.OK, place, to_do, steps)


def _note(settings: Settings) -> str:
    return advice.READ_ONLY if settings.read_only else ""


def _failed(part: str, place: str, steps: Sequence[Step], settings: Settings) -> CheckResult:
    step = steps[-1]
    assert step.error is not None
    summary = f"{place}: can't {step.name}: {step.error.detail}"
    return CheckResult(part, State.FAILED, summary, advice.to_do(part, step.name, step.error, settings), steps)
