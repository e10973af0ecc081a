"""The storages that are measured: how to open the store of each, and the bare client that it is held against."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from adapters.sql.database import Database
from adapters.sql.servers.mariadb import MariadbConfig, MariadbDatabase
from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.storage.database import DatabaseBlobStore
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.store import FtpBlobStore
from adapters.storage.s3.store import S3BlobStore
from application.ports.blob_store import BlobStore
from tests.backends import ceph, ftp, mariadb, postgresql
from tests.backends.containers import Containers
from tests.backends.ftp import FtpServer
from tests.backends.run import Backends
from tests.benchmarks.bare_databases import bare_mariadb, bare_postgresql, bare_sqlite
from tests.benchmarks.bare_files import bare_files
from tests.benchmarks.bare_ftp import bare_ftp
from tests.benchmarks.bare_s3 import bare_s3
from tests.benchmarks.clients import Client

FTP_PORTS = 100  # about three for each of 32 transfers at once
MARIADB_STREAM = 8  # MiB: more would take minutes; a stream holds only a few chunks of its object
REQUIRED, GOAL = 0.7, 0.8  # of the bare client's speed


@dataclass(frozen=True)
class Storage:
    """`bound` and `goal`: the parts of the bare client's speed that are required and wanted.

    `small`: whether small objects are measured too. `stream`: the size in MiB of each stream whose memory is
    measured, or 0.

    It can be sent to another process.
    """

    name: str
    store: Callable[[], AbstractAsyncContextManager[BlobStore]]
    bare: Callable[[], AbstractAsyncContextManager[Client]]
    rival: str
    bound: float | None = None
    goal: float | None = GOAL
    small: bool = False
    stream: int = 64


def local(folder: Path) -> Iterator[Storage]:
    """Those that need no server."""
    files = partial(FilesystemBlobStore, FilesystemConfig(folder / "blobs"))
    yield Storage("files", files, partial(bare_files, folder / "bare"), "plain files", goal=None)
    sqlite = partial(SqliteDatabase, SqliteConfig(folder / "rows.db"))
    yield Storage("SQLite", partial(_rows, sqlite), partial(bare_sqlite, folder / "bare.db"), "sqlite3")


def in_containers(backends: Backends, folder: Path) -> Iterator[Storage]:
    """Those on servers, which are started at the same time."""
    for start in (postgresql.start, mariadb.start, ceph.start, _vsftpd, _proftpd):
        backends.start(start)
    url = f"{backends.address(postgresql.start)}/postgres"
    rows = partial(_rows, partial(PostgresqlDatabase, PostgresqlConfig(url)))
    yield Storage("PostgreSQL", rows, partial(bare_postgresql, url), "asyncpg")
    url = f"{backends.address(mariadb.start)}/drivebay"
    rows = partial(_rows, partial(MariadbDatabase, MariadbConfig(url)))
    yield Storage("MariaDB", rows, partial(bare_mariadb, url), "aiomysql", stream=MARIADB_STREAM)
    s3 = backends.address(ceph.start)
    yield Storage("S3", partial(S3BlobStore, s3), partial(bare_s3, s3), "aiobotocore", REQUIRED, small=True)
    if shutil.which("curl") is None:
        print("There is no curl here: FTP is left out.")
        return
    vsftpd, proftpd = backends.address(_vsftpd), backends.address(_proftpd)
    yield _on_ftp("FTP (vsftpd)", vsftpd, folder)
    yield _on_ftp("FTP (ProFTPD)", proftpd, folder, stream=0)


def _vsftpd(containers: Containers) -> FtpServer:
    return ftp.start(containers, "vsftpd", ports=FTP_PORTS)


def _proftpd(containers: Containers) -> FtpServer:
    return ftp.start(containers, "proftpd", ports=FTP_PORTS)


def _on_ftp(name: str, server: FtpServer, folder: Path, **more: Any) -> Storage:
    config = FtpConfig(server.host, server.user, server.password, server.port, ca_file=Path(server.certificate))
    bare = partial(bare_ftp, server, folder)
    return Storage(name, partial(FtpBlobStore, config), bare, "curl", REQUIRED, small=True, **more)


@asynccontextmanager
async def _rows(database: Callable[[], Database]) -> AsyncIterator[BlobStore]:
    rows = database()
    async with rows:
        yield DatabaseBlobStore(rows)
