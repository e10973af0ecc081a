"""Layers that are broken on purpose, each with the case that catches it."""

from collections.abc import AsyncIterable

from adapters.storage.layers.base import BlobStoreLayer
from application.ports.blob_store import Stored
from domain.blob import ObjectKey
from domain.errors import BlobError
from tests.contracts.blob_store import each
from tests.contracts.layer import LayerContract
from tests.contracts.proof import caught_by


@caught_by(LayerContract.test_no_two_puts_share_a_key)
class RepeatsPuts(BlobStoreLayer):
    """Repeats a failed put with the same bytes and key."""

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        kept = [chunk async for chunk in chunks]
        try:
            return await super().put(key, each(kept))
        except BlobError:
            return await super().put(key, each(kept))
