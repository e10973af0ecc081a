"""What is left over of blobs and uploads, wherever it may be."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Set
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.storage.layers.base import BlobStoreLayer
from adapters.storage.s3.store import S3BlobStore
from application.ports.blob_store import BlobStore
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from tests.contracts.blob_store import keys
from tests.markers import wait_until_all_are_there, with_claims

SHORT_LEASES = [sys.executable, "-m", "tests.faults.short_leases", "serve"]
PATIENCE = 30  # seconds


def in_folder(folder: Path) -> dict[str, str]:
    """Settings for SQLite and files, with whole paths."""
    return {
        "DATA_DIR": str(folder / "data"),
        "DATABASE_URL": f"sqlite:///{folder}/data/rows.db",
        "FS_BASE_PATH": f"{folder}/data/blobs",
    }


@asynccontextmanager
async def looking(given: Mapping[str, str]) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
    """Return a function that counts the rows, objects and open uploads of a server with these settings."""
    container = Container(settings=load({"AUTH_BEARER_TOKEN": "of-nobody", **given}))
    async with lifecycle.opened(container):
        metadata, stores = container.metadata(), container.stores()

        async def left() -> list[str]:
            rows = [f"the blob {blob.id.value}" for blob in await metadata.blobs.between("", None, 100)]
            rows += [str(backlog) for backlog in await metadata.backlog()]
            known = await metadata.known_storage(stores.active)
            markers = with_claims(map(str, known.keys)) if known else set()
            return rows + await _in(stores.by_name[stores.active], markers)

        yield left


async def wait_until_marked(given: Mapping[str, str]) -> None:
    """Wait until a server that runs has marked all storages."""
    container = Container(settings=load({"AUTH_BEARER_TOKEN": "of-nobody", **given}))
    async with lifecycle.entered(container):
        await wait_until_all_are_there(container)


async def wait_until_nothing_is_left(given: Mapping[str, str]) -> None:
    """Wait for the reaper of a server that runs."""
    async with looking(given) as left:
        await wait_until(left, lambda found: not found)


async def wait_until(left: Callable[[], Awaitable[list[str]]], reached: Callable[[list[str]], bool]) -> None:
    """Wait for what happens in a server, and can only be asked for."""
    deadline = time.monotonic() + PATIENCE
    while not reached(found := await left()):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


async def _in(store: BlobStore, markers: Set[str]) -> list[str]:
    while isinstance(store, BlobStoreLayer):
        store = store.store
    found = [f"the object {key}" for key in await keys(store) if str(key) not in markers]
    if isinstance(store, S3BlobStore):
        uploads = await store._client.list_multipart_uploads(Bucket=store._bucket)
        found += [f"the open upload {upload['Key']}" for upload in uploads.get("Uploads", [])]
    return found
