"""All kinds of storage, by their names. A new one is one more entry.

Adapters are imported only where they are used: a start without them is quicker.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.storage.backend import Backend, Reach, Resources
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.ftp.config import FtpConfig
from adapters.storage.s3.config import S3Config
from adapters.storage.s3.part_sizes import LARGEST_OBJECT
from application.ports.blob_store import BlobStore


@dataclass(frozen=True, slots=True)
class NoConfig:
    """The config of a backend that has no settings."""


def _complete_filesystem(config: FilesystemConfig, found: Set[str], data_dir: Path) -> FilesystemConfig:
    is_set = "base_path" in found
    folder = config.base_path if is_set else data_dir / "blobs"
    return replace(config, base_path=folder, may_hold_blobs=is_set or folder.is_dir())


def _make_filesystem(config: FilesystemConfig, _: Resources) -> BlobStore:
    from adapters.storage.filesystem.store import FilesystemBlobStore

    return FilesystemBlobStore(config)


def _make_database(_: NoConfig, resources: Resources) -> BlobStore:
    from adapters.storage.database import DatabaseBlobStore

    # Its transactions are not observed: there may be one for each chunk.
    return DatabaseBlobStore(resources.database())


def _check_s3(config: S3Config) -> Iterator[str]:
    if bool(config.access_key) != bool(config.secret_key):
        yield "S3_ACCESS_KEY and S3_SECRET_KEY: only one is given. Give both, or none."


def _make_s3(config: S3Config, resources: Resources) -> BlobStore:
    from adapters.storage.s3.part_sizes import PartSizes
    from adapters.storage.s3.store import S3BlobStore

    limited = replace(
        config,
        connections=resources.streams + 10,  # some for short requests next to the streams
        request_timeout=resources.timeout,
        attempts=resources.attempts,
        parts=PartSizes(resources.max_blob_bytes),
    )
    return S3BlobStore(limited, observer=resources.observer, report=resources.report)


def _complete_ftp(config: FtpConfig, found: Set[str], _: Path) -> FtpConfig:
    return replace(config, port=990) if config.tls == "implicit" and "port" not in found else config


def _make_ftp(config: FtpConfig, resources: Resources) -> BlobStore:
    from adapters.storage.ftp.store import FtpBlobStore

    return FtpBlobStore(config, observer=resources.observer)


def _make_memory(_: NoConfig, __: Resources) -> BlobStore:
    from adapters.storage.memory import MemoryBlobStore

    return MemoryBlobStore()


BACKENDS: dict[str, Backend[Any]] = {
    "fs": Backend(
        aliases=("filesystem", "local"),
        config=FilesystemConfig,
        complete=_complete_filesystem,
        make=_make_filesystem,
        location=lambda config: f"in {config.base_path.absolute()}",
        is_used=lambda config: config.may_hold_blobs,
        folder=lambda config: config.base_path,
        reach=Reach.LOCAL,
        settings="FS_BASE_PATH",
        rights="Let the user that runs this read, write and delete in the folder, or set FS_BASE_PATH",
    ),
    "database": Backend(
        aliases=("db",),
        config=NoConfig,
        make=_make_database,
        location=lambda _: "in the database of the rows",
        is_used=lambda _: True,
        reach=Reach.DATABASE,
        settings="DATABASE_URL",
        rights="Grant the user of DATABASE_URL SELECT, INSERT, UPDATE and DELETE on all tables",
    ),
    "s3": Backend(
        config=S3Config,
        errors=_check_s3,
        make=_make_s3,
        location=lambda config: f"in the bucket {config.bucket} at {config.endpoint.rpartition('@')[2] or 'AWS'}",
        is_used=lambda config: bool(config.bucket),
        reach=Reach.NETWORK,
        max_object_bytes=LARGEST_OBJECT,
        # Its attempts are for one key, but none can change what another has stored: each has all the bytes, and is
        # refused if there is an object.
        client_retries=True,
        connections=lambda _, streams: streams,
        settings="S3_BUCKET, S3_ENDPOINT, S3_ACCESS_KEY or S3_SECRET_KEY",
        address="S3_ENDPOINT and S3_REGION",
        login="S3_ACCESS_KEY and S3_SECRET_KEY",
        place="S3_BUCKET",
        rights="Let the owner of S3_ACCESS_KEY do s3:PutObject, s3:GetObject, s3:DeleteObject, s3:ListBucket,"
        " s3:ListBucketMultipartUploads and s3:AbortMultipartUpload in the bucket",
    ),
    "ftp": Backend(
        config=FtpConfig,
        complete=_complete_ftp,
        make=_make_ftp,
        location=lambda config: f"on {config.host}:{config.port}",
        is_used=lambda config: bool(config.host and config.user),
        reach=Reach.NETWORK,
        # One connection is left for short commands.
        streams=lambda config, streams: min(streams, max(config.connections - 1, 1)),
        connections=lambda config, _: 2 * config.connections,  # each transfer has two
        settings="FTP_HOST, FTP_PORT, FTP_USER or FTP_PASSWORD",
        address="FTP_HOST and FTP_PORT",
        login="FTP_USER and FTP_PASSWORD",
        place="FTP_BASE_DIR",
        rights="Let FTP_USER store, read, list and delete files, and make folders, in FTP_BASE_DIR",
    ),
    "memory": Backend(
        config=NoConfig,
        make=_make_memory,
        location=lambda _: "in memory",
        is_used=lambda _: False,
        reach=Reach.LOCAL,
        settings="STORAGE",
    ),
}
