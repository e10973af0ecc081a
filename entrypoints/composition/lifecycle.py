"""The lifetime of a server: the data folder, the selected adapters, the background work."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from adapters.storage.backends import BACKENDS
from application.ports.schema import Tables
from domain.blob import ObjectKey
from domain.errors import BlobError, Kind
from entrypoints.background import in_background
from entrypoints.composition import advice, background
from entrypoints.composition.container import Container
from entrypoints.composition.missing_features import BackendFeature
from entrypoints.config import values
from entrypoints.config.kept_secrets import BEARER, MASTER_KEY, kept_secret, path_of, sync
from entrypoints.config.settings import Settings
from entrypoints.config.values import hashed
from entrypoints.errors import StartError
from entrypoints.telemetry.audit import STDOUT

LOG = structlog.get_logger()
PAUSE = 1.0  # seconds


def prepare(
    settings: Settings, show_new_token: Callable[[str], None] = lambda _: None, *, makes_master_key: bool = True
) -> Settings:
    """Make the data folder if anything is to go into it, and the secrets that are not set. Raises StartError.

    Without a data folder no master key is made either: replicas without one have to be given the same. One that is
    there from an earlier start counts all the same. Unless `makes_master_key`, a master key is only read.

    Whatever this process and its workers create from now on is for its user only. A token that this call makes is
    passed to `show_new_token`, at once: no later start shows it again.
    """
    os.umask(0o077)
    _check_audit_log(settings)
    folder = settings.data_dir
    try:
        if needs_data_dir(settings):
            folder.mkdir(exist_ok=True)
            sync(folder.absolute().parent)
            if makes_master_key:
                settings = _with_kept_master_key(settings)
        if has_kept_master_key(settings):
            settings = _with_kept_master_key(settings)
        return settings if settings.tokens else _with_kept_token(settings, show_new_token)
    except FileNotFoundError:
        raise StartError(f"DATA_DIR: There is no folder {folder.absolute().parent}. Create it.") from None
    except ValueError as error:
        raise StartError(f"DATA_DIR: {path_of(folder, MASTER_KEY)} can't be used: {error}") from None
    except OSError as error:
        raise StartError(
            f"DATA_DIR: The folder {folder.absolute()} can't be used: {error.strerror or error}. Set another."
        ) from None


def has_kept_master_key(settings: Settings) -> bool:
    """Whether the data folder has a master key that this or an earlier start has made."""
    return os.path.exists(path_of(settings.data_dir, MASTER_KEY))


def _check_audit_log(settings: Settings) -> None:
    if settings.audit_log in ("", STDOUT):
        return
    try:
        os.close(os.open(settings.audit_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    except OSError as error:
        text = f"AUDIT_LOG: The file {settings.audit_log} can't be written: {error.strerror}. Set another."
        raise StartError(text) from None


def _with_kept_token(settings: Settings, show_new_token: Callable[[str], None]) -> Settings:
    token = kept_secret(settings.data_dir, BEARER)
    if token.is_new:
        show_new_token(token.text)
    return replace(settings, tokens=(hashed(token.text),))


def _with_kept_master_key(settings: Settings) -> Settings:
    if settings.master_key:
        return settings
    return replace(settings, master_key=values.master_key(kept_secret(settings.data_dir, MASTER_KEY).text))


def needs_data_dir(settings: Settings) -> bool:
    """Whether anything is stored in the data folder."""
    return not settings.tokens or settings.data_dir.absolute() in _parents(settings)


def _parents(settings: Settings) -> set[Path]:
    """Return the folders of what is stored: of the database file, and of the folder for blobs."""
    return {(path if name == "rows" else path.parent).absolute() for name, path in settings.folders.items()}


@asynccontextmanager
async def running(container: Container, *, patient: bool = False) -> AsyncIterator[None]:
    """Open the selected adapters, and run the background work inside. Raises StartError unless `patient`."""
    async with AsyncExitStack() as stack:
        await _open(stack, container, patient=patient)
        for work in background.work(container):
            await stack.enter_async_context(in_background(work))
        yield


@dataclass(frozen=True, slots=True)
class Started:
    """Results of the check at the start of a server, which its workers reuse.

    `created`: epochs of storages that were marked, which no copy of the database can know. `full`: why no new blobs are
    taken, if the disk is full.
    """

    created: Set[ObjectKey] = frozenset()
    missing_features: Sequence[BackendFeature] = ()
    full: BlobError | None = None


NOTHING_KNOWN = Started()


async def check_start(container: Container) -> Started:
    """Open everything that the settings name, and try each operation of a write once on the storage for new blobs.

    A read-only server only looks. Raises StartError with what to do. On a full disk blobs are still read and deleted,
    so it does not stop the start.
    """
    async with entered(container):
        active = container.stores().active
        if container.settings().read_only:
            await _open_storage(container, active)
            return NOTHING_KNOWN
        full = await _try_writes(container, active)
        await _open_storage(container, active)
        return Started(container.ownership().created, container.missing_features().found, full)


async def _try_writes(container: Container, active: str) -> BlobError | None:
    steps = await container.check_storage()(active)
    step = steps[-1]
    if step.error is None or step.error.kind is Kind.NO_SPACE:
        return step.error
    raise StartError(advice.about_start(active, step, step.error))


@asynccontextmanager
async def opened(container: Container) -> AsyncIterator[None]:
    """Open the selected adapters. Raises StartError if that fails, or if the storage for new blobs can't be used.

    A storage that the database does not know is marked, unless this server is read-only.
    """
    async with entered(container):
        await _open_storage(container, container.stores().active)
        yield


async def _open_storage(container: Container, backend: str) -> None:
    ownership = container.ownership()
    try:
        if container.settings().read_only:
            await ownership.recognise(backend)
            await container.stores().by_name[backend].check()
        else:
            await ownership.open(backend)
    except BlobError as error:
        raise StartError(f"{BACKENDS[backend].settings}: {error.detail}") from error


@asynccontextmanager
async def entered(container: Container) -> AsyncIterator[None]:
    """Open the selected adapters, even if their storages can't be used. Raises StartError without a database."""
    async with AsyncExitStack() as stack:
        await _enter(stack, "DATABASE_URL", container.metadata())
        for name, store in container.stores().by_name.items():
            await _enter(stack, BACKENDS[name].settings, store)
        yield


@asynccontextmanager
async def database(container: Container) -> AsyncIterator[None]:
    """Open only the database. Raises StartError if it can't be used."""
    async with AsyncExitStack() as stack:
        await _enter(stack, "DATABASE_URL", container.metadata())
        yield


@asynccontextmanager
async def tables(container: Container) -> AsyncIterator[Tables]:
    """Open only the database of the tables. Raises StartError for its errors, also for those inside."""
    try:
        async with AsyncExitStack() as stack:
            await enter(stack, container.metadata())
            yield container.tables()
    except BlobError as error:
        raise StartError(f"DATABASE_URL: {error.detail}") from error


async def _open(stack: AsyncExitStack, container: Container, *, patient: bool) -> None:
    while True:
        try:
            return await stack.enter_async_context(opened(container))
        except StartError as error:
            if not patient:
                raise
            LOG.warning("the start waits for what can't be used now", fault=str(error))
        await asyncio.sleep(PAUSE)


async def enter(stack: AsyncExitStack, part: object) -> None:
    """Open a part of the container, if it is a context manager. Raises BlobError."""
    if isinstance(part, AbstractAsyncContextManager):
        await stack.enter_async_context(part)


async def _enter(stack: AsyncExitStack, setting: str, part: object) -> None:
    try:
        await enter(stack, part)
    except BlobError as error:
        raise StartError(f"{setting}: {error.detail}") from error
