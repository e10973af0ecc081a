"""Where everything meets: which adapter stands behind which port, chosen by the settings.

The providers are synchronous and open nothing; what they make is opened by lifecycle.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from dependency_injector import containers, providers

from adapters.metadata.memory import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql import sqlite
from adapters.sql.database import Database
from adapters.sql.observed import ObservedDatabase
from adapters.sql.schema import SqlTables
from adapters.sql.sqlite import SqliteConfig, SqliteDatabase
from adapters.storage.database import DatabaseBlobStore
from adapters.storage.filesystem.store import FilesystemBlobStore, FilesystemConfig
from adapters.storage.layers import free_space
from adapters.storage.layers.observe import ObserveLayer
from adapters.storage.memory import MemoryBlobStore
from application.blobs.delete import DeleteBlob
from application.blobs.fetch import FetchBlob
from application.blobs.list import ListBlobs
from application.blobs.store import StoreBlob
from application.checks.database import CheckDatabase
from application.checks.readiness import PROBE_LEASE, CheckReady
from application.checks.storage import CheckStorage
from application.maintenance.reap import Reap
from application.ownership.adopt import AdoptStorage
from application.ownership.mark import MarkStorage
from application.ownership.markers import interval_for
from application.ownership.ownership import Ownership
from application.ports.blob_store import BlobStore
from application.ports.observer import UNOBSERVED, Observer
from application.ports.schema import Opening, Tables
from application.stores import Stores
from application.uploads.lifecycle import Uploads, lease_for
from application.uploads.retry import Retry
from application.verification.verify import Verify
from domain.blob import ObjectKey
from domain.errors import BlobError
from entrypoints.composition.missing_features import MissingFeatures
from entrypoints.config.settings import Settings
from entrypoints.telemetry.logs import log_retry, tell_of_retry


def _postgresql(given: Settings, opening: Opening, observer: Observer) -> Database:
    # Imported only where it is used: a start without it is quicker.
    from adapters.sql.postgresql import PostgresqlConfig, PostgresqlDatabase

    config = PostgresqlConfig(given.database_url, given.database_connections, opening=opening)
    return PostgresqlDatabase(config, observer)


def _mariadb(given: Settings, opening: Opening, observer: Observer) -> Database:
    # Likewise.
    from adapters.sql.mariadb import MariadbConfig, MariadbDatabase

    config = MariadbConfig(given.database_url, given.database_connections, opening=opening)
    return MariadbDatabase(config, observer)


def _rows_in(database: Database, name: str, observer: Observer) -> SqlMetadata:
    return SqlMetadata(ObservedDatabase(database, name, observer))


def _s3(given: Settings, observer: Observer, features: MissingFeatures) -> BlobStore:
    # Likewise.
    from adapters.storage.s3.part_sizes import PartSizes
    from adapters.storage.s3.store import S3BlobStore, S3Config

    store = S3BlobStore(
        S3Config(
            bucket=given.s3_bucket,
            region=given.s3_region,
            access_key=given.s3_access_key,
            secret_key=given.s3_secret_key,
            endpoint=given.s3_endpoint,
            path_style=given.s3_force_path_style,
            connections=given.storage_streams + 10,  # beside the streams, what is short
            request_timeout=given.storage_timeout,
            attempts=given.storage_attempts,
            parts=PartSizes(given.max_blob_bytes),
        ),
        observer=observer,
        report=partial(features.report, "s3"),
    )
    # Its client makes further attempts itself, also for each part of an upload.
    return _with_room(_patient(store, replace(given, storage_attempts=1), "s3", observer), given, "s3")


def _ftp(given: Settings, observer: Observer) -> BlobStore:
    # Likewise.
    from adapters.storage.ftp.config import FtpConfig
    from adapters.storage.ftp.store import FtpBlobStore

    store = FtpBlobStore(
        FtpConfig(
            host=given.ftp_host,
            port=given.ftp_port,
            user=given.ftp_user,
            password=given.ftp_password,
            base_path=given.ftp_base_dir,
            tls=given.ftp_tls,
            verify=given.ftp_verify,
            ca_file=given.ftp_ca_file,
            passive=given.ftp_passive,
            connections=given.ftp_connections,
            timeout=given.ftp_timeout,
            completion_timeout=given.ftp_completion_timeout,
        ),
        observer=observer,
    )
    # One connection is left for what is short.
    streams = min(given.storage_streams, max(given.ftp_connections - 1, 1))
    bounded = _patient(store, replace(given, storage_streams=streams), "ftp", observer, given.storage_streams)
    return _with_room(bounded, given, "ftp")


def _in_database(database: Database, given: Settings, observer: Observer) -> BlobStore:
    # Its transactions are not observed: there may be one for each chunk.
    store = DatabaseBlobStore(database)
    # Before a file there is no network.
    if given.database == "sqlite":
        return _with_room(ObserveLayer(store, "database", observer), given, "database")
    return _with_room(_patient(store, given, "database", observer), given, "database")


def _fs(given: Settings, observer: Observer) -> BlobStore:
    store = FilesystemBlobStore(FilesystemConfig(given.fs_base_path))
    return _with_room(ObserveLayer(store, "fs", observer), given, "fs", {given.fs_base_path: free_space.on_disk})


def _with_room(store: BlobStore, given: Settings, backend: str, looks: free_space.Looks | None = None) -> BlobStore:
    """A guard that keeps space free next to the bytes and the rows, because a delete needs some too."""
    all_looks = dict(looks or {}) | ({given.sqlite_path: sqlite.room} if given.database == "sqlite" else {})
    if not all_looks or not given.min_free_bytes:
        return store
    return free_space.FreeSpaceGuard(store, all_looks, given.min_free_bytes, backend)


def _patient(
    store: BlobStore, given: Settings, backend: str, observer: Observer, senders: int | None = None
) -> BlobStore:
    # Likewise.
    from stamina.instrumentation import set_on_retry_hooks

    from adapters.storage.layers.stack import LayerSettings, with_layers

    set_on_retry_hooks([tell_of_retry])
    policies = LayerSettings(
        timeout=given.storage_timeout,
        attempts=given.storage_attempts,
        streams=given.storage_streams,
        senders=senders or given.storage_streams,
    )
    return with_layers(store, policies, backend, observer)


def _retry(given: Settings, observer: Observer) -> Retry:
    """How often to attempt a write, which the retry layer of a storage does not repeat."""
    # S3's client makes further attempts itself. They are of one key, but none can change what another has stored: each
    # has all the bytes, and is refused if there is an object. Before a file there is no network.
    on_server = given.storage == "ftp" or (given.storage == "database" and given.database != "sqlite")
    return Retry(given.storage_attempts if on_server else 1, partial(_report_retry, observer))


def _report_retry(observer: Observer, backend: str, error: BlobError, seconds: float) -> None:
    observer.retried(backend, "put")
    log_retry(error, seconds)


def _lease(given: Settings) -> timedelta:
    """Longer than an upload may stand still: for its client, for a free stream, and for the storage."""
    return lease_for(timedelta(seconds=given.client_timeout + 2 * given.storage_timeout))


def _configured(names: Sequence[str], **makers: Callable[[], BlobStore]) -> Mapping[str, BlobStore]:
    return {name: makers[name]() for name in names}


class Container(containers.DeclarativeContainer):
    """Drivebay, put together. To be given its `settings`.

    Also an `observer`, if there is one, an `opening` if the tables are not to be brought to their newest form, and
    `missing_features` if some are known, or are not to be logged.
    """

    settings: providers.Provider[Settings] = providers.Dependency(instance_of=Settings)
    observer: providers.Provider[Observer] = providers.Object(UNOBSERVED)
    opening: providers.Provider[Opening] = providers.Object(Opening.MIGRATE)
    missing_features: providers.Provider[MissingFeatures] = providers.Singleton(MissingFeatures)
    _given: Any = settings.provided

    sqlite = providers.Singleton(
        SqliteDatabase, providers.Factory(SqliteConfig, path=_given.sqlite_path, opening=opening), observer
    )
    postgresql = providers.Singleton(_postgresql, settings, opening, observer)
    mariadb = providers.Singleton(_mariadb, settings, opening, observer)
    metadata: providers.Provider[MemoryMetadata | SqlMetadata] = providers.Selector(
        _given.database,
        memory=providers.Singleton(MemoryMetadata),
        sqlite=providers.Singleton(_rows_in, sqlite, "sqlite", observer),
        postgresql=providers.Singleton(_rows_in, postgresql, "postgresql", observer),
        mariadb=providers.Singleton(_rows_in, mariadb, "mariadb", observer),
    )
    tables: providers.Provider[Tables] = providers.Selector(
        _given.database,
        sqlite=providers.Singleton(SqlTables, sqlite, _given.database),
        postgresql=providers.Singleton(SqlTables, postgresql, _given.database),
        mariadb=providers.Singleton(SqlTables, mariadb, _given.database),
    )

    fs = providers.Singleton(_fs, settings, observer)
    memory = providers.Singleton(ObserveLayer, providers.Singleton(MemoryBlobStore), "memory", observer)
    database = providers.Singleton(
        _in_database,
        providers.Selector(_given.database, sqlite=sqlite, postgresql=postgresql, mariadb=mariadb),
        settings,
        observer,
    )
    s3 = providers.Singleton(_s3, settings, observer, missing_features)
    ftp = providers.Singleton(_ftp, settings, observer)
    stores = providers.Singleton(
        Stores,
        active=_given.storage,
        by_name=providers.Factory(
            _configured,
            _given.storages,
            fs=fs.provider,
            database=database.provider,
            s3=s3.provider,
            ftp=ftp.provider,
            memory=memory.provider,
        ),
    )

    _grace = providers.Factory(timedelta, seconds=_given.readers_grace)
    uploads = providers.Singleton(Uploads, metadata, stores, lease=providers.Callable(_lease, settings))
    probes = providers.Singleton(Uploads, metadata, stores, lease=PROBE_LEASE)
    store_blob = providers.Singleton(
        StoreBlob,
        uploads,
        new_key=ObjectKey.random,
        max_bytes=_given.max_blob_bytes,
        grace=_grace,
        retry=providers.Callable(_retry, settings, observer),
    )
    fetch_blob = providers.Singleton(FetchBlob, metadata.provided.blobs, stores, metadata, grace=_grace)
    list_blobs = providers.Singleton(ListBlobs, metadata.provided.blobs)
    delete_blob = providers.Singleton(DeleteBlob, metadata, grace=_grace)
    mark_storage = providers.Singleton(
        MarkStorage, uploads, metadata.provided.blobs, metadata.provided.known_storage, ObjectKey.random
    )
    ownership = providers.Singleton(Ownership, mark_storage, providers.Callable(interval_for, _given.reap_interval))
    # The commands leave the interval as it is.
    ownership_for_a_while = providers.Singleton(Ownership, mark_storage)
    adopt_storage = providers.Singleton(AdoptStorage, mark_storage, metadata.provided.named)
    reap = providers.Singleton(Reap, metadata, stores, may_delete=ownership.provided.may_delete)
    verify = providers.Singleton(
        Verify,
        metadata,
        blobs=metadata.provided.blobs,
        named=metadata.provided.named,
        backlog=metadata.provided.backlog,
        stores=stores,
        recognise=ownership_for_a_while.provided.recognise,
        acquire=ownership_for_a_while.provided.acquire,
        may_delete=ownership_for_a_while.provided.may_delete,
    )
    check_database = providers.Singleton(
        CheckDatabase, uploads, blobs=metadata.provided.blobs, new_key=ObjectKey.random
    )
    check_storage = providers.Singleton(
        CheckStorage, uploads, new_key=ObjectKey.random, recognise=ownership.provided.recognise
    )
    check_ready = providers.Singleton(
        CheckReady, probes, new_key=ObjectKey.random, recognise=ownership.provided.recognise
    )
