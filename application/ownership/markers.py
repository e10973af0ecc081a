"""Markers: small objects by which a database recognises a storage.

The identity identifies the storage: an unmounted disk, another bucket or another folder does not have it. The epoch
identifies the database that deletes there: see ownership.py.
"""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from application.ports.blob_store import BlobStore
from domain.blob import ObjectKey
from domain.errors import NotFound, Unavailable

# These keep their bytes with the rows, so the two are never separated.
WITHOUT_MARKERS = frozenset({"database", "memory"})
IDENTITY, EPOCH, CLAIM = "storage identity", "storage epoch", "storage claim"
LARGEST = 400  # bytes
SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(minutes=5)  # a server that starts waits for several of them before it deletes


class UnknownStorage(Unavailable):
    """The storage is not the one that the database knows. It must not be used, and nothing follows from its state."""

    def __init__(self, backend: str, reason: str = "its marker is missing") -> None:
        detail = (
            f"The storage {backend} is not the one that this database knows: {reason}. Is the disk mounted, and is this"
            " the right folder or bucket? If it was restored, copied or moved on purpose, run"
            f" drivebay adopt --storage {backend}."
        )
        super().__init__(detail, backend=backend)


def interval_for(reap_interval: float) -> timedelta:
    """Return the interval between epochs of a database that reaps every `reap_interval` seconds."""
    return timedelta(seconds=min(max(reap_interval, SHORTEST.total_seconds()), LONGEST.total_seconds()))


async def write_marker(store: BlobStore, key: ObjectKey, kind: str, at: datetime, **more: str) -> None:
    """Write a marker whose content explains it to people."""
    await store.put(key, _once(encoded(kind, key, at, **more)))


def encoded(kind: str, key: ObjectKey, at: datetime, **more: str) -> bytes:
    """Return the content of a marker."""
    content: dict[str, Any] = {"product": "drivebay", "kind": kind, "key": key.value, "written_at": at.isoformat()}
    return json.dumps(content | more).encode() + b"\n"


def claim_key(epoch: ObjectKey, turn: int) -> ObjectKey:
    """Return the key of the claim to succeed an epoch, at the given attempt.

    The same for all databases that name the epoch, and as good as random for others.
    """
    return ObjectKey(sha256(f"{epoch} {turn}".encode()).hexdigest()[:32])


async def is_identity(store: BlobStore, key: ObjectKey) -> bool:
    """Return whether an object is the identity of some database. No blob can be: its key is unknown to its sender."""
    try:
        if (await store.stat(key)).size > LARGEST:
            return False
        content: Any = json.loads(await read_marker(store, key))
    except NotFound:
        return False
    except (ValueError, RecursionError):
        return False
    expected = {"product": "drivebay", "kind": IDENTITY, "key": key.value}
    return isinstance(content, dict) and expected.items() <= content.items()


async def read_marker(store: BlobStore, key: ObjectKey) -> bytes:
    """Return the content of a marker. Raises NOT_FOUND."""
    async with store.read(key) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
