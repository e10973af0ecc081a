"""The contract of layers, in addition to that of `BlobStore`."""

from collections.abc import AsyncIterable, Callable
from contextlib import suppress

import pytest

from adapters.storage.memory import MemoryBlobStore
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ObjectKey
from domain.errors import BlobError, Kind, error_class
from tests.contracts.blob_store import each

MakeLayer = Callable[[BlobStore], BlobStore]
CHUNKS = (b"first", b"second", b"third")


class FailingPuts(MemoryBlobStore):
    """A store whose puts fail after a number of chunks. Records their keys."""

    def __init__(self, kind: Kind, chunks: int) -> None:
        super().__init__()
        self.put_keys: list[ObjectKey] = []
        self._kind = kind
        self._chunks = chunks

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        self.put_keys.append(key)
        source = aiter(chunks)
        for _ in range(self._chunks):
            await anext(source, None)  # layers may gather chunks
        raise error_class(self._kind)("not now")


class LayerContract:
    """The promises of all layers. A subclass has a fixture `around`, which puts one layer or more around a store."""

    @pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.ALREADY_EXISTS])
    @pytest.mark.parametrize("chunks", range(len(CHUNKS) + 1))
    async def test_no_two_puts_share_a_key(self, around: MakeLayer, kind: Kind, chunks: int) -> None:
        """Requests of a failed put can arrive after its repetition, and would delete the new object."""
        failing = FailingPuts(kind, chunks)
        store = around(failing)
        given = [ObjectKey.random() for _ in range(2)]
        for key in given:
            with suppress(BlobError):
                await store.put(key, each(CHUNKS))
        assert failing.put_keys == given
