"""The storages that are configured, by the names that rows know them by."""

from collections.abc import Mapping
from dataclasses import dataclass

from application.ports.blob_store import BlobStore
from domain.blob import Location
from domain.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Stores:
    """Every configured storage, and the name of the `active` one, to which new blobs go."""

    active: str
    by_name: Mapping[str, BlobStore]

    def holding(self, location: Location) -> BlobStore:
        """The storage that holds `location`. Raises UNAVAILABLE if it is not configured any more."""
        try:
            return self.by_name[location.backend]
        except KeyError:
            detail = f"The bytes are on the backend {location.backend!r}, which is not configured. Configure it again."
            raise Unavailable(detail, backend=location.backend, subject=location.key) from None
