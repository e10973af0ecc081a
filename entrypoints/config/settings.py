"""The settings: read once at start, from the environment over files over defaults.

The files are that which `DRIVEBAY_ENV_FILE` names, over `.env`. Both are read as they are.

Each has one name, and may have others that are as good: those of the two services that Drivebay grew out of. A wrong
setting stops the start, with its name, what is wrong with it, and what is allowed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from dotenv.parser import parse_stream
from msgspec import Meta

from entrypoints.config import names as setting_names
from entrypoints.config import values as values
from entrypoints.config.database_urls import DatabaseUrl
from entrypoints.config.names import Source
from entrypoints.config.origins import cors_origins

T = TypeVar("T")

NATURAL = values.number(int, Meta(ge=0))
COUNT = values.number(int, Meta(ge=1))
PORT = values.number(int, Meta(ge=1, le=65535))
SECONDS = values.number(float, Meta(gt=0))
PATIENCE = values.number(float, Meta(gt=0, le=24 * 3600))  # leases are longer, and may not last for ever
WHILE = values.number(float, Meta(ge=0, le=24 * 3600))
GRACE = values.number(int, Meta(ge=0, le=366 * 24 * 3600))
LARGEST_S3_OBJECT = 5 * 1024**4  # bytes
# These may be in a file: NAME_FILE.
SECRETS = {
    *("AUTH_BEARER_TOKEN", "SECRET_KEY", "DATABASE_URL", "DB_PASSWORD"),
    *("S3_ACCESS_KEY", "S3_ACCESS_KEY_ID", "S3_SECRET_KEY", "S3_SECRET_ACCESS_KEY", "FTP_PASSWORD"),
}


class SettingsError(Exception):
    """The settings can't be used. The message has a line for each that is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of an operator. Sizes are in bytes, times in seconds. `tokens` are SHA-256 digests."""

    tokens: tuple[bytes, ...] = field(default=(), repr=False)
    storage: str = "fs"
    data_dir: Path = Path("data")
    database_url: str = field(default="sqlite:///data/drivebay.db", repr=False)
    database_connections: int = 10
    fs_base_path: Path = Path("data/blobs")
    fs_is_used: bool = True
    s3_bucket: str = ""
    s3_region: str = "us-east-1"
    s3_access_key: str = field(default="", repr=False)
    s3_secret_key: str = field(default="", repr=False)
    s3_endpoint: str = ""
    s3_force_path_style: bool = False
    ftp_host: str = ""
    ftp_port: int = 21
    ftp_user: str = ""
    ftp_password: str = field(default="", repr=False)
    ftp_base_dir: str = ""
    ftp_tls: values.Tls = "explicit"
    ftp_verify: bool = True
    ftp_ca_file: Path | None = None
    ftp_passive: tuple[values.Passive, ...] = ("epsv", "pasv")
    ftp_connections: int = 32
    ftp_timeout: float = 12
    ftp_completion_timeout: float = 60
    storage_timeout: float = 60
    storage_attempts: int = 3
    storage_streams: int = 100
    max_blob_bytes: int = 5 * 1024**3
    client_timeout: float = 30
    client_min_rate: int = 1000
    min_free_bytes: int = 256 * 1024**2
    max_requests: int = 1000
    max_connections: int = 2000
    drain_time: float = 0
    stop_timeout: float = 30
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    reap_interval: float = 30
    readers_grace: int = 600
    metrics: bool = True
    docs: bool = True
    cors_origins: tuple[str, ...] = ()
    otel_exporter_otlp_endpoint: str = ""

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
        folders = {"blobs": self.fs_base_path} if "fs" in self.storages else {}
        return folders | ({"rows": self.sqlite_path.parent} if self.database == "sqlite" else {})

    @property
    def storages(self) -> tuple[str, ...]:
        """The storages that can be read: the one for new blobs, and those that may hold older ones."""
        if self.storage == "memory":
            return ("memory",)
        used = {"database": True, "fs": self.fs_is_used, "s3": bool(self.s3_bucket)}
        used["ftp"] = bool(self.ftp_host and self.ftp_user)
        return tuple(name for name, is_used in used.items() if is_used)


DEFAULT = Settings()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and, by the name of each, where its value is from: empty for the default.

    `hints` has a line for each name in the sources that is not a setting, but close to one, and for each value, or part
    of one, that has no effect.
    """

    settings: Settings
    origins: Mapping[str, str]
    hints: tuple[str, ...]


def load(environment: Mapping[str, str], dotenv: Path = Path(".env")) -> Settings:
    """Return the settings from `environment` over the file `dotenv`, if there is one. Raises SettingsError."""
    return load_all(environment, dotenv).settings


def load_all(environment: Mapping[str, str], dotenv: Path = Path(".env")) -> Loaded:
    """Do as `load`, and return what else there is to say about the sources."""
    sources = [Source("the environment", environment, is_ours=False)]
    if named := environment.get("DRIVEBAY_ENV_FILE"):
        sources.append(read_file(Path(named)))
    if dotenv.exists():
        sources.append(read_file(dotenv))
    reading = _Reading(sources)
    settings = reading.settings()
    origins = {
        name: f"{found[0]} in {sources[found[1]].place}" if found else "" for name, found in reading.origins.items()
    }
    return Loaded(settings, origins, reading.hints())


def read_file(path: Path) -> Source:
    """Read a file of `NAME=value`. Nothing in a value is expanded: a `$` is a `$`. Raises SettingsError."""
    try:
        with path.open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingsError(f"{path} can't be read: {fault}. Mend it, or remove it.") from None
    for binding in bindings:
        if binding.error:  # the line itself is not shown: it may have a secret in it
            raise SettingsError(f"{path}, line {binding.original.line}: this is no NAME=value. Is a quote missing?")
    return Source(str(path), {binding.key: binding.value for binding in bindings if binding.key}, is_ours=True)


class _Reading:
    """One pass over the sources, which gathers everything that is wrong before it gives up."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._faults: list[str] = []
        self._notes: list[str] = []
        self._skipped: set[tuple[str, str]] = set()
        self._known = {"DRIVEBAY_ENV_FILE"}
        self.origins: dict[str, tuple[str, int] | None] = {}
        """By the first name of each setting: the one that was given, and the number of its source."""

    def settings(self) -> Settings:
        self._skip_addresses_of_service("FTP_PORT", ("FTP_HOST", "FTP_USER", "FTP_PASSWORD"))
        storage = self._get(values.storage, DEFAULT.storage, "STORAGE", "ACTIVE_STORAGE")
        data_dir = self._get(values.path, DEFAULT.data_dir, "DATA_DIR")
        fs_base_path = self._find(values.path, "FS_BASE_PATH", "LOCAL_STORAGE_PATH")
        fs_default = data_dir / "blobs"
        ftp_tls = self._get(values.ftp_tls, DEFAULT.ftp_tls, "FTP_TLS")
        settings = Settings(
            tokens=self._get(values.tokens, DEFAULT.tokens, "AUTH_BEARER_TOKEN", "SECRET_KEY"),
            storage=storage,
            data_dir=data_dir,
            database_url=self._database_url() or f"sqlite:///{data_dir / 'drivebay.db'}",
            database_connections=self._get(COUNT, DEFAULT.database_connections, "DATABASE_CONNECTIONS"),
            fs_base_path=fs_base_path[0] if fs_base_path else fs_default,
            fs_is_used=storage == "fs" or fs_base_path is not None or fs_default.is_dir(),
            s3_bucket=self._get(str, DEFAULT.s3_bucket, "S3_BUCKET", "S3_BUCKET_NAME"),
            s3_region=self._get(str, DEFAULT.s3_region, "S3_REGION", "S3_REGION_NAME"),
            s3_access_key=self._get(str, DEFAULT.s3_access_key, "S3_ACCESS_KEY", "S3_ACCESS_KEY_ID"),
            s3_secret_key=self._get(str, DEFAULT.s3_secret_key, "S3_SECRET_KEY", "S3_SECRET_ACCESS_KEY"),
            s3_endpoint=self._get(values.s3_endpoint, DEFAULT.s3_endpoint, "S3_ENDPOINT"),
            s3_force_path_style=self._get(values.boolean, DEFAULT.s3_force_path_style, "S3_FORCE_PATH_STYLE"),
            ftp_host=self._get(values.host, DEFAULT.ftp_host, "FTP_HOST"),
            ftp_port=self._get(PORT, 990 if ftp_tls == "implicit" else DEFAULT.ftp_port, "FTP_PORT"),
            ftp_user=self._get(values.line, DEFAULT.ftp_user, "FTP_USER"),
            ftp_password=self._get(values.line, DEFAULT.ftp_password, "FTP_PASSWORD"),
            ftp_base_dir=self._get(values.line, DEFAULT.ftp_base_dir, "FTP_BASE_DIR"),
            ftp_tls=ftp_tls,
            ftp_verify=self._get(values.boolean, DEFAULT.ftp_verify, "FTP_VERIFY"),
            ftp_ca_file=self._get(values.path, DEFAULT.ftp_ca_file, "FTP_CA_FILE"),
            ftp_passive=self._get(values.ftp_passive, DEFAULT.ftp_passive, "FTP_PASSIVE"),
            ftp_connections=self._get(COUNT, DEFAULT.ftp_connections, "FTP_CONNECTIONS"),
            ftp_timeout=self._get(SECONDS, DEFAULT.ftp_timeout, "FTP_TIMEOUT"),
            ftp_completion_timeout=self._get(SECONDS, DEFAULT.ftp_completion_timeout, "FTP_COMPLETION_TIMEOUT"),
            storage_timeout=self._get(PATIENCE, DEFAULT.storage_timeout, "STORAGE_TIMEOUT"),
            storage_attempts=self._get(COUNT, DEFAULT.storage_attempts, "STORAGE_ATTEMPTS"),
            storage_streams=self._get(COUNT, DEFAULT.storage_streams, "STORAGE_STREAMS"),
            max_blob_bytes=self._get(COUNT, DEFAULT.max_blob_bytes, "MAX_BLOB_BYTES"),
            client_timeout=self._get(PATIENCE, DEFAULT.client_timeout, "CLIENT_TIMEOUT"),
            client_min_rate=self._get(NATURAL, DEFAULT.client_min_rate, "CLIENT_MIN_RATE"),
            min_free_bytes=self._get(NATURAL, DEFAULT.min_free_bytes, "MIN_FREE_BYTES"),
            max_requests=self._get(COUNT, DEFAULT.max_requests, "MAX_REQUESTS"),
            max_connections=self._get(COUNT, DEFAULT.max_connections, "MAX_CONNECTIONS"),
            drain_time=self._get(WHILE, DEFAULT.drain_time, "DRAIN_TIME"),
            stop_timeout=self._get(WHILE, DEFAULT.stop_timeout, "STOP_TIMEOUT"),
            host=self._get(values.host, DEFAULT.host, "HOST"),
            port=self._get(PORT, DEFAULT.port, "PORT"),
            workers=self._get(values.number(int, Meta(ge=1, le=256)), DEFAULT.workers, "WORKERS"),
            tls_certificate=self._get(values.path, DEFAULT.tls_certificate, "TLS_CERTIFICATE"),
            tls_key=self._get(values.path, DEFAULT.tls_key, "TLS_KEY"),
            reap_interval=self._get(SECONDS, DEFAULT.reap_interval, "REAP_INTERVAL"),
            readers_grace=self._get(GRACE, DEFAULT.readers_grace, "READERS_GRACE"),
            metrics=self._get(values.boolean, DEFAULT.metrics, "METRICS"),
            docs=self._get(values.boolean, DEFAULT.docs, "DOCS"),
            cors_origins=self._get(cors_origins, DEFAULT.cors_origins, "CORS_ORIGINS"),
            otel_exporter_otlp_endpoint=self._get(
                values.http_url, DEFAULT.otel_exporter_otlp_endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT"
            ),
        )
        self._check(settings)
        if self._faults:
            raise SettingsError("\n".join([*self._faults, *self.hints()]))
        return settings

    def hints(self) -> tuple[str, ...]:
        """Return a line for each name that is close to a setting without being one, or value without effect."""
        return tuple(sorted([*self._notes, *setting_names.hints(self._known, self._sources)]))

    def _check(self, settings: Settings) -> None:
        """Check settings that depend on each other."""
        if settings.storage == "memory":
            self._check_memory(settings)
        if settings.storage == "s3" and not settings.s3_bucket:
            self._faults.append("S3_BUCKET: not given. With STORAGE=s3, set it to the name of a bucket.")
        if settings.storage == "s3" and settings.max_blob_bytes > LARGEST_S3_OBJECT:
            self._faults.append(
                f"MAX_BLOB_BYTES: S3 takes objects of up to 5 TiB. Set it to {LARGEST_S3_OBJECT} or less."
            )
        if settings.storage == "ftp":
            self._check_ftp(settings)
        if bool(settings.s3_access_key) != bool(settings.s3_secret_key):
            self._faults.append("S3_ACCESS_KEY and S3_SECRET_KEY: only one is given. Give both, or none.")
        if (settings.tls_certificate is None) != (settings.tls_key is None):
            self._faults.append("TLS_CERTIFICATE and TLS_KEY: only one is given. Give both, or none.")

    def _get(self, parse: Callable[[str], T], default: T, *names: str) -> T:
        found = self._find(parse, *names)
        return default if found is None else found[0]

    def _find(self, parse: Callable[[str], T], *names: str) -> tuple[T, int] | None:
        """The value in the first source that has one, and that source's number. An empty value counts as none."""
        self.origins.setdefault(names[0], None)
        self._known.update(names, (f"{name}_FILE" for name in names if name in SECRETS))
        for number, source in enumerate(self._sources):
            found: dict[str, T] = {}
            for name in names:
                if (name, source.place) not in self._skipped and (text := source.values.get(name)):
                    self._parse(parse, name, text, found)
                if name in SECRETS and (path := source.values.get(f"{name}_FILE")):
                    self._parse(lambda path: parse(values.read_secret(path)), f"{name}_FILE", path, found)
            if len(set(found.values())) > 1:
                self._faults.append(f"{' and '.join(found)}: they are one setting, and differ. Give only one of them.")
            if found:
                self.origins[names[0]] = next(iter(found)), number
                return next(iter(found.values())), number
        return None

    def _parse(self, parse: Callable[[str], T], name: str, text: str, found: dict[str, T]) -> None:
        try:
            if "\0" in text:
                raise ValueError("it has a character NUL in it.")
            found[name] = parse(text)
        except ValueError as fault:
            self._faults.append(f"{name}: {fault}")

    def _database_url(self) -> str | None:
        url = self._find_database_url()
        self._notes.extend(url.ignored if url else ())
        return url.text if url else None

    def _find_database_url(self) -> DatabaseUrl | None:
        whole = self._find(values.database_url, "DATABASE_URL")
        names = ("DB_USER", "DB_PASSWORD", "DB_HOST", "DB_NAME", "DB_PORT")
        parsers = {"DB_HOST": values.host}
        self._skip_addresses_of_service("DB_PORT", names[:-1])
        parts = {name: found for name in names if (found := self._find(parsers.get(name, str), name))}
        first_source = min((source for _, source in parts.values()), default=len(self._sources))
        if whole and whole[1] < first_source:
            return whole[0]
        if not parts:
            return None
        built = self._build_database_url({name: value for name, (value, _) in parts.items()})
        if whole and built and whole[1] == first_source and whole[0].text != built.text:
            self._faults.append("DATABASE_URL and DB_HOST: they are one setting, and differ. Give only one of them.")
        return built

    def _build_database_url(self, parts: Mapping[str, str]) -> DatabaseUrl | None:
        missing = [name for name in ("DB_USER", "DB_HOST", "DB_NAME") if name not in parts]
        if missing:
            self._faults.append(
                f"{', '.join(missing)}: not given, but {', '.join(parts)}. Give them all, or DATABASE_URL."
            )
            return None
        user = ":".join(quote(parts[name], safe="") for name in ("DB_USER", "DB_PASSWORD") if name in parts)
        name = parts["DB_HOST"]
        host = f"{f'[{name}]' if ':' in name else name}:{parts.get('DB_PORT', '5432')}"
        try:
            return values.database_url(f"postgresql://{user}@{host}/{quote(parts['DB_NAME'], safe='')}")
        except ValueError as fault:
            self._faults.append(f"DB_HOST, DB_PORT: {fault}")
            return None

    def _skip_addresses_of_service(self, port: str, group: Sequence[str]) -> None:
        """Leave out a port that is the address of a Service. It is an error if the `group` is set, and no number."""
        addresses = [each for each in self._sources if setting_names.ADDRESS.match(each.values.get(port) or "")]
        numbers = [each for each in self._sources if each.values.get(port) and each not in addresses]
        service = port.removesuffix("_PORT").lower()
        for source in addresses:
            self._skipped.add((port, source.place))
            if numbers or not self._is_set(group):
                note = f"{port} in {source.place} has no effect: Kubernetes sets it for a Service named {service}."
                self._notes.append(note)
            else:
                self._faults.append(
                    f"{port}: {source.values[port]!r} is what Kubernetes sets for a Service named {service}."
                    f" Set {port} to a number in the pod, or enableServiceLinks to false."
                )

    def _is_set(self, names: Sequence[str]) -> bool:
        """Whether one of these is, in any source."""
        all_names = [*names, *(f"{name}_FILE" for name in names if name in SECRETS)]
        return any(source.values.get(name) for source in self._sources for name in all_names)

    def _check_ftp(self, settings: Settings) -> None:
        needed = {
            "FTP_HOST": settings.ftp_host,
            "FTP_USER": settings.ftp_user,
            "FTP_PASSWORD": settings.ftp_password,
        }
        if missing := [name for name, value in needed.items() if not value]:
            self._faults.append(f"{', '.join(missing)}: not given, and needed with STORAGE=ftp.")

    def _check_memory(self, settings: Settings) -> None:
        if self._find(str, "DATABASE_URL") or self._find(str, "DB_HOST"):
            self._faults.append("DATABASE_URL: STORAGE=memory keeps the metadata in memory too. Give only one of them.")
        if settings.workers > 1:
            self._faults.append("WORKERS: with STORAGE=memory each worker has blobs of its own. Set it to 1.")
