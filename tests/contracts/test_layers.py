"""The layers under their contract: each alone, and all that the settings put around each storage."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.storage.layers.base import BlobStoreLayer
from adapters.storage.layers.concurrency import ConcurrencyLayer
from adapters.storage.layers.free_space import FreeSpace, FreeSpaceGuard
from adapters.storage.layers.observe import ObserveLayer
from adapters.storage.layers.retry import RetryLayer
from adapters.storage.layers.stack import LayerSettings, with_layers
from adapters.storage.layers.timeout import TimeoutLayer
from adapters.storage.layers.upload_streams import UploadStreams
from adapters.storage.memory import MemoryBlobStore
from application.ports.blob_store import BlobStore
from application.ports.observer import UNOBSERVED
from domain.errors import BlobError, Kind
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from tests.contracts.layer import LayerContract, MakeLayer
from tests.contracts.test_each_layer import KEY, Flaky, Patience, operations

LAYERS: dict[str, MakeLayer] = {
    "timed": lambda store: TimeoutLayer(store, 60),
    "retrying": lambda store: RetryLayer(store, 3, "memory"),
    "observed": lambda store: ObserveLayer(store, "memory", UNOBSERVED),
    "bounded": lambda store: ConcurrencyLayer(store, UploadStreams(2, 60, "memory"), 2, 60, "memory"),
    "with room": lambda store: FreeSpaceGuard(store, FreeSpace({}, 0), "memory"),
    "policies": lambda store: with_layers(store, LayerSettings(), "memory"),
}
STORAGES = {
    "fs": {"STORAGE": "fs"},
    "memory": {"STORAGE": "memory"},
    "database on SQLite": {"STORAGE": "database"},
    "database on PostgreSQL": {"STORAGE": "database", "DATABASE_URL": "postgresql://u:p@127.0.0.1/d"},
    "database on MariaDB": {"STORAGE": "database", "DATABASE_URL": "mariadb://u:p@127.0.0.1/d"},
    "s3": {"STORAGE": "s3", "S3_BUCKET": "b"},
    "ftp": {"STORAGE": "ftp", "FTP_HOST": "127.0.0.1", "FTP_USER": "u", "FTP_PASSWORD": "p"},
}

OPERATIONS = operations(MemoryBlobStore())


class TestEach(LayerContract):
    @pytest.fixture(params=LAYERS)
    def around(self, request: pytest.FixtureRequest) -> MakeLayer:
        return LAYERS[request.param]


class TestAllOfAStorage(LayerContract):
    @pytest.fixture(params=STORAGES)
    def around(self, request: pytest.FixtureRequest, tmp_path: Path) -> MakeLayer:
        given = load(STORAGES[request.param] | {"DATA_DIR": str(tmp_path)}, tmp_path / "no such file")

        def around(store: BlobStore) -> BlobStore:
            stores = Container(settings=given).stores()
            return in_place_of_the_innermost(stores.by_name[stores.active], store)

        return around

    @pytest.mark.parametrize("kind", [Kind.NO_SPACE, Kind.NOT_FOUND])
    @pytest.mark.parametrize("name", OPERATIONS)
    async def test_a_failure_names_backend_operation_and_key(self, around: MakeLayer, name: str, kind: Kind) -> None:
        """Adapters leave that to the layers."""
        store = around(Patience(Flaky(100, kind)))
        with pytest.raises(BlobError) as caught:
            await operations(store)[name]()
        expected = next(layer._backend for layer in layers(store) if isinstance(layer, ObserveLayer))
        subject = None if name in ("check", "list") else KEY
        assert (caught.value.backend, caught.value.operation, caught.value.subject) == (expected, name, subject)


@pytest.mark.parametrize("storage", ["fs", "database on SQLite", "s3", "ftp"])
async def test_a_full_disk_of_the_rows_names_the_storage(storage: str, tmp_path: Path) -> None:
    (tmp_path / "drivebay.db").touch()
    given = load(STORAGES[storage] | {"DATA_DIR": str(tmp_path), "MIN_FREE_BYTES": str(2**62)}, tmp_path / "no file")
    stores = Container(settings=given).stores()
    with pytest.raises(BlobError) as caught:
        await operations(stores.by_name[stores.active])["put"]()
    assert (caught.value.kind, caught.value.backend) == (Kind.NO_SPACE, stores.active)


def test_a_storage_whose_client_repeats_requests_has_no_retry_layer(tmp_path: Path) -> None:
    for name, has_one in (("s3", False), ("ftp", True), ("fs", False)):
        given = load(STORAGES[name] | {"DATA_DIR": str(tmp_path), "STORAGE_ATTEMPTS": "3"}, tmp_path / "no such file")
        stores = Container(settings=given).stores()
        found = [layer for layer in layers(stores.by_name[name]) if isinstance(layer, RetryLayer)]
        assert bool(found) is has_one, name


def layers(stack: BlobStore) -> Iterator[BlobStore]:
    while isinstance(stack, BlobStoreLayer):
        yield stack
        stack = stack.store


def in_place_of_the_innermost(stack: BlobStore, store: BlobStore) -> BlobStore:
    layer: Any = stack
    while isinstance(layer.store, BlobStoreLayer):
        layer = layer.store
    layer.store = store
    return stack
