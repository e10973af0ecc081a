"""The DI container: which adapter serves which port, chosen by the settings.

The providers are synchronous and open nothing; lifecycle.py opens what they make.
"""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from dependency_injector import containers, providers

from adapters.hashing import sha256
from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.database import Database
from adapters.sql.rows import SqlRows
from adapters.sql.schema import SqlTables
from application.access.authenticate import Authenticate, KnownKeys, RecordUse
from application.access.failures import PAUSED_AT_ONCE, FailedAuthentications
from application.access.keys import Keys
from application.access.master_key import MasterKey
from application.access.passwords import Passwords
from application.access.rates import RequestRates
from application.access.sessions import Sessions
from application.access.shares import Shares
from application.access.sign import Signatures
from application.access.upload_rights import UploadRights
from application.blobs.buckets import Buckets
from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.delete import DeleteBlob, DeleteBlobs
from application.blobs.changes.operations import Rules
from application.blobs.changes.prefixes import DeletePrefix, MovePrefix
from application.blobs.changes.trash import Trash
from application.blobs.collect import CollectBlobs
from application.blobs.fetch import FetchBlob
from application.blobs.list import ListBlobs
from application.blobs.multipart.copy_part import CopyPart
from application.blobs.multipart.uploads import MultipartUploads
from application.blobs.resumable.uploads import ResumableUploads
from application.blobs.store import StoreBlob
from application.checks.database import CheckDatabase
from application.checks.readiness import PROBE_LEASE, CheckReady
from application.checks.status import ShowStatus
from application.checks.storage import CheckStorage
from application.contents.expiry import NEVER, Expiry
from application.contents.retention import Retention
from application.maintenance.digests import ComputeDigests
from application.maintenance.expire import Expire
from application.maintenance.move import LEASE, MoveObjects
from application.maintenance.reap import Reap
from application.ownership.adopt import AdoptStorage
from application.ownership.mark import MarkStorage
from application.ownership.markers import interval_for
from application.ownership.ownership import Ownership
from application.ports.metadata import KnownStorageReader
from application.ports.observer import UNOBSERVED, Observer
from application.ports.rows import Rows
from application.ports.schema import Opening, Tables
from application.transfers.export_blobs import ExportBlobs
from application.transfers.import_files import ImportFiles
from application.uploads.committer import Committer
from application.uploads.lifecycle import Uploads, lease_for
from application.uploads.retry import Retry
from application.verification.verify import Verify
from domain.access import EVERYTHING, Grant
from domain.blob import ObjectKey
from domain.errors import BlobError
from entrypoints.composition import storages
from entrypoints.composition.databases import make_database, make_metadata, reader_of_bytes
from entrypoints.composition.missing_features import MissingFeatures
from entrypoints.config.settings import Settings
from entrypoints.telemetry.logs import log_retry


def _opening(settings: Settings) -> Opening:
    return Opening.REQUIRE if settings.read_only else Opening.MIGRATE


def _readers_hold(settings: Settings) -> timedelta:
    """Return how long a reader holds what it reads. A read-only server can't, and deletes nothing either."""
    return timedelta(seconds=0 if settings.read_only else settings.readers_grace)


def _look(settings: Settings, metadata: MemoryMetadata | SqlMetadata) -> KnownStorageReader | None:
    return metadata.known_storage if settings.read_only else None


def _retry(settings: Settings, observer: Observer) -> Retry:
    """Return how often to attempt a write, which the retry layer of a storage does not repeat."""
    return Retry(storages.attempts(settings.storage, settings), partial(_report_retry, observer))


def _report_retry(observer: Observer, backend: str, error: BlobError, seconds: float) -> None:
    observer.retried(backend, "put")
    log_retry(error, seconds)


def _move_retry(settings: Settings, observer: Observer) -> Retry:
    return Retry(settings.storage_attempts, partial(_report_retry, observer))


def _lease(settings: Settings) -> timedelta:
    """Return a lease longer than an upload may pause: for its client, for a free stream, and for the storage."""
    return lease_for(timedelta(seconds=settings.client_timeout + 2 * settings.storage_timeout))


def _retention_of(settings: Settings) -> Retention:
    grace = timedelta(seconds=settings.readers_grace)
    trash = settings.trash_retention
    return Retention(grace, grace if trash is None else timedelta(seconds=trash))


def _default_expiry(settings: Settings) -> Expiry:
    return Expiry(after=timedelta(seconds=settings.default_ttl)) if settings.default_ttl else NEVER


def _paused_at_once(settings: Settings) -> int:
    """Return how many refusals may wait at once. Each holds a request slot."""
    return min(PAUSED_AT_ONCE, settings.max_requests // 10)


def _token_grants(settings: Settings) -> Mapping[bytes, Grant]:
    """Return the grants of the tokens that are set, by their SHA-256: they may do everything."""
    return dict.fromkeys(settings.tokens, EVERYTHING)


def _master_key(settings: Settings) -> MasterKey | None:
    if settings.master_key:
        return MasterKey(settings.master_key)
    # The keys end with the process, so its own master key is enough.
    return MasterKey(secrets.token_bytes(32)) if settings.database == "memory" else None


class Container(containers.DeclarativeContainer):
    """The application's objects, made from its `settings`.

    Also an `observer`, if there is one, an `opening` if the tables are not to be brought to their newest form, and
    `missing_features` if some are known, or are not to be logged.
    """

    settings: providers.Provider[Settings] = providers.Dependency(instance_of=Settings)
    observer: providers.Provider[Observer] = providers.Object(UNOBSERVED)
    opening: providers.Provider[Opening] = providers.Callable(_opening, settings)
    missing_features: providers.Provider[MissingFeatures] = providers.Singleton(MissingFeatures)
    _settings: Any = settings.provided

    database: providers.Provider[Database] = providers.Singleton(make_database, settings, opening, observer)
    metadata: providers.Provider[MemoryMetadata | SqlMetadata] = providers.Singleton(
        make_metadata, settings, database.provider, observer
    )
    tables: providers.Provider[Tables] = providers.Singleton(SqlTables, database, _settings.database)
    rows: providers.Provider[Rows] = providers.Singleton(SqlRows, database)
    new_key = providers.Object(ObjectKey.random)
    stores = providers.Singleton(storages.make_stores, settings, database.provider, observer, missing_features)

    _grace = providers.Factory(timedelta, seconds=_settings.readers_grace)
    _hold = providers.Callable(_readers_hold, settings)
    _retention = providers.Callable(_retention_of, settings)
    _expiry = providers.Callable(_default_expiry, settings)
    uploads = providers.Singleton(Uploads, metadata, stores, lease=providers.Callable(_lease, settings))
    probes = providers.Singleton(Uploads, metadata, stores, lease=PROBE_LEASE)
    store_blob = providers.Singleton(
        StoreBlob,
        uploads,
        new_key=new_key,
        max_bytes=_settings.max_blob_bytes,
        retention=_retention,
        retry=providers.Callable(_retry, settings, observer),
        small=providers.Callable(storages.make_small_blobs, settings, metadata),
        default_expiry=_expiry,
    )
    fetch_blob = providers.Singleton(
        FetchBlob,
        metadata.provided.blobs,
        metadata.provided.contents,
        stores,
        metadata,
        grace=_hold,
        together=providers.Callable(reader_of_bytes, settings, metadata),
    )
    collect_blobs = providers.Singleton(
        CollectBlobs, metadata.provided.blobs, metadata.provided.contents, stores, metadata, grace=_hold
    )
    list_blobs = providers.Singleton(ListBlobs, metadata.provided.blobs)
    import_files = providers.Singleton(
        ImportFiles,
        metadata.provided.blobs,
        store_blob,
        fetch_blob,
        retry=providers.Callable(_move_retry, settings, observer),
    )
    export_blobs = providers.Singleton(
        ExportBlobs, list_blobs, fetch_blob, retry=providers.Callable(_move_retry, settings, observer)
    )
    delete_blob = providers.Singleton(DeleteBlob, metadata, retention=_retention)
    _commit = providers.Singleton(Committer, metadata, new_key)
    _large_commit = providers.Singleton(Committer, metadata.provided.large_units, new_key)
    commit_operations = providers.Singleton(
        CommitOperations,
        _large_commit,
        _commit,
        providers.Factory(Rules, _retention, _settings.max_blob_bytes, _expiry),
    )
    delete_blobs = providers.Singleton(DeleteBlobs, _large_commit, _retention)
    delete_prefix = providers.Singleton(DeletePrefix, _large_commit, metadata.provided.blobs, _retention)
    move_prefix = providers.Singleton(MovePrefix, _large_commit, metadata.provided.blobs, _retention)
    trash = providers.Singleton(Trash, _commit, metadata.provided.trash, _retention)
    multipart_uploads = providers.Singleton(
        MultipartUploads,
        uploads,
        metadata.provided.multipart,
        new_key=new_key,
        max_bytes=_settings.max_blob_bytes,
        lifetime=providers.Factory(timedelta, seconds=_settings.upload_ttl),
    )
    resumable_uploads = providers.Singleton(ResumableUploads, multipart_uploads, commit_operations)
    copy_part = providers.Singleton(CopyPart, multipart_uploads, metadata.provided.contents)
    buckets = providers.Singleton(
        Buckets, _large_commit, metadata.provided.buckets, providers.Callable(dict, _settings.s3_api_buckets)
    )
    master_key: providers.Provider[MasterKey | None] = providers.Singleton(_master_key, settings)
    known_keys = providers.Singleton(KnownKeys, metadata.provided.keys, master_key)
    keys = providers.Singleton(Keys, _commit, metadata.provided.keys, master_key, forget=known_keys.provided.forget)
    token_grants: providers.Provider[Mapping[bytes, Grant]] = providers.Callable(_token_grants, settings)
    authenticate = providers.Singleton(Authenticate, token_grants, known_keys, master_key)
    signatures = providers.Singleton(Signatures, authenticate)
    sessions = providers.Singleton(Sessions, authenticate, metadata.provided.keys)
    shares = providers.Singleton(
        Shares, _commit, metadata.provided.shares, master_key, authenticate, providers.Singleton(Passwords)
    )
    upload_rights = providers.Singleton(UploadRights, signatures, shares, metadata.provided.multipart)
    request_rates = providers.Singleton(RequestRates)
    failed_authentications = providers.Singleton(
        FailedAuthentications, paused_at_once=providers.Callable(_paused_at_once, settings)
    )
    record_use = providers.Singleton(RecordUse, known_keys, metadata)
    compute_digests = providers.Singleton(
        ComputeDigests, metadata, metadata.provided.contents, stores, sha256, _settings.digest_rate
    )
    move_objects = providers.Singleton(
        MoveObjects,
        providers.Singleton(Uploads, metadata, stores, lease=LEASE),
        metadata.provided.moves,
        new_key=new_key,
        grace=_grace,
        small_bytes=providers.Callable(storages.small_bytes, settings),
        retry=providers.Callable(_move_retry, settings, observer),
    )
    uploads_of_markers = providers.Singleton(storages.for_markers, uploads)
    mark_storage = providers.Singleton(
        MarkStorage,
        uploads_of_markers,
        metadata.provided.blobs,
        metadata.provided.contents,
        metadata.provided.known_storage,
        new_key,
    )
    ownership = providers.Singleton(Ownership, mark_storage, providers.Callable(interval_for, _settings.reap_interval))
    # The commands leave the interval as it is.
    ownership_of_commands = providers.Singleton(Ownership, mark_storage)
    move_objects.add_kwargs(require=ownership.provided.require)
    for _reading in (fetch_blob, collect_blobs):
        _reading.add_kwargs(recognise=ownership.provided.recognise)
    adopt_storage = providers.Singleton(AdoptStorage, mark_storage, metadata.provided.named)
    reap = providers.Singleton(
        Reap,
        metadata,
        stores,
        may_delete=ownership.provided.may_delete,
        expire=providers.Singleton(Expire, metadata.provided.large_units, _grace, metadata.provided.has_expired),
    )
    verify = providers.Singleton(
        Verify,
        metadata,
        blobs=metadata.provided.blobs,
        contents=metadata.provided.contents,
        named=metadata.provided.named,
        backlog=metadata.provided.backlog,
        stores=stores,
        recognise=ownership_of_commands.provided.recognise,
        acquire=ownership_of_commands.provided.acquire,
        may_delete=ownership_of_commands.provided.may_delete,
    )
    check_database = providers.Singleton(CheckDatabase, uploads, blobs=metadata.provided.blobs, new_key=new_key)
    check_storage = providers.Singleton(CheckStorage, uploads, new_key=new_key, recognise=ownership.provided.recognise)
    show_status = providers.Singleton(
        ShowStatus,
        stores,
        metadata.provided.backlog,
        metadata.provided.undigested,
        metadata.provided.verifications,
        new_key=new_key,
    )
    disks = providers.Singleton(storages.disks, settings)
    check_ready = providers.Singleton(
        CheckReady,
        probes,
        new_key=new_key,
        recognise=ownership.provided.recognise,
        look=providers.Callable(_look, settings, metadata),
    )
