"""Look whether a storage lists a key."""

from application.ports.blob_store import BlobStore
from domain.blob import ObjectKey


async def is_listed(store: BlobStore, key: ObjectKey) -> bool:
    """Look at one entry of the list only: the first one after the key before this one."""
    number = int(key.value, 16)
    async for found in store.keys(ObjectKey(f"{number - 1:032x}") if number else None):
        return found == key
    return False
