"""A fetch of 1 KiB through the use case, SQLite and files, against the least that such a fetch could be.

That is one trip to a thread, with a read by the standard library's sqlite3 and one of the file.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from statistics import median

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from application.blobs.fetch import FetchBlob
from application.blobs.store import StoreBlob
from application.stores import Stores
from application.uploads.lifecycle import Uploads
from domain.access import EVERYTHING
from domain.blob import BlobId, ObjectKey
from tests.benchmarks.figures import Figures
from tests.integration.drive import new_blob

SIZE = 1024
ROUNDS = 31
FETCHES = 300  # in a round
ALLOWED = 2.5


async def measure(folder: Path, figures: Figures) -> None:
    """Print the medians and their ratio."""
    async with (
        SqlMetadata(SqliteDatabase(SqliteConfig(folder / "rows.db"))) as metadata,
        FilesystemBlobStore(FilesystemConfig(folder / "blobs")) as files,
    ):
        await files.check()
        stores = Stores("fs", {"fs": files})
        store = StoreBlob(Uploads(metadata, stores), ObjectKey.random, SIZE)
        fetch = FetchBlob(metadata.blobs, metadata.contents, stores, metadata)
        blobs = [(await store(EVERYTHING, new_blob(BlobId(f"blob {number}"), _bytes()))).blob for number in range(100)]
        paths = {blob.id.value: files.path(blob.location.key) for blob in blobs}
        ids = [blob.id for blob in blobs]
        rows = sqlite3.connect(folder / "rows.db", check_same_thread=False)

        async def drivebay(blob_id: BlobId) -> bytes:
            async with fetch(EVERYTHING, blob_id) as opened:
                return b"".join([chunk async for chunk in opened])

        def read(blob_id: str) -> bytes:
            rows.execute("SELECT * FROM blobs WHERE id = ?", (blob_id,)).fetchone()
            with open(paths[blob_id], "rb") as file:
                return file.read()

        async def least(blob_id: BlobId) -> bytes:
            return await asyncio.to_thread(read, blob_id.value)

        assert await drivebay(ids[0]) == await least(ids[0])
        ours, theirs = [], []
        for _ in range(ROUNDS):  # by turns, so that a noisy moment is shared
            theirs.append(await _time(least, ids))
            ours.append(await _time(drivebay, ids))
        rows.close()
    what = f"fetch of 1 KiB in-process: {median(ours):.0f} us, the least {median(theirs):.0f} us, ratio"
    figures.at_most(what, median(ours) / median(theirs), ALLOWED)


async def _time(fetch: Callable[[BlobId], Awaitable[bytes]], ids: list[BlobId]) -> float:
    """Microseconds a fetch."""
    started = time.perf_counter()
    for number in range(FETCHES):
        await fetch(ids[number % len(ids)])
    return (time.perf_counter() - started) / FETCHES * 1e6


async def _bytes() -> AsyncIterator[bytes]:
    yield bytes(SIZE)
