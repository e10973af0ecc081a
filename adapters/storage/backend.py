"""The descriptor of a kind of storage."""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Generic, TypeVar

from adapters.sql.database import Database
from application.ports.blob_store import BlobStore
from application.ports.features import FeatureReport
from application.ports.observer import Observer

Config = TypeVar("Config")


class Reach(Enum):
    """How a storage is reached: on this machine, over a network, or like the database of the rows."""

    LOCAL = "local"
    NETWORK = "network"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Resources:
    """Parts of a server that an adapter may use, and its limits for all storages. Times are in seconds.

    `database` returns the database of the rows. `report` takes features that the server of the storage lacks.
    """

    database: Callable[[], Database]
    observer: Observer
    report: FeatureReport
    streams: int
    timeout: float
    attempts: int
    max_blob_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend(Generic[Config]):
    """A kind of storage.

    `config`: the class whose fields are its settings. `complete` returns a config with the defaults that depend on
    other values: it gets the config, the names of the fields that were set, and DATA_DIR. `errors`: a line for each
    contradiction in a config.
    `make`: the storage, not yet entered. `location`: where its blobs are, after "blobs are".
    `is_used`: whether it may hold blobs although it is not the storage for new ones. `folder`: where the objects are,
    if that is on this machine.
    `max_object_bytes`: the largest object, if there is a limit. `client_retries`: the adapter's client itself makes
    further attempts. `streams`: how many objects may be written and read at once, at most the number passed.
    `connections`: how many there may be in a worker, for a number of streams.
    Texts for errors: `settings` may all be wrong; `address`, `login` and `place` are the settings to check for such an
    error, and those in `settings` if empty; `rights`: what the server or the disk must allow.
    """

    aliases: tuple[str, ...] = ()
    config: type[Config]
    complete: Callable[[Config, Set[str], Path], Config] = lambda config, *_: config
    errors: Callable[[Config], Iterable[str]] = lambda _: ()
    make: Callable[[Config, Resources], BlobStore]
    location: Callable[[Config], str]
    is_used: Callable[[Config], bool]
    folder: Callable[[Config], Path | None] = lambda _: None
    reach: Reach
    max_object_bytes: int | None = None
    client_retries: bool = False
    streams: Callable[[Config, int], int] = lambda _, streams: streams
    connections: Callable[[Config, int], int] = lambda *_: 0
    settings: str
    address: str = ""
    login: str = ""
    place: str = ""
    rights: str = ""
