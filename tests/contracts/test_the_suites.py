"""The suites are proven: each adapter that is broken on purpose is caught, by the case that is meant to catch it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.filesystem.config import FilesystemConfig
from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.storage.layers.base import BlobStoreLayer
from adapters.storage.memory import MemoryBlobStore
from application.ports.blob_store import BlobStore
from tests.contracts import broken_layers, broken_metadata, broken_stores, test_blob_stores, test_layers, test_metadata
from tests.contracts.blob_store import BlobStoreContract
from tests.contracts.buckets import BucketsContract
from tests.contracts.keys import KeysContract
from tests.contracts.layer import LayerContract, MakeLayer
from tests.contracts.leftovers import no_task_left
from tests.contracts.metadata import MetadataContract
from tests.contracts.proof import CAUGHT, Case, arguments_of, broken, cases, cases_of
from tests.contracts.quotas import QuotasContract
from tests.contracts.shares import SharesContract


@asynccontextmanager
async def opened(make: type[BlobStore], folder: Path) -> AsyncIterator[BlobStore]:
    """A new store: in memory, or in a folder of its own."""
    if not issubclass(make, FilesystemBlobStore):
        yield make()
        return
    async with make(FilesystemConfig(folder / uuid4().hex, threads=2)) as store:
        await store.check()
        yield store


async def run_on_store(make: type[BlobStore], case: Case, folder: Path) -> None:
    """Run a case as pytest would: with each of its parameters, on a new store, and what is left is looked at."""
    on_disk = issubclass(make, FilesystemBlobStore)
    suite = test_blob_stores.TestFilesystem() if on_disk else test_blob_stores.TestMemory()
    for arguments in arguments_of(case):
        async with opened(make, folder) as store, suite.leaving_nothing(store):
            await case(suite, store, **arguments)


async def run_on_layer(make: MakeLayer, case: Case) -> None:
    for arguments in arguments_of(case):
        async with no_task_left():
            await case(test_layers.TestEach(), make, **arguments)


async def run_on_metadata(make: type[MemoryMetadata], case: Case) -> None:
    for arguments in arguments_of(case):
        async with no_task_left():
            await case(test_metadata.TestMemory(), make(), **arguments)


class TestStores:
    @pytest.mark.parametrize(("make", "case"), broken(broken_stores))
    async def test_a_broken_one_is_caught(self, make: type[BlobStore], case: Case, tmp_path: Path) -> None:
        with pytest.raises(CAUGHT):
            await run_on_store(make, case, tmp_path)

    @pytest.mark.parametrize("make", [MemoryBlobStore, FilesystemBlobStore])
    @pytest.mark.parametrize("case", cases(broken_stores))
    async def test_an_intact_one_passes(self, make: type[BlobStore], case: Case, tmp_path: Path) -> None:
        await run_on_store(make, case, tmp_path)

    def test_each_case_catches_one(self) -> None:
        assert cases_of(BlobStoreContract) == {case.id for case in cases(broken_stores)}


class TestLayers:
    @pytest.mark.parametrize(("make", "case"), broken(broken_layers))
    async def test_a_broken_one_is_caught(self, make: MakeLayer, case: Case) -> None:
        with pytest.raises(CAUGHT):
            await run_on_layer(make, case)

    @pytest.mark.parametrize("case", cases(broken_layers))
    async def test_an_intact_one_passes(self, case: Case) -> None:
        await run_on_layer(BlobStoreLayer, case)

    def test_each_case_catches_one(self) -> None:
        assert cases_of(LayerContract) == {case.id for case in cases(broken_layers)}


class TestMetadata:
    @pytest.mark.parametrize(("make", "case"), broken(broken_metadata))
    async def test_a_broken_one_is_caught(self, make: type[MemoryMetadata], case: Case) -> None:
        with pytest.raises(CAUGHT):
            await run_on_metadata(make, case)

    @pytest.mark.parametrize("case", cases(broken_metadata))
    async def test_an_intact_one_passes(self, case: Case) -> None:
        await run_on_metadata(MemoryMetadata, case)

    def test_each_case_catches_one(self) -> None:
        assert cases_of(MetadataContract) == {case.id for case in cases(broken_metadata)}


async def test_a_fault_of_the_proof_is_not_taken_for_a_catch(tmp_path: Path) -> None:
    class CannotBeUsed(MemoryBlobStore):
        stat = None  # type: ignore[assignment]  # a TypeError, as the proof itself might raise one

    with pytest.raises(TypeError):
        await run_on_store(CannotBeUsed, BlobStoreContract.test_what_was_put_is_read, tmp_path)


def test_the_readme_names_cases_that_are_there() -> None:
    _, _, after = Path(__file__).with_name("README.md").read_text().partition("## When a case fails")
    table, _, _ = after.partition("## What")
    shortened = re.findall(r"`([a-z_.]+)`", "".join(re.findall(r"^\|[^|]*\|", table, re.MULTILINE)))
    assert len(shortened) > 15
    known = cases_of(BlobStoreContract) | cases_of(LayerContract) | cases_of(MetadataContract)
    known |= cases_of(KeysContract) | cases_of(QuotasContract) | cases_of(SharesContract) | cases_of(BucketsContract)
    for name in shortened:
        assert any(name.strip(".") in case for case in known), name
