"""Bodies in chunks of two bytes: they take the memory of their bytes, not of as many objects."""

import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.storage.chunking import rechunk
from adapters.storage.filesystem.files import FileWriter
from adapters.storage.filesystem.folders import Folders
from adapters.storage.memory import MemoryBlobStore
from application.uploads.intake import Intake
from application.uploads.replay import ReplayableBody
from domain.blob import ObjectKey
from entrypoints.http.protocol.fields.headers import fields
from entrypoints.http.rest.json_form.request import SHORT, new_blob
from entrypoints.http.rest.json_form.scanner import Scanner

BODY = b'{"id":"small chunks","data":"' + b"QUJD" * (SHORT // 8) + b'"}'


async def chunks() -> AsyncIterator[bytes]:
    view = memoryview(BODY)
    for start in range(0, len(BODY), 2):
        yield bytes(view[start : start + 2])


async def a_short_json_body(_: Path) -> object:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    scope: Any = {"type": "http", "http_version": "1.1", "headers": headers}
    return await new_blob(scope, fields(scope), chunks(), len(BODY))


async def a_long_json_body(_: Path) -> object:
    scanner = Scanner()
    async for chunk in chunks():
        scanner.feed(chunk)
    return scanner.end()


async def a_file(folder: Path) -> object:
    path = folder / ObjectKey.random().value
    writer = FileWriter(str(path), Folders(str(folder), lambda: None))
    async for chunk in chunks():
        writer.gather(chunk)
    writer.finish()
    assert path.read_bytes() == BODY
    return writer


async def pieces_of_one_size(_: Path) -> object:
    [piece] = [piece async for piece in rechunk(chunks(), len(BODY))]
    assert piece == BODY
    return piece


async def a_digest(_: Path) -> object:
    intake = Intake(chunks(), len(BODY))
    async for _chunk in intake:
        pass
    return intake


async def a_blob_in_memory(_: Path) -> object:
    store = MemoryBlobStore()
    await store.put(ObjectKey.random(), chunks())
    return store


async def a_body_for_another_attempt(_: Path) -> object:
    body = ReplayableBody(chunks(), len(BODY))
    async for _chunk in body.replay():
        pass
    assert b"".join([chunk async for chunk in body.replay()]) == BODY
    return body


async def a_small_blob(_: Path) -> object:
    body = ReplayableBody(chunks(), 0)
    assert await body.fits(len(BODY))
    assert b"".join([chunk async for chunk in body.replay()]) == BODY
    return body


COLLECTORS = [
    *(a_short_json_body, a_long_json_body, a_file, pieces_of_one_size, a_digest, a_blob_in_memory),
    *(a_body_for_another_attempt, a_small_blob),
]


@pytest.mark.parametrize("collect", COLLECTORS, ids=lambda collect: collect.__name__)
async def test_memory_is_bounded_by_bytes(collect: Callable[[Path], Awaitable[object]], tmp_path: Path) -> None:
    await collect(tmp_path)  # once untraced, because some things are made on first use
    gc.collect()
    tracemalloc.start()
    try:
        await collect(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(BODY)
    finally:
        tracemalloc.stop()
