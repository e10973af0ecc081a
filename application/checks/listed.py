"""Check whether a storage lists a key."""

from application.ports.blob_store import BlobStore
from domain.blob import ObjectKey


async def is_listed(store: BlobStore, key: ObjectKey) -> bool:
    """Read one entry of the list: the first one after the predecessor of `key`."""
    number = int(key.value, 16)
    async for found in store.list(ObjectKey(f"{number - 1:032x}") if number else None):
        return found == key
    return False
