"""Where everything meets: which adapter stands behind which port, chosen by the settings.

The providers are synchronous and open nothing; what they make is opened by lifecycle.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from dependency_injector import containers, providers

from adapters.metadata.memory import MemoryMetadata
from adapters.metadata.sql import SqlMetadata
from adapters.sql.database import Database
from adapters.sql.revisions import SqlTables
from adapters.sql.sqlite import SqliteConfig, SqliteDatabase
from adapters.storage.database import DatabaseBlobStore
from adapters.storage.filesystem import FilesystemBlobStore, FilesystemConfig
from adapters.storage.memory import MemoryBlobStore
from application.check_database import CheckDatabase
from application.check_ready import CheckReady
from application.check_storage import CheckStorage
from application.delete_blob import DeleteBlob
from application.fetch_blob import FetchBlob
from application.list_blobs import ListBlobs
from application.ports.blob_store import BlobStore
from application.ports.tables import Tables
from application.reap import Reap
from application.store_blob import StoreBlob
from application.stores import Stores
from application.verify import Verify
from domain.blob import ObjectKey
from entrypoints.logs import tell_of_retry
from entrypoints.settings import Settings


def _postgresql(url: str, migrate: bool) -> Database:
    # Imported only where it is used: a start without it is quicker.
    from adapters.sql.postgresql import PostgresqlConfig, PostgresqlDatabase

    return PostgresqlDatabase(PostgresqlConfig(url, migrate=migrate))


def _mariadb(url: str, migrate: bool) -> Database:
    # Likewise.
    from adapters.sql.mariadb import MariadbConfig, MariadbDatabase

    return MariadbDatabase(MariadbConfig(url, migrate=migrate))


def _s3(given: Settings) -> BlobStore:
    # Likewise.
    from adapters.storage.s3 import S3BlobStore, S3Config

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
        )
    )
    # Its client makes further attempts itself, also for each part of an upload.
    return _patient(store, replace(given, storage_attempts=1), "s3")


def _ftp(given: Settings) -> BlobStore:
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
        )
    )
    return _patient(store, given, "ftp")


def _in_database(database: Database, given: Settings) -> BlobStore:
    store = DatabaseBlobStore(database)
    # Before a file there is no network.
    return store if given.database == "sqlite" else _patient(store, given, "database")


def _patient(store: BlobStore, given: Settings, backend: str) -> BlobStore:
    # Likewise.
    from stamina.instrumentation import set_on_retry_hooks

    from adapters.storage.policies import Policies, with_policies

    set_on_retry_hooks([tell_of_retry])
    policies = Policies(timeout=given.storage_timeout, attempts=given.storage_attempts, streams=given.storage_streams)
    return with_policies(store, policies, backend)


def _configured(names: Sequence[str], **makers: Callable[[], BlobStore]) -> Mapping[str, BlobStore]:
    return {name: makers[name]() for name in names}


class Container(containers.DeclarativeContainer):
    """Drivebay, put together. To be given its `settings`, and `migrate=False` if the tables are to stay as they are."""

    settings: providers.Provider[Settings] = providers.Dependency(instance_of=Settings)
    migrate: providers.Provider[bool] = providers.Object(True)
    _given: Any = settings.provided

    sqlite = providers.Singleton(
        SqliteDatabase, providers.Factory(SqliteConfig, path=_given.sqlite_path, migrate=migrate)
    )
    postgresql = providers.Singleton(_postgresql, _given.database_url, migrate)
    mariadb = providers.Singleton(_mariadb, _given.database_url, migrate)
    metadata: providers.Provider[MemoryMetadata | SqlMetadata] = providers.Selector(
        _given.database,
        memory=providers.Singleton(MemoryMetadata),
        sqlite=providers.Singleton(SqlMetadata, sqlite),
        postgresql=providers.Singleton(SqlMetadata, postgresql),
        mariadb=providers.Singleton(SqlMetadata, mariadb),
    )
    tables: providers.Provider[Tables] = providers.Selector(
        _given.database,
        sqlite=providers.Singleton(SqlTables, sqlite, _given.database),
        postgresql=providers.Singleton(SqlTables, postgresql, _given.database),
        mariadb=providers.Singleton(SqlTables, mariadb, _given.database),
    )

    fs = providers.Singleton(FilesystemBlobStore, providers.Factory(FilesystemConfig, base_path=_given.fs_base_path))
    memory = providers.Singleton(MemoryBlobStore)
    database = providers.Singleton(
        _in_database,
        providers.Selector(_given.database, sqlite=sqlite, postgresql=postgresql, mariadb=mariadb),
        settings,
    )
    s3 = providers.Singleton(_s3, settings)
    ftp = providers.Singleton(_ftp, settings)
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
    store_blob = providers.Singleton(
        StoreBlob, metadata, stores, new_key=ObjectKey.random, max_bytes=_given.max_blob_bytes, grace=_grace
    )
    fetch_blob = providers.Singleton(FetchBlob, metadata.provided.blobs, stores)
    list_blobs = providers.Singleton(ListBlobs, metadata.provided.blobs)
    delete_blob = providers.Singleton(DeleteBlob, metadata, grace=_grace)
    reap = providers.Singleton(Reap, metadata, stores)
    verify = providers.Singleton(
        Verify,
        metadata,
        blobs=metadata.provided.blobs,
        named=metadata.provided.named,
        backlog=metadata.provided.backlog,
        stores=stores,
    )
    check_database = providers.Singleton(
        CheckDatabase, metadata, blobs=metadata.provided.blobs, new_key=ObjectKey.random
    )
    check_storage = providers.Singleton(CheckStorage, metadata, stores, new_key=ObjectKey.random)
    check_ready = providers.Singleton(CheckReady, metadata, stores, new_key=ObjectKey.random)
