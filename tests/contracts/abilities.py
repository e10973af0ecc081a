"""Abilities of the stores beyond their contract. They are observed in each test run, not declared.

Nothing in Drivebay may need an ability that one of its stores has not. The table is here so that none is lost or gained
unseen.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

from application.ports.blob_store import BlobStore, Stored
from domain.blob import ObjectKey
from domain.errors import BlobError
from tests.contracts.blob_store import MIB, PART, BlobStoreContract, chunked, pattern, read


class Ability(Enum):
    """An ability, described by its value."""

    EXCLUSIVE_CREATE = "of two puts at once under one key, one wins"
    LARGE_EXCLUSIVE_CREATE = "so it does where objects are so large that they go in parts"
    READS_OUTLIVE_DELETES = "a reading that has begun gets all bytes of an object that is deleted meanwhile"
    KNOWS_TIMES = "a `stat` returns when an object was written"
    LOCAL_FILES = "an object is a file of this machine, at `path(key)`"


BOTH_CREATES = {Ability.EXCLUSIVE_CREATE, Ability.LARGE_EXCLUSIVE_CREATE}

# A row for each backend. To add one: let its suite subclass BackendContract, name the row there, and run it.
ABILITIES: dict[str, set[Ability]] = {
    "memory": {*BOTH_CREATES, Ability.READS_OUTLIVE_DELETES, Ability.KNOWS_TIMES},
    "filesystem": {*BOTH_CREATES, Ability.READS_OUTLIVE_DELETES, Ability.KNOWS_TIMES, Ability.LOCAL_FILES},
    "database on SQLite": {*BOTH_CREATES, Ability.KNOWS_TIMES},
    "database on PostgreSQL": {*BOTH_CREATES, Ability.KNOWS_TIMES},
    "database on MariaDB": {*BOTH_CREATES, Ability.KNOWS_TIMES},
    # It heeds If-None-Match when an object is put, and not when an upload in parts is completed.
    "S3 (Ceph 18)": {Ability.EXCLUSIVE_CREATE, Ability.READS_OUTLIVE_DELETES, Ability.KNOWS_TIMES},
    "FTP (vsftpd)": {Ability.READS_OUTLIVE_DELETES, Ability.KNOWS_TIMES},
    "FTP (ProFTPD)": {Ability.READS_OUTLIVE_DELETES, Ability.KNOWS_TIMES},
    "FTP (with oddities)": {Ability.READS_OUTLIVE_DELETES},
}


class BackendContract(BlobStoreContract):
    """The contract, for a backend of Drivebay: it also has a row in `ABILITIES`."""

    row: str

    async def test_it_can_what_its_row_says(self, store: BlobStore) -> None:
        observed = {ability for ability, observe in OBSERVED.items() if await observe(store)}
        names = sorted(ability.name for ability in observed)
        assert observed == ABILITIES.get(self.row), f"{self.row!r} has the abilities {names}: make that its row"


async def exclusive_create(store: BlobStore) -> bool:
    return await one_always_wins(store, (1, 100_000) * 5)


async def large_exclusive_create(store: BlobStore) -> bool:
    return await one_always_wins(store, (PART + 1,) * 8)


async def one_always_wins(store: BlobStore, sizes: Iterable[int]) -> bool:
    # Where nothing but a look guards the key, the slower of two may happen to look when the other has begun.
    for size in sizes:
        if not await one_wins(store, size):
            return False
    return True


async def one_wins(store: BlobStore, size: int) -> bool:
    """Whether exactly one of two concurrent puts succeeds, and its object remains."""
    both = asyncio.Barrier(2)

    async def source(data: bytes) -> AsyncIterator[bytes]:
        async for chunk in chunked(data):
            yield chunk
        with suppress(asyncio.BrokenBarrierError):
            await both.wait()

    async def put(data: bytes) -> Stored:
        try:
            return await store.put(key, source(data))
        finally:
            await both.abort()  # who was refused early keeps nobody waiting

    key = ObjectKey.random()
    contents = [pattern(size), pattern(size)[::-1] + b"x"]
    ended = await asyncio.gather(*(put(data) for data in contents), return_exceptions=True)
    won = [data for data, outcome in zip(contents, ended, strict=True) if isinstance(outcome, Stored)]
    whole = False
    with suppress(BlobError):
        whole = [await read(store, key)] == won
    await store.delete(key)
    return whole


async def reads_outlive_deletes(store: BlobStore) -> bool:
    data, key = pattern(8 * MIB), ObjectKey.random()
    await store.put(key, chunked(data))
    found = b""
    with suppress(BlobError):
        async with store.read(key) as chunks:
            found = await anext(chunks)
            await store.delete(key)
            async for chunk in chunks:
                found += chunk
    await store.delete(key)
    return found == data


async def reports_times(store: BlobStore) -> bool:
    key = ObjectKey.random()
    await store.put(key, chunked(b"x"))
    found = await store.stat(key)
    await store.delete(key)
    return found.modified_at is not None


async def local_files(store: BlobStore) -> bool:
    path: Callable[[ObjectKey], str] | None = getattr(store, "path", None)
    if path is None:
        return False
    data, key = pattern(1000), ObjectKey.random()
    await store.put(key, chunked(data))
    found = await asyncio.to_thread(Path(path(key)).read_bytes)
    await store.delete(key)
    return found == data


OBSERVED: dict[Ability, Callable[[BlobStore], Coroutine[Any, Any, bool]]] = {
    Ability.EXCLUSIVE_CREATE: exclusive_create,
    Ability.LARGE_EXCLUSIVE_CREATE: large_exclusive_create,
    Ability.READS_OUTLIVE_DELETES: reads_outlive_deletes,
    Ability.KNOWS_TIMES: reports_times,
    Ability.LOCAL_FILES: local_files,
}


def as_table() -> str:
    """Return the table in Markdown for the README of the contracts."""
    head = ["", *(ability.name.replace("_", " ").lower() for ability in Ability)]
    rows = [[name, *("yes" if ability in can else "no" for ability in Ability)] for name, can in ABILITIES.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
