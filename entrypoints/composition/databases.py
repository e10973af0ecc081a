"""The database of the rows, as the settings name it.

Drivers are imported only where they are used: a start without them is quicker.
"""

from collections.abc import Callable

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.database import Database
from adapters.sql.observed import ObservedDatabase
from application.ports.metadata import DATABASE, BlobAndBytesReader
from application.ports.observer import Observer
from application.ports.schema import Opening
from entrypoints.config import database_urls
from entrypoints.config.settings import Settings

SERVERS = {"postgresql": "PostgreSQL", "mariadb": "MariaDB"}


def make_database(settings: Settings, opening: Opening, observer: Observer) -> Database:
    """Return the database of these settings, not yet entered. With STORAGE=memory there is none."""
    url, connections = settings.database_url, settings.database_connections
    match settings.database:
        case "postgresql":
            from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase

            return PostgresqlDatabase(PostgresqlConfig(url, connections, opening=opening), observer)
        case "mariadb":
            from adapters.sql.servers.mariadb import MariadbConfig, MariadbDatabase

            return MariadbDatabase(MariadbConfig(url, connections, opening=opening), observer)
        case _:
            from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase

            return SqliteDatabase(SqliteConfig(settings.sqlite_path, opening=opening), observer)


def make_metadata(
    settings: Settings, database: Callable[[], Database], observer: Observer
) -> MemoryMetadata | SqlMetadata:
    """Return the rows: in memory, or in the database."""
    if settings.database == "memory":
        return MemoryMetadata()
    return SqlMetadata(ObservedDatabase(database(), settings.database, observer), read_only=settings.read_only)


def reader_of_bytes(settings: Settings, metadata: MemoryMetadata | SqlMetadata) -> BlobAndBytesReader | None:
    """Return the reader of rows with their bytes, if new blobs may be on DATABASE."""
    if DATABASE in (settings.storage, settings.small_blobs) and isinstance(metadata, SqlMetadata):
        return metadata.find_with_bytes
    return None


def location(settings: Settings) -> str:
    """Return where the rows are, for people."""
    match settings.database:
        case "memory":
            return "in memory"
        case "sqlite":
            return f"SQLite, {settings.sqlite_path.absolute()}"
        case kind:
            return f"{SERVERS[kind]} at {database_urls.place(settings.database_url)}"
