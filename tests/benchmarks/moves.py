"""The speed and memory of moves from storage to storage, and the speed of the bare clients of both sides."""

import asyncio
import gc
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import NamedTuple

import uvloop

from application.blobs.store import IdentifiedBytes, NewBlob
from application.maintenance.move_report import MoveOptions
from domain.access import EVERYTHING
from domain.blob import BlobId
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from tests.backends import ceph, ftp, postgresql
from tests.backends.run import Backends
from tests.benchmarks.bare_databases import bare_postgresql
from tests.benchmarks.bare_files import bare_files
from tests.benchmarks.bare_ftp import bare_ftp
from tests.benchmarks.bare_s3 import bare_s3
from tests.benchmarks.clients import Client, seconds
from tests.benchmarks.figures import Figures
from tests.benchmarks.memory import forget_the_peak, resident
from tests.benchmarks.results import Figure

MIB = 1024 * 1024
SIZE = 16 * MIB
COUNT = 16
AMOUNT = COUNT * SIZE / MIB
AT_ONCE = (1, 8)  # the latter is the default of drivebay move
ROUNDS = 3
WAY = ["fs", "s3", "ftp", "database", "fs"]
NAMES = {"fs": "files", "s3": "S3", "ftp": "FTP", "database": "PostgreSQL"}
GOAL = 0.7  # of the slower side's bare client
ALLOWED = 128  # MiB, half of what is moved


class Taken(NamedTuple):
    """What a move takes: seconds, and bytes of memory."""

    seconds: float
    memory: int


class Speed(NamedTuple):
    """The speed of a bare client, in MiB a second."""

    put: float
    get: float


def measure(folder: Path, backends: Backends, figures: Figures) -> None:
    """Print the ratio for each step of the way, and by how much the resident set grows at most."""
    for start in (postgresql.start, ceph.start, ftp.start_vsftpd):
        backends.start(start)
    server, vsftpd = backends.address(postgresql.start), backends.address(ftp.start_vsftpd)
    (folder / "data").mkdir()
    with postgresql.database(server) as url, ceph.bucket(backends.address(ceph.start)) as bucket:
        settings = {
            **ceph.settings(bucket),
            **ftp.settings(vsftpd),
            "FTP_BASE_DIR": secrets.token_hex(8),
            "DATABASE_URL": url,
            "DATA_DIR": str(folder / "data"),
            "READERS_GRACE": "0",
            "MASTER_KEY": "m" * 40,
        }
        bare = {
            "fs": bare_files(folder / "bare"),
            "s3": bare_s3(bucket),
            "ftp": bare_ftp(vsftpd, folder),
            "database": bare_postgresql(url),
        }

        async def measured() -> None:
            async with AsyncExitStack() as stack:
                clients = {name: await stack.enter_async_context(client) for name, client in bare.items()}
                await _fill(settings)
                for at_once in AT_ONCE:
                    await _measure(clients, settings, at_once, figures)

        uvloop.run(measured())


async def _measure(bare: Mapping[str, Client], settings: Mapping[str, str], at_once: int, figures: Figures) -> None:
    speeds = defaultdict[str, list[Speed]](list)
    moves = defaultdict[tuple[str, str], list[Taken]](list)
    for _ in range(ROUNDS):  # in turn: noise is shared then
        for name, client in bare.items():
            speeds[name].append(await _speed(client, at_once))
        for step in pairwise(WAY):
            moves[step].append(await asyncio.to_thread(_in_a_fresh_process, settings, *step, at_once))
    for (source, target), taken in moves.items():
        work = f"Move of 16 MiB, {NAMES[source]} to {NAMES[target]}, {at_once} at once"
        gets, puts = [speed.get for speed in speeds[source]], [speed.put for speed in speeds[target]]
        slower = (f"bare {NAMES[source]}, get", gets)
        if median(puts) < median(gets):
            slower = (f"bare {NAMES[target]}, put", puts)
        rates = [AMOUNT / each.seconds for each in taken]
        figures.record(Figure.of_rounds(work, "MiB/s", rates, *slower, GOAL))
        figures.mebibytes(f"{work}: memory", max(each.memory for each in taken) / MIB, ALLOWED)


async def _speed(client: Client, at_once: int) -> Speed:
    names = [f"bare-{number}" for number in range(COUNT)]
    put = await seconds(client.put(names, _data(0), at_once))
    get = await seconds(client.get(names, at_once))
    await client.delete(names)
    return Speed(AMOUNT / put, AMOUNT / get)


async def _fill(settings: Mapping[str, str]) -> None:
    container = _container(settings, "fs")
    async with lifecycle.opened(container):
        for number in range(COUNT):
            source = IdentifiedBytes(BlobId(f"blob-{number}"), _chunks(_data(number)))
            await container.store_blob()(EVERYTHING, NewBlob(source))


def _container(settings: Mapping[str, str], storage: str) -> Container:
    return Container(settings=load({**settings, "STORAGE": storage}, Path("/dev/null")))


def _in_a_fresh_process(settings: Mapping[str, str], source: str, target: str, at_once: int) -> Taken:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_moved, settings, source, target, at_once).result()


def _moved(settings: Mapping[str, str], source: str, target: str, at_once: int) -> Taken:
    return uvloop.run(_move(settings, source, target, at_once))


async def _move(settings: Mapping[str, str], source: str, target: str, at_once: int) -> Taken:
    container = _container(settings, target)
    async with lifecycle.opened(container):
        move = container.move_objects()
        gc.collect()
        forget_the_peak()
        idle, began = resident("VmRSS"), time.perf_counter()
        report = await move(MoveOptions(frozenset({source}), target, at_once=at_once))
        taken = Taken(time.perf_counter() - began, resident("VmHWM") - idle)
        assert (report.objects, report.is_done) == (COUNT, True), report
        await container.reap()(source)
        return taken


def _data(number: int) -> bytes:
    return number.to_bytes(8, "big") * (SIZE // 8)


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data
