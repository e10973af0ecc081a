"""Answers with a blob, on a real file."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from application.blobs.fetch import Choose, FetchBlob
from application.blobs.store import StoreBlob
from application.stores import Stores
from application.uploads.lifecycle import Uploads
from domain.access import EVERYTHING
from domain.blob import BlobId, ObjectKey
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.streaming import BlobResponse, Fetched, Representation
from entrypoints.http.rest.json_form.response import JSON
from entrypoints.http.rest.raw_form import RAW
from tests.contracts.blob_store import each, pattern
from tests.contracts.test_blob_stores import open_files
from tests.integration.drive import new_blob

SIZE = 6_000_000
FORMS = pytest.mark.parametrize("form", [JSON, RAW], ids=["json", "raw"])
Fetch = Callable[[Choose], Fetched]


class ConnectionLost(Exception):
    """What a server may raise when there is nobody to send to."""


class Client:
    """The other end: what it is sent, and what becomes of it after so many messages."""

    def __init__(self, after: int, then: Callable[["Client"], Awaitable[None]]) -> None:
        self.sent: list[Any] = []
        self.gone = asyncio.Event()
        self._after = after
        self._then = then

    async def send(self, message: Any) -> None:
        if len(self.sent) == self._after:
            await self._then(self)
        self.sent.append(message)

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}


@pytest.fixture
async def fetch(tmp_path: Path) -> AsyncIterator[Fetch]:
    metadata = MemoryMetadata()
    async with FilesystemBlobStore(FilesystemConfig(tmp_path / "blobs")) as files:
        await files.check()
        stores = Stores("fs", {"fs": files})
        blob_id = BlobId("k5")
        store = StoreBlob(Uploads(metadata, stores), ObjectKey.random, 10**9)
        await store(EVERYTHING, new_blob(blob_id, each([pattern(SIZE)])))
        yield partial(FetchBlob(metadata.blobs, metadata.contents, stores, metadata), EVERYTHING, blob_id)
        assert [path for path in open_files() if path.startswith(str(tmp_path))] == [], "a file is still open"


async def answer(form: Representation, fetch: Fetch, client: Client, timeout: float = 60) -> None:
    scope: Any = {"headers": []}
    await BlobResponse(fetch, form, Pace(timeout))(scope, client.receive, client.send)


@FORMS
async def test_a_response_that_is_not_sent_opens_no_file(fetch: Fetch, form: Representation) -> None:
    BlobResponse(fetch, form, Pace())


@FORMS
@pytest.mark.parametrize("messages", [0, 1, 2])
async def test_a_send_that_fails_closes_the_file(fetch: Fetch, form: Representation, messages: int) -> None:
    async def fail(_: Client) -> None:
        raise ConnectionLost

    with pytest.raises(ConnectionLost):
        await answer(form, fetch, Client(messages, fail))


@FORMS
async def test_nothing_more_is_read_for_a_client_that_has_left(fetch: Fetch, form: Representation) -> None:
    async def leave(client: Client) -> None:
        client.gone.set()

    client = Client(2, leave)
    await answer(form, fetch, client)
    assert len(client.sent) <= 6
    assert sum(len(message.get("body", b"")) for message in client.sent) < SIZE


@FORMS
async def test_a_client_that_stops_reading_is_let_go(fetch: Fetch, form: Representation) -> None:
    async def stop(_: Client) -> None:
        await asyncio.Event().wait()

    client = Client(2, stop)
    await answer(form, fetch, client, timeout=0.05)
    assert len(client.sent) == 2


@FORMS
async def test_the_more_clients_there_are_the_less_is_sent_at_once(fetch: Fetch, form: Representation) -> None:
    all_wait = asyncio.Barrier(32 + 1)

    async def wait(_: Client) -> None:
        await all_wait.wait()
        await asyncio.Event().wait()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        clients = [Client(7, wait) for _ in range(32)]
        answers = [tasks.create_task(answer(form, fetch, client)) for client in clients]
        await all_wait.wait()
        for each_answer in answers:
            each_answer.cancel()
    assert sum(len(message.get("body", b"")) for client in clients for message in client.sent) < 32 * 1024**2
    alone = Client(100, wait)
    await answer(form, fetch, alone)
    assert max(len(message.get("body", b"")) for message in alone.sent) >= 600 * 1024
    assert sum(len(message.get("body", b"")) for message in alone.sent) >= SIZE
