"""The layers around a remote storage, from the inside out: timeout, retry, observer, concurrency."""

from dataclasses import dataclass

from adapters.storage.layers.concurrency import ConcurrencyLayer
from adapters.storage.layers.observe import ObserveLayer
from adapters.storage.layers.timeout import TimeoutLayer
from adapters.storage.layers.upload_streams import UploadStreams
from application.ports.blob_store import BlobStore
from application.ports.observer import UNOBSERVED, Observer


@dataclass(frozen=True, slots=True)
class LayerSettings:
    """`timeout`: seconds to wait for the storage at any one time. `attempts`: the maximum number of attempts after
    temporary errors, except for puts. `streams`: the maximum number of objects written and read concurrently.
    `senders`: the maximum number of large objects received concurrently, each of which takes memory.
    """

    timeout: float = 60
    attempts: int = 3
    streams: int = 100
    senders: int = 100


def with_layers(
    store: BlobStore, settings: LayerSettings, backend: str, observer: Observer = UNOBSERVED
) -> "ConcurrencyLayer":
    """Return `store` with all layers that have an effect."""
    timed = TimeoutLayer(store, settings.timeout)
    observed = ObserveLayer(_with_retry(timed, settings.attempts, backend, observer), backend, observer)
    streams = UploadStreams(settings.streams, settings.timeout, backend, observer)
    return ConcurrencyLayer(observed, streams, settings.senders, settings.timeout, backend)


def _with_retry(store: BlobStore, attempts: int, backend: str, observer: Observer) -> BlobStore:
    if attempts == 1:
        return store
    # Imported only where it is used: a start without it is quicker.
    from adapters.storage.layers.retry import RetryLayer

    return RetryLayer(store, attempts, backend, observer)
