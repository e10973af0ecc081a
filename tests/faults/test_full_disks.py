"""Database servers whose disk is full: what was stored is read, and what is new is refused."""

import asyncio
import secrets
from collections.abc import Iterator

import pytest

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.storage.database import CHUNK, DatabaseBlobStore
from domain.blob import ObjectKey
from domain.errors import Kind
from domain.precondition import ANY
from tests.backends import mariadb, postgresql
from tests.backends.containers import Containers
from tests.backends.run import Backends
from tests.contracts.blob_store import MIB, chunked, each, pattern, read, refused
from tests.contracts.metadata import blob, draft_of, put
from tests.faults.databases import Mariadb, Postgresql

DISK = 4 * MIB  # bytes beside the catalogue that each database of PostgreSQL has
ROW = 3000  # bytes, all in the page


@pytest.fixture
def containers(backends: Backends) -> Iterator[Containers]:
    containers = backends.containers()
    try:
        yield containers
    finally:
        containers.stop()


async def fill(metadata: SqlMetadata) -> None:
    """Put more rows than there is room for, a few in each unit."""
    for _ in range(3 * DISK // ROW // 20):
        async with metadata() as work:
            for _ in range(20):
                version = blob(secrets.token_hex(), content_type=secrets.token_hex(ROW // 2))  # nothing to compress
                await work.blobs.put(draft_of(version), ANY)
            await work.commit()


@pytest.mark.docker
async def test_postgresql(containers: Containers) -> None:
    address = await asyncio.to_thread(postgresql.start, containers, disk=8 * MIB + DISK)
    async with SqlMetadata(database := Postgresql(f"{address}/small").database(f"{address}/small")) as metadata:
        store = DatabaseBlobStore(database)
        await put(metadata, version := blob("a"))
        await store.put(key := ObjectKey.random(), each([b"x"]))
        for _ in range(2):
            with refused(Kind.NO_SPACE):
                await store.put(ObjectKey.random(), chunked(pattern(3 * DISK), CHUNK))
            with refused(Kind.NO_SPACE):
                await fill(metadata)
            assert await read(store, key) == b"x"
            assert await metadata.blobs.get(version.id) == version


@pytest.mark.docker
async def test_mariadb(containers: Containers) -> None:
    """Only what it says: MariaDB 11.8 itself ends soon after its disk is full, with an assertion that fails."""
    address = await asyncio.to_thread(mariadb.start, containers, disk=DISK)
    async with SqlMetadata(Mariadb(f"{address}/small").database(f"{address}/small")) as metadata:
        with refused(Kind.NO_SPACE):
            await fill(metadata)
