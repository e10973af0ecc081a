"""The DI container: which adapter serves which port, chosen by the settings.

The providers are synchronous and open nothing; lifecycle.py opens what they make.
"""

from datetime import timedelta
from functools import partial
from typing import Any

from dependency_injector import containers, providers

from adapters.metadata.memory import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.database import Database
from adapters.sql.schema import SqlTables
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
from application.ports.observer import UNOBSERVED, Observer
from application.ports.schema import Opening, Tables
from application.uploads.lifecycle import Uploads, lease_for
from application.uploads.retry import Retry
from application.verification.verify import Verify
from domain.blob import ObjectKey
from domain.errors import BlobError
from entrypoints.composition import storages
from entrypoints.composition.databases import make_database, make_metadata, reader_of_bytes
from entrypoints.composition.missing_features import MissingFeatures
from entrypoints.config.settings import Settings
from entrypoints.telemetry.logs import log_retry


def _retry(settings: Settings, observer: Observer) -> Retry:
    """Return how often to attempt a write, which the retry layer of a storage does not repeat."""
    return Retry(storages.attempts(settings.storage, settings), partial(_report_retry, observer))


def _report_retry(observer: Observer, backend: str, error: BlobError, seconds: float) -> None:
    observer.retried(backend, "put")
    log_retry(error, seconds)


def _lease(settings: Settings) -> timedelta:
    """Return a lease longer than an upload may pause: for its client, for a free stream, and for the storage."""
    return lease_for(timedelta(seconds=settings.client_timeout + 2 * settings.storage_timeout))


class Container(containers.DeclarativeContainer):
    """The application's objects, made from its `settings`.

    Also an `observer`, if there is one, an `opening` if the tables are not to be brought to their newest form, and
    `missing_features` if some are known, or are not to be logged.
    """

    settings: providers.Provider[Settings] = providers.Dependency(instance_of=Settings)
    observer: providers.Provider[Observer] = providers.Object(UNOBSERVED)
    opening: providers.Provider[Opening] = providers.Object(Opening.MIGRATE)
    missing_features: providers.Provider[MissingFeatures] = providers.Singleton(MissingFeatures)
    _settings: Any = settings.provided

    database: providers.Provider[Database] = providers.Singleton(make_database, settings, opening, observer)
    metadata: providers.Provider[MemoryMetadata | SqlMetadata] = providers.Singleton(
        make_metadata, settings, database.provider, observer
    )
    tables: providers.Provider[Tables] = providers.Singleton(SqlTables, database, _settings.database)
    stores = providers.Singleton(storages.make_stores, settings, database.provider, observer, missing_features)

    _grace = providers.Factory(timedelta, seconds=_settings.readers_grace)
    uploads = providers.Singleton(Uploads, metadata, stores, lease=providers.Callable(_lease, settings))
    probes = providers.Singleton(Uploads, metadata, stores, lease=PROBE_LEASE)
    store_blob = providers.Singleton(
        StoreBlob,
        uploads,
        new_key=ObjectKey.random,
        max_bytes=_settings.max_blob_bytes,
        grace=_grace,
        retry=providers.Callable(_retry, settings, observer),
        small=providers.Callable(storages.make_small_blobs, settings, metadata),
    )
    fetch_blob = providers.Singleton(
        FetchBlob,
        metadata.provided.blobs,
        stores,
        metadata,
        grace=_grace,
        together=providers.Callable(reader_of_bytes, settings, metadata),
    )
    list_blobs = providers.Singleton(ListBlobs, metadata.provided.blobs)
    delete_blob = providers.Singleton(DeleteBlob, metadata, grace=_grace)
    mark_storage = providers.Singleton(
        MarkStorage, uploads, metadata.provided.blobs, metadata.provided.known_storage, ObjectKey.random
    )
    ownership = providers.Singleton(Ownership, mark_storage, providers.Callable(interval_for, _settings.reap_interval))
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
