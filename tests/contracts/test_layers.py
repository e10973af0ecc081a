"""The layers under their contract: each alone, and all that the settings put around each storage."""

from pathlib import Path
from typing import Any

import pytest

from adapters.storage.policies import Policies, with_policies
from adapters.storage.policies.around import Around as Layer
from adapters.storage.policies.bounded import BoundedBlobStore
from adapters.storage.policies.observed import ObservedBlobStore
from adapters.storage.policies.retrying import RetryingBlobStore
from adapters.storage.policies.streams import Streams
from adapters.storage.policies.timed import TimedBlobStore
from adapters.storage.room import WithRoom
from application.ports.blob_store import BlobStore
from application.ports.observer import UNOBSERVED
from entrypoints.container import Container
from entrypoints.settings import load
from tests.contracts.layer import Around, LayerContract

LAYERS: dict[str, Around] = {
    "timed": lambda store: TimedBlobStore(store, 60, "memory"),
    "retrying": lambda store: RetryingBlobStore(store, 3, "memory"),
    "observed": lambda store: ObservedBlobStore(store, "memory", UNOBSERVED),
    "bounded": lambda store: BoundedBlobStore(store, Streams(2, 60, "memory"), 2, 60, "memory"),
    "with room": lambda store: WithRoom(store, {}, 0),
    "policies": lambda store: with_policies(store, Policies(), "memory"),
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


class TestEach(LayerContract):
    @pytest.fixture(params=LAYERS)
    def around(self, request: pytest.FixtureRequest) -> Around:
        return LAYERS[request.param]


class TestAllOfAStorage(LayerContract):
    @pytest.fixture(params=STORAGES)
    def around(self, request: pytest.FixtureRequest, tmp_path: Path) -> Around:
        given = load(STORAGES[request.param] | {"DATA_DIR": str(tmp_path)}, tmp_path / "no such file")

        def around(store: BlobStore) -> BlobStore:
            stores = Container(settings=given).stores()
            return in_place_of_the_innermost(stores.by_name[stores.active], store)

        return around


def in_place_of_the_innermost(stack: BlobStore, store: BlobStore) -> BlobStore:
    layer: Any = stack
    while isinstance(layer.store, Layer):
        layer = layer.store
    layer.store = store
    return stack
