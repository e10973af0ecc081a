"""Reading the settings: once at start, from the environment over files over defaults.

The files are the one that `DRIVEBAY_ENV_FILE` names, over `.env`. Nothing in them is expanded.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from dotenv.parser import parse_stream

from adapters.settings import declared, host
from adapters.storage.backends import BACKENDS
from entrypoints.config import names as setting_names
from entrypoints.config import values
from entrypoints.config.database_urls import DatabaseUrl
from entrypoints.config.names import Source
from entrypoints.config.settings import DATABASE_PARTS, KNOWN, SECRETS, Settings, SettingsError

T = TypeVar("T")

OF_S3_API = ("S3_API_DOMAIN", "S3_API_BUCKETS", "S3_API_PUBLIC", "S3_API_ACLS", "S3_API_SIGNATURE_V2")


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
    """Return the settings as `load` does, with their sources and hints."""
    sources = _sources(environment, dotenv)
    reading = _Reading(sources)
    settings = reading.settings()
    origins = {
        name: f"{found[0]} in {sources[found[1]].place}" if found else "" for name, found in reading.origins.items()
    }
    return Loaded(settings, origins, reading.hints())


def files_of(environment: Mapping[str, str], dotenv: Path = Path(".env")) -> Iterator[Path]:
    """Yield the files that settings are read from, and secrets among them. Raises SettingsError."""
    yield dotenv
    if named := environment.get("DRIVEBAY_ENV_FILE"):
        yield Path(named)
    for source in _sources(environment, dotenv):
        yield from (Path(path) for name in sorted(SECRETS) if (path := source.values.get(f"{name}_FILE")))


def _sources(environment: Mapping[str, str], dotenv: Path) -> list[Source]:
    """Return where values are looked for, in order. Raises SettingsError."""
    sources = [Source("the environment", environment, is_ours=False)]
    if named := environment.get("DRIVEBAY_ENV_FILE"):
        sources.append(read_file(Path(named)))
    if _is_there(dotenv):
        sources.append(read_file(dotenv))
    return sources


def _is_there(path: Path) -> bool:
    """Whether there is such a file. In a folder that this user may not look into, there is none for it.

    Raises SettingsError if it is there, and can't be looked at: without its settings, a server would be another one.
    """
    try:
        try:
            path.lstat()
        except PermissionError:  # of lstat, it is the folder that is denied
            return False
        path.stat()
    except (FileNotFoundError, NotADirectoryError):  # or a link to nothing
        return False
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}. Mend it, or remove it.") from None
    return True


def read_file(path: Path) -> Source:
    """Read a file of `NAME=value`. Nothing in a value is expanded: a `$` is a `$`. Raises SettingsError."""
    try:
        with path.open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read: {error}. Mend it, or remove it.") from None
    for binding in bindings:
        if binding.error:  # the line is not shown: it may have a secret in it
            raise SettingsError(f"{path}, line {binding.original.line}: this is no NAME=value. Is a quote missing?")
    return Source(str(path), {binding.key: binding.value for binding in bindings if binding.key}, is_ours=True)


class _Reading:
    """One pass over the sources, which collects all errors."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._errors: list[str] = []
        self._notes: list[str] = []
        self._skipped: set[tuple[str, str]] = set()
        self.origins: dict[str, tuple[str, int] | None] = {}
        """By the usual name of each setting: the name that was used, and the number of its source."""

    def settings(self) -> Settings:
        for backend in BACKENDS.values():
            self._skip_addresses_of_services(backend.config)
        found = self._read(Settings)
        data_dir = found.get("data_dir", Settings().data_dir)
        url = self._database_url() or f"sqlite:///{data_dir / 'drivebay.db'}"
        settings = Settings(**found, database_url=url, backends=dict(self._backends(data_dir)))
        self._check(settings)
        if self._errors:
            raise SettingsError("\n".join([*self._errors, *self.hints()]))
        self._note_unused(settings)
        return settings

    def hints(self) -> tuple[str, ...]:
        """Return a line for each name that is close to a setting without being one, or value without effect."""
        return tuple(sorted([*self._notes, *setting_names.hints(KNOWN, self._sources)]))

    def _read(self, config: type) -> dict[str, Any]:
        """Return the fields of a config class that are set."""
        found = {name: self._find(each.parse, *each.names) for name, each in declared(config).items()}
        return {name: value[0] for name, value in found.items() if value}

    def _backends(self, data_dir: Path) -> Iterator[tuple[str, Any]]:
        for name, backend in BACKENDS.items():
            found = self._read(backend.config)
            yield name, backend.complete(backend.config(**found), found.keys(), data_dir)

    def _check(self, settings: Settings) -> None:
        """Check settings that depend on each other."""
        if settings.storage == "memory":
            self._check_memory(settings)
        backend, config = BACKENDS[settings.storage], settings.backends[settings.storage]
        required = {each.names[0]: getattr(config, name) for name, each in declared(config).items() if each.required}
        if missing := [name for name, value in required.items() if not value]:
            self._errors.append(f"{', '.join(missing)}: not given, and needed with STORAGE={settings.storage}.")
        largest = backend.max_object_bytes
        if largest is not None and settings.max_blob_bytes > largest:
            self._errors.append(
                f"MAX_BLOB_BYTES: {settings.storage.upper()} takes objects of up to {largest // 1024**4} TiB."
                f" Set it to {largest} or less."
            )
        if settings.move_to and (settings.move_to not in settings.storages or settings.storage == "memory"):
            needed = BACKENDS[settings.move_to].settings
            self._errors.append(
                f"MOVE_TO: the storage {settings.move_to} is not configured. Set {needed}, or no MOVE_TO."
            )
        for name, each in BACKENDS.items():
            self._errors.extend(each.errors(settings.backends[name]))
        if (settings.tls_certificate is None) != (settings.tls_key is None):
            self._errors.append("TLS_CERTIFICATE and TLS_KEY: only one is given. Give both, or none.")

    def _note_unused(self, settings: Settings) -> None:
        """Add a note for each setting that differs from its default, but has no effect without another one."""
        unused: dict[str, str] = {}
        if settings.s3_api == "off":
            unused |= dict.fromkeys(OF_S3_API, "with S3_API=off")
        if not settings.audit_log:
            unused["AUDIT_IDS"] = "without AUDIT_LOG"
        if settings.small_blobs != "database":
            unused["SMALL_BLOB_BYTES"] = "without SMALL_BLOBS=database"
        values, defaults = settings.by_name(), Settings().by_name()
        for name, why in unused.items():
            if (origin := self.origins[name]) and values[name] != defaults[name]:
                self._notes.append(f"{name} in {self._sources[origin[1]].place} has no effect {why}.")

    def _find(self, parse: Callable[[str], T], *names: str) -> tuple[T, int] | None:
        """Return the value of the first source that has one, and the number of that source. An empty value is none."""
        self.origins.setdefault(names[0], None)
        for position, source in enumerate(self._sources):
            found: dict[str, T] = {}
            for name in names:
                if (name, source.place) not in self._skipped and (text := source.values.get(name)):
                    self._parse(parse, name, text, found)
                if name in SECRETS and (path := source.values.get(f"{name}_FILE")):
                    self._parse(lambda path: parse(values.read_secret(path)), f"{name}_FILE", path, found)
            if len(set(found.values())) > 1:
                self._errors.append(f"{' and '.join(found)}: they are one setting, and differ. Give only one of them.")
            if found:
                self.origins[names[0]] = next(iter(found)), position
                return next(iter(found.values())), position
        return None

    def _parse(self, parse: Callable[[str], T], name: str, text: str, found: dict[str, T]) -> None:
        try:
            if "\0" in text:
                raise ValueError("it has a character NUL in it.")
            found[name] = parse(text)
        except ValueError as error:
            self._errors.append(f"{name}: {error}")

    def _database_url(self) -> str | None:
        url = self._find_database_url()
        self._notes.extend(url.ignored if url else ())
        return url.text if url else None

    def _find_database_url(self) -> DatabaseUrl | None:
        whole = self._find(values.database_url, "DATABASE_URL")
        parsers = {"DB_HOST": host}
        self._skip_addresses_of_service("DB_PORT", DATABASE_PARTS[:-1])
        parts = {name: found for name in DATABASE_PARTS if (found := self._find(parsers.get(name, str), name))}
        first_source = min((source for _, source in parts.values()), default=len(self._sources))
        if whole and whole[1] < first_source:
            return whole[0]
        if not parts:
            return None
        built = self._build_database_url({name: value for name, (value, _) in parts.items()})
        if whole and built and whole[1] == first_source and whole[0].text != built.text:
            self._errors.append("DATABASE_URL and DB_HOST: they are one setting, and differ. Give only one of them.")
        return built

    def _build_database_url(self, parts: Mapping[str, str]) -> DatabaseUrl | None:
        missing = [name for name in ("DB_USER", "DB_HOST", "DB_NAME") if name not in parts]
        if missing:
            self._errors.append(
                f"{', '.join(missing)}: not given, but {', '.join(parts)}. Give them all, or DATABASE_URL."
            )
            return None
        user = ":".join(quote(parts[name], safe="") for name in ("DB_USER", "DB_PASSWORD") if name in parts)
        name = parts["DB_HOST"]
        host = f"{f'[{name}]' if ':' in name else name}:{parts.get('DB_PORT', '5432')}"
        try:
            return values.database_url(f"postgresql://{user}@{host}/{quote(parts['DB_NAME'], safe='')}")
        except ValueError as error:
            self._errors.append(f"DB_HOST, DB_PORT: {error}")
            return None

    def _skip_addresses_of_services(self, config: type) -> None:
        settings = declared(config).values()
        required = [name for each in settings if each.required for name in each.names]
        for name in [name for each in settings for name in each.names if name.endswith("_PORT")]:
            self._skip_addresses_of_service(name, required)

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
                self._errors.append(
                    f"{port}: {source.values[port]!r} is what Kubernetes sets for a Service named {service}."
                    f" Set {port} to a number in the pod, or enableServiceLinks to false."
                )

    def _is_set(self, names: Sequence[str]) -> bool:
        """Whether any source sets one of these."""
        all_names = [*names, *(f"{name}_FILE" for name in names if name in SECRETS)]
        return any(source.values.get(name) for source in self._sources for name in all_names)

    def _check_memory(self, settings: Settings) -> None:
        if self._find(str, "DATABASE_URL") or self._find(str, "DB_HOST"):
            self._errors.append("DATABASE_URL: STORAGE=memory keeps the metadata in memory too. Give only one of them.")
        if settings.small_blobs == "database":
            self._errors.append("SMALL_BLOBS: STORAGE=memory has no database. Give only one of them.")
        if settings.read_only:
            self._errors.append("READ_ONLY: STORAGE=memory has nothing to read after a start. Give only one of them.")
        if settings.workers > 1:
            self._errors.append("WORKERS: with STORAGE=memory each worker has blobs of its own. Set it to 1.")
