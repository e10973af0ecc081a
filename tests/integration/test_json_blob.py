"""The JSON form's answer, on a real file."""

from pathlib import Path
from typing import Any

import pytest

from adapters.metadata.memory import MemoryMetadata
from adapters.storage.filesystem import FilesystemBlobStore, FilesystemConfig
from application.fetch_blob import FetchBlob
from application.store_blob import NewBlob, StoreBlob
from application.stores import Stores
from domain.blob import BlobId, ObjectKey
from entrypoints.http.json_form import JsonBlob
from tests.contracts.blob_store import each, pattern
from tests.contracts.test_blob_stores import open_files


class ConnectionLost(Exception):
    """What a server may raise when there is nobody to send to."""


@pytest.mark.parametrize("messages", [0, 1, 2])
async def test_a_send_that_fails_closes_the_file(tmp_path: Path, messages: int) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        if len(sent) == messages:
            raise ConnectionLost
        sent.append(message)

    metadata = MemoryMetadata()
    async with FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs")) as files:
        await files.check()
        stores = Stores("fs", {"fs": files})
        blob_id = BlobId("k5")
        await StoreBlob(metadata, stores, ObjectKey.random, 10**9)(NewBlob(blob_id, each([pattern(6_000_000)])))
        answer = JsonBlob(await FetchBlob(metadata.blobs, stores)(blob_id))
        assert [path for path in open_files() if path.startswith(str(tmp_path))] != []
        with pytest.raises(ConnectionLost):
            await answer({}, None, send)  # type: ignore[arg-type]  # it uses neither
        assert [path for path in open_files() if path.startswith(str(tmp_path))] == []
