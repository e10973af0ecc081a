"""How patient to be with a storage, as stores around a store: each keeps the contract, and adds one promise.

They are put together from the inside out: a deadline for each try, more tries, and a bound on all of it.
"""

from dataclasses import dataclass

from adapters.storage.policies.bounded import BoundedBlobStore
from adapters.storage.policies.retrying import RetryingBlobStore
from adapters.storage.policies.timed import TimedBlobStore
from application.ports.blob_store import BlobStore


@dataclass(frozen=True, slots=True)
class Policies:
    """`timeout`: how many seconds to wait for the storage at any one time. `attempts`: how often to try what failed for
    reasons that may pass. `streams`: how many objects may be written and read at once.
    """

    timeout: float = 60
    attempts: int = 3
    streams: int = 100


def with_policies(store: BlobStore, policies: Policies, backend: str) -> "BoundedBlobStore":
    """`store` with all of them."""
    patient = RetryingBlobStore(TimedBlobStore(store, policies.timeout, backend), policies.attempts)
    return BoundedBlobStore(patient, policies.streams, policies.timeout, backend)
