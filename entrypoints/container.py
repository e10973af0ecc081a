"""Where everything meets: which adapter stands behind which port, chosen by the settings.

The providers are synchronous and open nothing; what they make is opened by lifecycle.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dependency_injector import containers, providers

from adapters.metadata.memory import MemoryMetadata
from adapters.metadata.sql import SqlMetadata
from adapters.sql.database import Database
from adapters.sql.sqlite import SqliteConfig, SqliteDatabase
from adapters.storage.database import DatabaseBlobStore
from adapters.storage.filesystem import FilesystemBlobStore, FilesystemConfig
from adapters.storage.memory import MemoryBlobStore
from application.check_ready import CheckReady
from application.fetch_blob import FetchBlob
from application.ports.blob_store import BlobStore
from application.reap import Reap
from application.store_blob import StoreBlob
from application.stores import Stores
from domain.blob import ObjectKey
from entrypoints.settings import Settings


def _postgresql(url: str) -> Database:
    # Imported only where it is used: a start without it is quicker.
    from adapters.sql.postgresql import PostgresqlConfig, PostgresqlDatabase

    return PostgresqlDatabase(PostgresqlConfig(url))


def _mariadb(url: str) -> Database:
    # Likewise.
    from adapters.sql.mariadb import MariadbConfig, MariadbDatabase

    return MariadbDatabase(MariadbConfig(url))


def _s3(given: Settings) -> BlobStore:
    # Likewise.
    from adapters.storage.s3 import S3BlobStore, S3Config

    return S3BlobStore(
        S3Config(
            bucket=given.s3_bucket,
            region=given.s3_region,
            access_key=given.s3_access_key,
            secret_key=given.s3_secret_key,
            endpoint=given.s3_endpoint,
            path_style=given.s3_force_path_style,
        )
    )


def _configured(names: Sequence[str], **makers: Callable[[], BlobStore]) -> Mapping[str, BlobStore]:
    return {name: makers[name]() for name in names}


class Container(containers.DeclarativeContainer):
    """Drivebay, put together. To be given its `settings`."""

    settings: providers.Provider[Settings] = providers.Dependency(instance_of=Settings)
    _given: Any = settings.provided

    sqlite = providers.Singleton(SqliteDatabase, providers.Factory(SqliteConfig, path=_given.sqlite_path))
    postgresql = providers.Singleton(_postgresql, _given.database_url)
    mariadb = providers.Singleton(_mariadb, _given.database_url)
    metadata: providers.Provider[MemoryMetadata | SqlMetadata] = providers.Selector(
        _given.database,
        memory=providers.Singleton(MemoryMetadata),
        sqlite=providers.Singleton(SqlMetadata, sqlite),
        postgresql=providers.Singleton(SqlMetadata, postgresql),
        mariadb=providers.Singleton(SqlMetadata, mariadb),
    )

    fs = providers.Singleton(FilesystemBlobStore, providers.Factory(FilesystemConfig, base_path=_given.fs_base_path))
    memory = providers.Singleton(MemoryBlobStore)
    database = providers.Singleton(
        DatabaseBlobStore, providers.Selector(_given.database, sqlite=sqlite, postgresql=postgresql, mariadb=mariadb)
    )
    s3 = providers.Singleton(_s3, settings)
    stores = providers.Singleton(
        Stores,
        active=_given.storage,
        by_name=providers.Factory(
            _configured,
            _given.storages,
            fs=fs.provider,
            database=database.provider,
            s3=s3.provider,
            memory=memory.provider,
        ),
    )

    store_blob = providers.Singleton(
        StoreBlob, metadata, stores, new_key=ObjectKey.random, max_bytes=_given.max_blob_bytes
    )
    fetch_blob = providers.Singleton(FetchBlob, metadata.provided.blobs, stores)
    reap = providers.Singleton(Reap, metadata, stores)
    check_ready = providers.Singleton(CheckReady, metadata, stores, new_key=ObjectKey.random)
