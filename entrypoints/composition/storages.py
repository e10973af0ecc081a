"""The storages that the settings name, each with the layers that it requires."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from adapters.concurrency.shared_call import SharedCall
from adapters.error_context import ErrorContext
from adapters.sql.database import Database
from adapters.sql.sqlite import database as sqlite
from adapters.storage.backend import Reach, Resources
from adapters.storage.backends import BACKENDS
from adapters.storage.layers import free_space
from adapters.storage.layers.observe import ObserveLayer
from application.ports.blob_store import BlobStore
from application.ports.metadata import DATABASE, UnitOfWorkFactory
from application.ports.observer import Observer
from application.stores import Stores
from application.uploads.lifecycle import Uploads
from application.uploads.small_blobs import SmallBlobs, unlimited
from entrypoints.composition.missing_features import MissingFeatures
from entrypoints.config.settings import Settings
from entrypoints.telemetry.disks import Disks
from entrypoints.telemetry.logs import on_retry


def make_stores(
    settings: Settings, database: Callable[[], Database], observer: Observer, missing_features: MissingFeatures
) -> Stores:
    """Return the storages of these settings, not yet entered."""

    def make(name: str) -> BlobStore:
        resources = Resources(
            database,
            observer,
            partial(missing_features.report, name),
            streams=settings.storage_streams,
            timeout=settings.storage_timeout,
            attempts=settings.storage_attempts,
            max_blob_bytes=settings.max_blob_bytes,
        )
        store = BACKENDS[name].make(settings.backends[name], resources)
        layers = _network_layers if _is_remote(name, settings) else _local_layers
        return _with_free_space(layers(store, name, settings, observer), name, settings)

    return Stores(settings.storage, {name: make(name) for name in settings.storages})


def for_markers(uploads: Uploads) -> Uploads:
    """Return uploads that may use the space that MIN_FREE_BYTES keeps free.

    A server that starts on a full disk has to write markers before it deletes anything, which then frees space.
    """
    unguarded = {
        name: store.store if isinstance(store, free_space.FreeSpaceGuard) else store
        for name, store in uploads.stores.by_name.items()
    }
    return replace(uploads, stores=Stores(uploads.stores.active, unguarded))


def make_small_blobs(settings: Settings, units: UnitOfWorkFactory) -> SmallBlobs | None:
    """Return the small blobs of these settings; None if they are stored like the others."""
    if settings.small_blobs != DATABASE:
        return None
    grace = timedelta(seconds=settings.readers_grace)
    return SmallBlobs(units, settings.small_blob_bytes, grace, require_space=_space_for_rows(settings))


def small_bytes(settings: Settings) -> int | None:
    """Return the size of the largest blob that is stored in the database with its row; None if none is."""
    return settings.small_blob_bytes if settings.small_blobs == DATABASE else None


def attempts(name: str, settings: Settings) -> int:
    """Return how many attempts Drivebay makes at an operation of a storage, on top of its client's attempts."""
    repeats = _is_remote(name, settings) and not BACKENDS[name].client_retries
    return settings.storage_attempts if repeats else 1


def location(name: str, settings: Settings) -> str:
    """Return where the blobs of a storage are, for people."""
    return BACKENDS[name].location(settings.backends[name])


def folder(name: str, settings: Settings) -> Path | None:
    """Return the folder on this machine that holds the objects of a storage."""
    return BACKENDS[name].folder(settings.backends[name])


def connections(settings: Settings) -> int:
    """Return how many connections a worker may have to the database and the storages."""
    database = settings.database_connections if settings.database in ("postgresql", "mariadb") else 0
    return database + sum(
        BACKENDS[name].connections(settings.backends[name], settings.storage_streams) for name in settings.storages
    )


def disks(settings: Settings) -> Disks:
    """Return the disks of what is stored on this machine."""
    return Disks({name: SharedCall(partial(os.statvfs, path)) for name, path in settings.folders.items()})


def _is_remote(name: str, settings: Settings) -> bool:
    reach = BACKENDS[name].reach
    return reach is Reach.NETWORK or (reach is Reach.DATABASE and settings.database != "sqlite")


def _local_layers(store: BlobStore, name: str, _: Settings, observer: Observer) -> BlobStore:
    return ObserveLayer(store, name, observer)


def _network_layers(store: BlobStore, name: str, settings: Settings, observer: Observer) -> BlobStore:
    # Imported only where it is used: a start without it is quicker.
    from stamina.instrumentation import set_on_retry_hooks

    from adapters.storage.layers.stack import LayerSettings, with_layers

    set_on_retry_hooks([on_retry])
    layers = LayerSettings(
        timeout=settings.storage_timeout,
        attempts=attempts(name, settings),
        streams=BACKENDS[name].streams(settings.backends[name], settings.storage_streams),
        senders=settings.storage_streams,
    )
    return with_layers(store, layers, name, observer)


def _with_free_space(store: BlobStore, name: str, settings: Settings) -> BlobStore:
    """Add a guard that keeps space free next to the bytes and the rows, because a delete needs some too."""
    measures = _measures_of_rows(settings)
    if blobs := folder(name, settings):
        measures[blobs] = free_space.free_bytes
    if not measures or not settings.min_free_bytes:
        return store
    return free_space.FreeSpaceGuard(store, free_space.FreeSpace(measures, settings.min_free_bytes), name)


def _space_for_rows(settings: Settings) -> Callable[[int], Awaitable[None]]:
    measures = _measures_of_rows(settings)
    if not measures or not settings.min_free_bytes:
        return unlimited
    space = free_space.FreeSpace(measures, settings.min_free_bytes)

    async def require(size: int) -> None:
        with ErrorContext(DATABASE, "put"):
            await space.require(size)

    return require


def _measures_of_rows(settings: Settings) -> dict[Path, Callable[[Path], int]]:
    return {settings.sqlite_path: sqlite.free_bytes} if settings.database == "sqlite" else {}
