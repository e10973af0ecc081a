"""The configured storages, by their names in the rows."""

from collections.abc import Mapping
from dataclasses import dataclass

from application.ports.blob_store import BlobStore
from domain.blob import Location
from domain.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Stores:
    """All configured storages, and the name of the `active` one, which receives new blobs."""

    active: str
    by_name: Mapping[str, BlobStore]

    def holding(self, location: Location) -> BlobStore:
        """Return the storage that holds `location`. Raises UNAVAILABLE if it is no longer configured."""
        try:
            return self.by_name[location.backend]
        except KeyError:
            detail = f"The bytes are on the backend {location.backend!r}, which is not configured. Configure it again."
            raise Unavailable(detail, backend=location.backend, subject=location.key) from None


async def any_storage(_: str) -> None:
    """Recognise every storage: no markers are known."""
