"""How patient Drivebay is with a storage on a server follows from the settings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from application.ports.blob_store import BlobStore, Stored
from domain.blob import ObjectKey
from domain.errors import BlobError, Kind
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from tests.contracts.blob_store import each, read, refused
from tests.contracts.ftp_script import SAY_NOTHING, ScriptedServer, scripted

KEY = ObjectKey.random()


@asynccontextmanager
async def storage_on(server: ScriptedServer, **settings: str) -> AsyncIterator[BlobStore]:
    ftp = {"STORAGE": "ftp", "FTP_HOST": "127.0.0.1", "FTP_PORT": str(server.port), "FTP_TLS": "false"}
    given = load(ftp | {"FTP_USER": "u", "FTP_PASSWORD": "p"} | settings, Path("/nonexistent/.env"))
    store = Container(settings=given).stores().by_name["ftp"]
    assert isinstance(store, AbstractAsyncContextManager)
    async with store:
        yield store


async def test_what_fails_is_tried_again_and_reported() -> None:
    async with scripted({"(greeting)": ["500 Not now", "500 Not now", "220 Hello"]}) as server:
        with capture_logs() as lines:
            async with storage_on(server) as store:
                await store.delete(KEY)
        assert [line["event"] for line in lines] == ["trying again"] * 2
        assert "The server says: 500 Not now" in lines[0]["fault"]


async def test_no_more_often_than_is_set() -> None:
    async with scripted({"(greeting)": ["500 Not now"]}) as server, storage_on(server, STORAGE_ATTEMPTS="1") as store:
        with refused(Kind.UNAVAILABLE):
            await store.stat(KEY)
        assert server.count("(greeting)") == 1


async def test_a_server_that_is_silent_is_waited_for_as_long_as_is_set() -> None:
    async with scripted({"PASS": [SAY_NOTHING]}) as server, storage_on(server, STORAGE_TIMEOUT="0.05") as store:
        with pytest.raises(BlobError, match=r"did not respond within 0\.05 seconds"):
            await store.stat(KEY)


@pytest.mark.parametrize("wait", ["0.1", "30"])
async def test_a_completed_file_is_confirmed_as_late_as_is_set(wait: str) -> None:
    settings = {"FTP_TIMEOUT": "0.3", "STORAGE_TIMEOUT": "0.3", "STORAGE_ATTEMPTS": "1", "FTP_COMPLETION_TIMEOUT": wait}
    async with scripted() as server, storage_on(server, **settings) as store:
        server.may_end = asyncio.Event()
        putting = asyncio.create_task(store.put(KEY, each([b"x"])))
        await server.ending.wait()
        await asyncio.wait({putting}, timeout=0.6)  # longer than the other deadlines
        server.may_end.set()
        if wait == "30":
            assert await putting == Stored(1)
        else:
            with refused(Kind.TIMEOUT):
                await putting


async def test_no_more_streams_than_are_set() -> None:
    files = {f"{KEY.value[:2]}/{KEY}": b"x"}
    few = {"STORAGE_STREAMS": "1", "STORAGE_TIMEOUT": "2"}
    async with scripted(files=files) as server, storage_on(server, **few) as store, store.read(KEY):
        with pytest.raises(BlobError, match="Too many objects"):
            await read(store, KEY)
