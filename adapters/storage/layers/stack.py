"""How patient to be with a storage, as stores around a store: each keeps the contract, and adds one promise.

They are put together from the inside out: a deadline for each try, more tries, somebody who watches, and a bound on all
of it.
"""

from dataclasses import dataclass

from adapters.storage.layers.concurrency import ConcurrencyLayer
from adapters.storage.layers.observe import ObserveLayer
from adapters.storage.layers.timeout import TimeoutLayer
from adapters.storage.layers.upload_streams import UploadStreams
from application.ports.blob_store import BlobStore
from application.ports.observer import UNOBSERVED, Observer


@dataclass(frozen=True, slots=True)
class LayerSettings:
    """`timeout`: how many seconds to wait for the storage at any one time. `attempts`: how often to try what failed for
    reasons that may pass, puts excepted. `streams`: how many objects may be written and read at once. `senders`: how
    many large ones may be received at once, each of which takes memory.
    """

    timeout: float = 60
    attempts: int = 3
    streams: int = 100
    senders: int = 100


def with_layers(
    store: BlobStore, policies: LayerSettings, backend: str, observer: Observer = UNOBSERVED
) -> "ConcurrencyLayer":
    """`store` with all of them that have an effect."""
    timed = TimeoutLayer(store, policies.timeout)
    observed = ObserveLayer(_retrying(timed, policies.attempts, backend, observer), backend, observer)
    streams = UploadStreams(policies.streams, policies.timeout, backend, observer)
    return ConcurrencyLayer(observed, streams, policies.senders, policies.timeout, backend)


def _retrying(store: BlobStore, attempts: int, backend: str, observer: Observer) -> BlobStore:
    if attempts == 1:
        return store
    # Imported only where it is used: a start without it is quicker.
    from adapters.storage.layers.retry import RetryLayer

    return RetryLayer(store, attempts, backend, observer)
