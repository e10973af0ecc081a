"""What imports and exports take of memory, each in a fresh process: of many files, and of a large one."""

import gc
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import uvloop

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.trees.folder import FolderTree
from application.blobs.fetch import FetchBlob
from application.blobs.list import ListBlobs
from application.blobs.store import StoreBlob
from application.stores import Stores
from application.transfers.export_blobs import ExportBlobs
from application.transfers.import_files import ImportFiles
from application.transfers.report import TransferOptions
from application.uploads.lifecycle import Uploads
from domain.blob import ObjectKey
from tests.benchmarks.figures import Figures
from tests.benchmarks.memory import forget_the_peak, resident

MIB = 1024 * 1024
COUNT = 200_000
LARGE = 1024 * MIB
ALLOWED_BY_MANY, ALLOWED_BY_LARGE = 20, 60  # MiB


def measure(folder: Path, figures: Figures) -> None:
    """Print by how much the resident set grows at most."""
    many, large = folder / "many", folder / "large"
    for number in range(COUNT):
        if number % 1000 == 0:
            (many / f"{number // 1000}").mkdir(parents=True)
        (many / f"{number // 1000}" / f"{number}").touch()
    large.mkdir()
    (large / "film").touch()
    os.truncate(large / "film", LARGE)
    grown = _in_a_fresh_process(many, True)
    figures.mebibytes(f"import of {COUNT:,} files, as a dry run", grown / MIB, ALLOWED_BY_MANY)
    grown = _in_a_fresh_process(large, False)
    figures.mebibytes("import and export of a file of 1 GiB", grown / MIB, ALLOWED_BY_LARGE)


def _in_a_fresh_process(folder: Path, dry_run: bool) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_peak, folder, dry_run).result()


def _peak(folder: Path, dry_run: bool) -> int:
    return uvloop.run(_transfer(folder, dry_run))


async def _transfer(folder: Path, dry_run: bool) -> int:
    """By how many bytes the resident set is larger at its largest than it was when idle."""
    metadata, options = MemoryMetadata(), TransferOptions(dry_run=dry_run)
    async with (
        FilesystemBlobStore(FilesystemConfig(folder.parent / "blobs")) as store,
        FolderTree(folder) as tree,
        FolderTree(folder.parent / "out") as out,
    ):
        await store.check()
        stores = Stores("fs", {"fs": store})
        fetch = FetchBlob(metadata.blobs, metadata.contents, stores, metadata)
        blobs = StoreBlob(Uploads(metadata, stores), ObjectKey.random, 2 * LARGE)
        gc.collect()
        forget_the_peak()
        idle = resident("VmRSS")
        report = await ImportFiles(metadata.blobs, blobs, fetch)(tree, options)
        assert (report.files, report.stopped, report.found) == (COUNT if dry_run else 1, "", {})
        if not dry_run:
            await out.check(create=True)
            assert (await ExportBlobs(ListBlobs(metadata.blobs), fetch)(out, options)).bytes == LARGE
        return resident("VmHWM") - idle
