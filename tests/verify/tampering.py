"""Tampering with objects, past the server."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.database import Database
from adapters.sql.servers.mariadb import MariadbConfig, MariadbDatabase
from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.sql.tables import BLOBS, CHUNKS
from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.connection import FtpConnection
from adapters.storage.ftp.features import FtpFeatures
from adapters.storage.s3.config import S3Config
from application.ports.schema import Opening
from tests.backends import ceph
from tests.contracts.blob_store import each

Settings = Mapping[str, Any]


class Objects(ABC):
    """The objects of a storage, as somebody sees them who knows nothing of Drivebay."""

    @abstractmethod
    async def write(self, key: str, data: bytes) -> None:
        """Make `data` what is under the key."""

    @abstractmethod
    async def remove(self, key: str) -> None: ...


class Files(Objects):
    def __init__(self, base: Path) -> None:
        self._base = base

    async def write(self, key: str, data: bytes) -> None:
        path = self._base / key[:3] / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    async def remove(self, key: str) -> None:
        (self._base / key[:3] / key).unlink()


class Chunks(Objects):
    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    async def write(self, key: str, data: bytes) -> None:
        row = {"object_key": key, "seq": 0, "data": data}
        await self._execute(sa.delete(CHUNKS).where(CHUNKS.c.object_key == key), sa.insert(CHUNKS).values(row))

    async def remove(self, key: str) -> None:
        await self._execute(sa.delete(CHUNKS).where(CHUNKS.c.object_key == key))

    async def _execute(self, *statements: sa.Executable) -> None:
        def execute(connection: Connection) -> None:
            for statement in statements:
                connection.execute(statement)

        database = database_of(self._settings, self._folder)
        async with database as _, database.transaction() as transaction:
            await transaction.run(execute)
            await transaction.commit()


class Bucket(Objects):
    def __init__(self, config: S3Config) -> None:
        self._config = config

    async def write(self, key: str, data: bytes) -> None:
        async with ceph.client(self._config) as s3:
            await s3.put_object(Bucket=self._config.bucket, Key=key, Body=data)

    async def remove(self, key: str) -> None:
        async with ceph.client(self._config) as s3:
            await s3.delete_object(Bucket=self._config.bucket, Key=key)


class FtpFiles(Objects):
    def __init__(self, config: FtpConfig) -> None:
        self._config = config

    async def write(self, key: str, data: bytes) -> None:
        ftp = await self._log_in()
        await ftp.make_folder(key[:2])
        await ftp.delete(f"{key[:2]}/{key}")
        await ftp.store(f"{key[:2]}/{key}", each([data]))
        ftp.disconnect()

    async def remove(self, key: str) -> None:
        ftp = await self._log_in()
        assert await ftp.delete(f"{key[:2]}/{key}")
        ftp.disconnect()

    async def _log_in(self) -> FtpConnection:
        features = FtpFeatures(self._config.passive)
        return await FtpConnection(self._config, self._config.tls_context(), features).open(make_base=False)


def objects_of(settings: Settings, folder: Path) -> Objects:
    """Those of a server with these settings, in this folder."""
    match settings["STORAGE"]:
        case "fs":
            return Files(folder / "data" / "blobs")
        case "database":
            return Chunks(settings, folder)
        case "s3":
            keys = settings["S3_ACCESS_KEY"], settings["S3_SECRET_KEY"]
            return Bucket(S3Config(settings["S3_BUCKET"], "us-east-1", *keys, settings["S3_ENDPOINT"], path_style=True))
        case _:
            host, user, password = (settings[f"FTP_{name}"] for name in ("HOST", "USER", "PASSWORD"))
            port, base = int(settings["FTP_PORT"]), settings["FTP_BASE_DIR"]
            return FtpFiles(FtpConfig(host, user, password, port, base, ca_file=Path(settings["FTP_CA_FILE"])))


def database_of(settings: Settings, folder: Path, opening: Opening = Opening.MIGRATE) -> Database:
    url = settings.get("DATABASE_URL", "")
    if url.startswith("postgresql"):
        return PostgresqlDatabase(PostgresqlConfig(url, opening=opening))
    if url.startswith("mariadb"):
        return MariadbDatabase(MariadbConfig(url, opening=opening))
    return SqliteDatabase(SqliteConfig(folder / "data" / "drivebay.db", opening=opening))


def keys_of_blobs(settings: Settings, folder: Path) -> dict[str, str]:
    """The object keys of all blobs, by their ids."""

    def select(connection: Connection) -> dict[str, str]:
        return {row.id: row.object_key for row in connection.execute(sa.select(BLOBS.c.id, BLOBS.c.object_key))}

    async def read() -> dict[str, str]:
        database = database_of(settings, folder)
        async with database as _:
            return await database.read(select)

    return asyncio.run(read())
