"""What many large streams at once take of memory, each direction in a fresh process."""

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import uvloop

from application.ports.blob_store import BlobStore
from domain.blob import ObjectKey
from tests.benchmarks.figures import Figures
from tests.benchmarks.storages import Storage

MIB = 1024 * 1024
STREAMS = 32
CHUNK = 64 * 1024
ALLOWED = 200  # MiB


def measure(storage: Storage, figures: Figures) -> None:
    """Print by how much the resident set grows at most."""
    keys = [ObjectKey.random() for _ in range(STREAMS)]
    for verb, peak in (("put", _peak_of_puts), ("get", _peak_of_gets)):
        taken = _in_a_fresh_process(peak, storage, keys)
        figures.mebibytes(f"{storage.name}, {verb} of {STREAMS} x {storage.stream} MiB at once", taken / MIB, ALLOWED)


def _in_a_fresh_process(
    peak: Callable[[Storage, list[ObjectKey]], int], storage: Storage, keys: list[ObjectKey]
) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(peak, storage, keys).result()


def _peak_of_puts(storage: Storage, keys: list[ObjectKey]) -> int:
    async def put_all(store: BlobStore) -> None:
        await asyncio.gather(*(store.put(key, _generated(storage.stream * MIB)) for key in keys))

    return uvloop.run(_peak(storage, put_all))


def _peak_of_gets(storage: Storage, keys: list[ObjectKey]) -> int:
    async def get_all(store: BlobStore) -> None:
        sizes = await asyncio.gather(*(_read(store, key) for key in keys))
        assert sizes == [storage.stream * MIB] * len(keys)
        await asyncio.gather(*(store.delete(key) for key in keys))

    return uvloop.run(_peak(storage, get_all))


async def _peak(storage: Storage, work: Callable[[BlobStore], Awaitable[None]]) -> int:
    """By how many bytes the resident set is larger at its largest than it was when idle."""
    async with storage.store() as store:
        await store.check()
        key = ObjectKey.random()
        await store.put(key, _generated(MIB))
        await _read(store, key)
        await store.delete(key)
        gc.collect()
        forget_the_peak()
        idle = resident("VmRSS")
        await work(store)
        return resident("VmHWM") - idle


def forget_the_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def resident(what: str) -> int:
    [kilobytes] = re.findall(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


async def _read(store: BlobStore, key: ObjectKey) -> int:
    size = 0
    async with store.read(key) as chunks:
        async for chunk in chunks:
            size += len(chunk)
    return size


async def _generated(size: int) -> AsyncIterator[bytes]:
    for number in range(size // CHUNK):
        await asyncio.sleep(0)  # others have their turn, as between the packets of a client
        yield number.to_bytes(8, "big") * (CHUNK // 8)
