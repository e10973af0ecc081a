"""The layers hold, and the gate that holds them can fail."""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.test_project import name_of

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "application", "adapters", "entrypoints")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINT_IMPORTS = str(Path(sys.executable).parent / "lint-imports")


def imports(folder: str) -> Iterator[tuple[Path, str]]:
    """Each module's imports, by the first part of their names."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module.partition(".")[0]


@pytest.mark.parametrize(("folder", "ours"), [("domain", {"domain"}), ("application", {"application", "domain"})])
def test_the_inner_layers_need_the_standard_library_alone(folder: str, ours: set[str]) -> None:
    allowed = sys.stdlib_module_names | ours
    assert [(path.name, name) for path, name in imports(folder) if name not in allowed] == []


def test_every_dependency_is_forbidden_to_the_inner_layers() -> None:
    modules = {"python-dotenv": "dotenv", "dependency-injector": "dependency_injector"}
    modules |= {"prometheus-client": "prometheus_client", "opentelemetry-sdk": "opentelemetry"}
    modules |= {"opentelemetry-exporter-otlp-proto-http": "opentelemetry"}
    names = {name_of(wanted) for wanted in PROJECT["project"]["dependencies"]}
    [contract] = [
        contract
        for contract in PROJECT["tool"]["importlinter"]["contracts"]
        if contract.get("source_modules") == ["domain", "application"]
    ]
    assert set(contract["forbidden_modules"]) == {modules.get(name, name) for name in names}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--no-logo"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's code in a folder where it may be changed."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_gate_lets_the_code_pass(copy: Path) -> None:
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "planted"),
    [
        ("domain/blob.py", "import application.stores"),
        ("domain/errors.py", "import msgspec"),
        ("application/maintenance/reap.py", "from adapters.storage.memory import MemoryBlobStore"),
        ("application/ports/metadata.py", "import sqlalchemy"),
        ("adapters/storage/memory.py", "from application.blobs.store import StoreBlob"),
        ("adapters/storage/filesystem/store.py", "import structlog"),
        ("adapters/operation_timer.py", "import prometheus_client"),
        ("adapters/storage/layers/observe.py", "from opentelemetry import trace"),
        ("adapters/concurrency/threads.py", "import entrypoints.config.settings"),
        ("entrypoints/http/rest/blobs/store.py", "from adapters.metadata.memory.unit_of_work import MemoryMetadata"),
        ("entrypoints/cli/main.py", "import adapters.sql.sqlite.database"),
        ("entrypoints/client/models.py", "from domain.blob import BlobId"),
        ("entrypoints/client/flows/blobs.py", "import msgspec"),
        ("entrypoints/http/rest/blobs/lists.py", "from entrypoints.client import Client"),
        ("entrypoints/composition/lifecycle.py", "from dependency_injector import providers"),
        ("application/maintenance/reap.py", "from application.blobs.store import StoreBlob"),
        ("application/blobs/changes/delete.py", "from application.maintenance.reap import Reap"),
        ("application/checks/readiness.py", "from application.blobs.store import StoreBlob"),
        ("application/ownership/mark.py", "from application.blobs.store import StoreBlob"),
        ("adapters/storage/s3/store.py", "from adapters.storage.ftp.config import FtpConfig"),
        ("adapters/metadata/memory/unit_of_work.py", "from adapters.storage.memory import MemoryBlobStore"),
        ("entrypoints/config/settings.py", "from entrypoints.telemetry import logs"),
        ("entrypoints/http/operations/health.py", "from entrypoints.http.rest.blobs import lists"),
        ("entrypoints/http/protocol/fields/ranges.py", "from entrypoints.config.settings import Settings"),
        ("entrypoints/http/protocol/fields/ranges.py", "from entrypoints.http.middleware.head import HeadMiddleware"),
    ],
)
def test_the_gate_fires_at_a_planted_import(copy: Path, module: str, planted: str) -> None:
    path = copy / module
    path.write_text(f"{path.read_text()}\n{planted}\n")
    result = lint_imports(copy)
    assert result.returncode != 0
    assert f"{module.removesuffix('.py').replace('/', '.')} -> " in result.stdout
