"""The settings.

A setting has one usual name, and may have aliases, from the two services that Drivebay grew out of.
A wrong setting stops the start, with its name, what is wrong with it, and what is allowed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Meta

from adapters.settings import COUNT, PORT, SECONDS, boolean, declared, host, http_url, number, path, setting
from adapters.storage.backends import BACKENDS
from entrypoints.config import values
from entrypoints.config.origins import cors_origins

T = TypeVar("T")

NATURAL = number(int, Meta(ge=0))
SMALL = number(int, Meta(ge=1, le=256 * 1024))  # such a blob is held in memory
PATIENCE = number(float, Meta(gt=0, le=24 * 3600))  # leases are longer, and may not last for ever
WHILE = number(float, Meta(ge=0, le=24 * 3600))
GRACE = number(int, Meta(ge=0, le=366 * 24 * 3600))
LIFETIME = number(int, Meta(ge=0, le=100 * 366 * 24 * 3600))
UPLOAD_LIFETIME = number(int, Meta(ge=60, le=366 * 24 * 3600))
DATABASE_PARTS = ("DB_USER", "DB_PASSWORD", "DB_HOST", "DB_NAME", "DB_PORT")


class SettingsError(Exception):
    """The settings can't be used. The message has a line for each that is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of an operator. Sizes are in bytes, times in seconds. `tokens` are SHA-256 digests.

    `backends` has the config of each kind of storage, by its name, whether it is used or not.
    """

    tokens: tuple[bytes, ...] = setting("AUTH_BEARER_TOKEN", "SECRET_KEY", default=(), parse=values.tokens, secret=True)
    master_key: bytes = setting("MASTER_KEY", default=b"", parse=values.master_key, secret=True)
    storage: str = setting("STORAGE", "ACTIVE_STORAGE", default="fs", parse=values.storage)
    data_dir: Path = setting("DATA_DIR", default=Path("data"), parse=path)
    database_url: str = field(default="sqlite:///data/drivebay.db", repr=False)  # DATABASE_URL, or its parts
    read_only: bool = setting("READ_ONLY", default=False, parse=boolean)
    database_connections: int = setting("DATABASE_CONNECTIONS", default=10, parse=COUNT)
    backends: Mapping[str, Any] = field(
        default_factory=lambda: {name: backend.config() for name, backend in BACKENDS.items()}
    )
    storage_timeout: float = setting("STORAGE_TIMEOUT", default=60, parse=PATIENCE)
    storage_attempts: int = setting("STORAGE_ATTEMPTS", default=3, parse=COUNT)
    storage_streams: int = setting("STORAGE_STREAMS", default=100, parse=COUNT)
    small_blobs: str = setting("SMALL_BLOBS", default="storage", parse=values.small_blobs)
    small_blob_bytes: int = setting("SMALL_BLOB_BYTES", default=16 * 1024, parse=SMALL)
    max_blob_bytes: int = setting("MAX_BLOB_BYTES", default=5 * 1024**3, parse=COUNT)
    client_timeout: float = setting("CLIENT_TIMEOUT", default=30, parse=PATIENCE)
    client_min_rate: int = setting("CLIENT_MIN_RATE", default=1000, parse=NATURAL)
    min_free_bytes: int = setting("MIN_FREE_BYTES", default=256 * 1024**2, parse=NATURAL)
    max_requests: int = setting("MAX_REQUESTS", default=1000, parse=COUNT)
    max_connections: int = setting("MAX_CONNECTIONS", default=2000, parse=COUNT)
    drain_time: float = setting("DRAIN_TIME", default=0, parse=WHILE)
    stop_timeout: float = setting("STOP_TIMEOUT", default=30, parse=WHILE)
    host: str = setting("HOST", default="127.0.0.1", parse=host)
    port: int = setting("PORT", default=8000, parse=PORT)
    workers: int = setting("WORKERS", default=1, parse=values.workers)
    tls_certificate: Path | None = setting("TLS_CERTIFICATE", default=None, parse=path)
    tls_key: Path | None = setting("TLS_KEY", default=None, parse=path)
    reap_interval: float = setting("REAP_INTERVAL", default=30, parse=SECONDS)
    readers_grace: int = setting("READERS_GRACE", default=600, parse=GRACE)
    trash_retention: int | None = setting("TRASH_RETENTION", default=None, parse=GRACE)
    default_ttl: int = setting("DEFAULT_TTL", default=0, parse=LIFETIME)
    upload_ttl: int = setting("UPLOAD_TTL", default=24 * 3600, parse=UPLOAD_LIFETIME)
    digest_rate: int = setting("DIGEST_RATE", default=50 * 1024**2, parse=COUNT)
    move_to: str = setting("MOVE_TO", default="", parse=values.storage)
    move_rate: int = setting("MOVE_RATE", default=50 * 1024**2, parse=COUNT)
    s3_api: str = setting("S3_API", default="on", parse=values.s3_api)
    s3_api_domain: str = setting("S3_API_DOMAIN", default="", parse=values.domain)
    s3_api_buckets: tuple[tuple[str, str], ...] = setting("S3_API_BUCKETS", default=(), parse=values.buckets)
    s3_api_public: tuple[str, ...] = setting("S3_API_PUBLIC", default=(), parse=values.bucket_names)
    s3_api_acls: bool = setting("S3_API_ACLS", default=False, parse=boolean)
    s3_api_signature_v2: bool = setting("S3_API_SIGNATURE_V2", default=False, parse=boolean)
    audit_log: str = setting("AUDIT_LOG", default="", parse=values.audit_log)
    audit_ids: bool = setting("AUDIT_IDS", default=False, parse=boolean)
    metrics: bool = setting("METRICS", default=True, parse=boolean)
    docs: bool = setting("DOCS", default=True, parse=boolean)
    web_page: bool = setting("WEB_PAGE", default=True, parse=boolean)
    cors_origins: tuple[str, ...] = setting("CORS_ORIGINS", default=(), parse=cors_origins)
    otel_exporter_otlp_endpoint: str = setting("OTEL_EXPORTER_OTLP_ENDPOINT", default="", parse=http_url)

    @property
    def database(self) -> str:
        """The kind of database: `memory`, `sqlite`, `postgresql` or `mariadb`."""
        return "memory" if self.storage == "memory" else self.database_url.partition(":")[0]

    @property
    def sqlite_path(self) -> Path:
        return Path(self.database_url.removeprefix("sqlite:///"))

    @property
    def folders(self) -> dict[str, Path]:
        """The folders on this machine that hold what is stored: of the `blobs`, of the `rows`, or neither."""
        folders = {}
        for name in self.storages:
            if folder := BACKENDS[name].folder(self.backends[name]):
                folders["blobs"] = folder
        return folders | ({"rows": self.sqlite_path.parent} if self.database == "sqlite" else {})

    @property
    def storages(self) -> tuple[str, ...]:
        """The storages that can be read: the one for new blobs, and those that may hold older ones."""
        if self.storage == "memory":
            return ("memory",)
        return tuple(
            name for name, backend in BACKENDS.items() if name == self.storage or backend.is_used(self.backends[name])
        )

    def by_name(self) -> dict[str, Any]:
        """Return the value of each setting by its usual name."""
        found = {"DATABASE_URL": self.database_url}
        for group in (self, *self.backends.values()):
            found |= {each.names[0]: getattr(group, name) for name, each in declared(group).items()}
        return found


_DECLARED = [
    each
    for group in (Settings, *(backend.config for backend in BACKENDS.values()))
    for each in declared(group).values()
]
NAMES = {"DRIVEBAY_ENV_FILE", "DATABASE_URL", *DATABASE_PARTS, *(name for each in _DECLARED for name in each.names)}
SECRETS = {"DATABASE_URL", "DB_PASSWORD", *(name for each in _DECLARED if each.secret for name in each.names)}
"""The names of settings that may be in a file: NAME_FILE."""
KNOWN = NAMES | {f"{name}_FILE" for name in SECRETS}
